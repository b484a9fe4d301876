//! From a request and what it holds to what is received: one event, or a batch with an event for each of its items.
//!
//! Pure, but for the ids that it makes: items are in the order of their ids, so that they stay in that of the batch.

use bytes::Bytes;
use posthorn_verify::Claim;
use rand::Rng;
use sha2::{Digest as _, Sha256};

use super::{
    Inbound,
    content::{Content, ContentItem},
};
use crate::{
    dispatch::{Arrival, Holds},
    model::{
        claim::ClaimKey,
        event::{JSON, NewEvent, is_traceparent},
        id::InboundId,
        inbound::{Head, InboundRequest, Part, Verdict},
        source::{LiveSource, SourceSettings},
    },
};

impl Inbound {
    /// What a request holds, as one event when its items have too many subscribers to be one commit.
    pub(crate) fn as_taken(&self, live: &LiveSource, mut content: Content) -> Content {
        let source = &live.source;
        let types = content.items.iter().map(|item| &item.event_type);
        let dispatch = &self.0.dispatch;
        if !dispatch.can_split(source.tenant_id, source.id, types) {
            content.items.clear();
        }
        content
    }
}

/// What is received of a request that holds `content`, by the settings of its source. `request` is its record, whatever
/// became of it before.
pub(crate) fn arrivals(
    request: InboundRequest,
    settings: &SourceSettings,
    content: Content,
    body: Bytes,
    rng: &mut impl Rng,
) -> Vec<Arrival> {
    let is_batch = !content.items.is_empty();
    let request = InboundRequest {
        verdict: Verdict::Accepted,
        reason: String::new(),
        event_type: content.event_type.clone(),
        provider_event_id: content.provider_event_id.clone(),
        part: if is_batch { Part::Batch } else { Part::Whole },
        original_id: None,
        ..request
    };
    if is_batch {
        batch(request, settings, content, body, rng)
    } else {
        vec![single(request, settings, content, body)]
    }
}

/// The event of a request, or of an item of one, that holds `content`.
pub(crate) fn event(request: &InboundRequest, content: Content, body: Bytes) -> NewEvent {
    NewEvent {
        event_type: request.event_type.clone(),
        payload: body,
        content_type: content.content_type,
        occurred_at: Some(request.received_at),
        idempotency_key: None,
        traceparent: traceparent(&request.head),
        source_id: Some(request.source_id),
        batch_id: request.part.batch(),
        headers: content.headers,
    }
}

fn single(
    request: InboundRequest,
    settings: &SourceSettings,
    content: Content,
    body: Bytes,
) -> Arrival {
    let (claim, window_ms) = claim(&request, content.claim.as_ref(), settings.dedupe_window_ms);
    let request = InboundRequest { claim, ..request };
    Arrival {
        holds: Holds::Event(event(&request, content, body)),
        request,
        window_ms,
        on_conflict: settings.on_conflict,
    }
}

/// What a request claims, and for how many milliseconds; none: for ever. Without anything unique that is its body for the
/// window of its source, or itself.
fn claim(
    request: &InboundRequest,
    claim: Option<&Claim>,
    window_ms: Option<i64>,
) -> (ClaimKey, Option<i64>) {
    let event_id = &request.provider_event_id;
    match (claim, window_ms) {
        (Some(claim), _) => (ClaimKey::of(event_id, claim), None),
        (None, Some(_)) => (ClaimKey::of_body(event_id, &request.body_hash), window_ms),
        (None, None) => (ClaimKey::own(event_id, request.id), None),
    }
}

fn batch(
    request: InboundRequest,
    settings: &SourceSettings,
    content: Content,
    body: Bytes,
    rng: &mut impl Rng,
) -> Vec<Arrival> {
    let (count, shard) = (content.items.len(), request.id.shard());
    let ids = InboundId::several(count, request.received_at, shard, rng);
    // Items do not go out packed, whatever the batch is.
    let mut headers = content.headers;
    headers.retain(|(name, _)| name != "content-encoding");
    let has_claims = content.items.iter().all(|item| item.claim.is_some());
    let items = ids.into_iter().zip(content.items);
    let items = items.map(|(id, found)| item(id, &request, settings, &headers, found));
    let items = items.collect::<Vec<_>>();
    let event_id = &request.provider_event_id;
    let claim = if has_claims {
        let claims = items.iter().map(|item| item.request.claim);
        ClaimKey::of_batch(event_id, &request.body_hash, &claims.collect::<Vec<_>>())
    } else {
        // The same bytes may be other events.
        ClaimKey::own(event_id, request.id)
    };
    let batch = Arrival {
        request: InboundRequest { claim, ..request },
        holds: Holds::Batch(body),
        window_ms: None,
        on_conflict: settings.on_conflict,
    };
    std::iter::once(batch).chain(items).collect()
}

/// An item, as if it had come by itself.
fn item(
    id: InboundId,
    batch: &InboundRequest,
    settings: &SourceSettings,
    headers: &[(String, String)],
    item: ContentItem,
) -> Arrival {
    let request = InboundRequest {
        id,
        part: Part::Item(batch.id),
        provider_event_id: item.provider_event_id.clone(),
        event_type: item.event_type.clone(),
        body_hash: Sha256::digest(&item.body).into(),
        body_bytes: u32::try_from(item.body.len()).unwrap_or(u32::MAX),
        // What it says is said once, by the batch.
        head: Head::default(),
        held: false,
        ..batch.clone()
    };
    let content = Content {
        event_type: item.event_type,
        provider_event_id: item.provider_event_id,
        claim: item.claim,
        content_type: JSON.to_owned(),
        headers: headers.to_vec(),
        items: Vec::new(),
    };
    let mut arrival = single(request, settings, content, item.body);
    if let Holds::Event(event) = &mut arrival.holds {
        event.traceparent = traceparent(&batch.head);
    }
    arrival
}

fn traceparent(head: &Head) -> Option<String> {
    let mut headers = head.headers.iter();
    let (_, value) = headers.find(|(name, _)| name == "traceparent")?;
    is_traceparent(value).then(|| value.clone())
}
