//! One pull: page after page while the cursor moves, each made durable before the next is asked for.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use rand::Rng;
use rand::{SeedableRng as _, rngs::StdRng};
use secrecy::ExposeSecret;
use sha2::{Digest as _, Sha256};
use tokio::task::JoinSet;

use super::{
    Polling,
    page::{self, Item, PageError},
};
use crate::{
    dispatch::{Arrival, Holds, Received},
    error::Error,
    fetch::{FetchError, Wanted},
    inbound::check_json,
    model::{
        claim::ClaimKey,
        event::{JSON, NewEvent},
        event_type::EventTypeName,
        id::InboundId,
        inbound::{Channel, Head, InboundRequest, Part, Verdict},
        source::{LiveSource, OnConflict, PollSettings, Source},
    },
    store::{self, PollState},
};

/// The longest page, in bytes.
const PAGE_BYTES_MAX: usize = 8 * 1_024 * 1_024;
/// How many items of a page wait for their commit at one time.
const ITEMS_AT_ONCE: usize = 256;
const HOUR_MS: i64 = 60 * 60 * 1_000;
/// The longest cursor, in bytes.
const CURSOR_BYTES_MAX: usize = 4_096;

/// Why a pull broke off. The texts are shown to operators.
#[derive(Debug, thiserror::Error)]
pub(super) enum PullError {
    /// The source's secrets do not open, or its settings are being changed.
    #[error("sealed")]
    Sealed,
    /// The pull panicked.
    #[error("broke_off")]
    BrokeOff,
    /// There was no answer.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The answer was no success.
    #[error("http_status_{}", .0.as_u16())]
    Status(StatusCode),
    /// The answer was no page.
    #[error(transparent)]
    Page(#[from] PageError),
    /// The cursor that the page names is too long.
    #[error("cursor_too_long")]
    Cursor,
    /// The cursor that the page names holds NUL, which no text column takes.
    #[error("cursor_not_text")]
    CursorText,
    /// A header of the settings cannot be sent.
    #[error("header_not_sendable")]
    Header,
    /// An item could not be made durable.
    #[error("not_stored")]
    Receive(#[source] Error),
    /// The cursor could not be read or kept.
    #[error("not_stored")]
    Store(#[from] store::Error),
}

/// Pulls every new page, at most as many as the settings say.
pub(super) async fn pull(
    polling: &Polling,
    source: &LiveSource,
    settings: &PollSettings,
    state: &PollState,
) -> Result<(), PullError> {
    let of = (source.source.shard, source.source.id);
    let list = settings.list();
    // A cursor of another list means nothing: this one is pulled from its beginning.
    let mut cursor = match state.cursor.as_str() {
        known if !known.is_empty() && state.list == list => known.to_owned(),
        _ => settings.initial_cursor.clone(),
    };
    for _ in 0..settings.pages_max {
        let page = page::read(&get(polling, source, settings, &cursor).await?, settings)?;
        let count = page.items.len();
        receive(polling, source, page.items).await?;
        let Some(next) = page.cursor.filter(|next| *next != cursor) else {
            return Ok(());
        };
        if next.len() > CURSOR_BYTES_MAX {
            return Err(PullError::Cursor);
        }
        if next.contains('\0') {
            return Err(PullError::CursorText);
        }
        let store = &polling.core.store;
        let is_current = store
            .poll_advance(of, state.next_poll_at, (&list, &next))
            .await?;
        cursor = next;
        if count == 0 || !is_current {
            return Ok(());
        }
    }
    Ok(())
}

async fn get(
    polling: &Polling,
    source: &LiveSource,
    settings: &PollSettings,
    cursor: &str,
) -> Result<Bytes, PullError> {
    let encoded: String = url::form_urlencoded::byte_serialize(cursor.as_bytes()).collect();
    let url = settings
        .url
        .replace("{cursor}", &encoded.replace('+', "%20"));
    let answered = polling
        .fetch
        .fetch(Wanted {
            url: &url,
            headers: headers(source, settings)?,
            body: None,
            bytes_max: PAGE_BYTES_MAX,
        })
        .await?;
    if answered.status != StatusCode::OK {
        return Err(PullError::Status(answered.status));
    }
    Ok(answered.body)
}

fn headers(source: &LiveSource, settings: &PollSettings) -> Result<HeaderMap, PullError> {
    let secret = source.poll_secret.as_ref();
    let secret = secret.map(ExposeSecret::expose_secret).unwrap_or_default();
    let mut headers = HeaderMap::new();
    for (name, value) in &settings.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| PullError::Header)?;
        let mut sent = HeaderValue::from_str(&value.replace("{secret}", secret))
            .map_err(|_| PullError::Header)?;
        sent.set_sensitive(value.contains("{secret}"));
        headers.append(name, sent);
    }
    Ok(headers)
}

/// Makes items durable, many at a time so that they share commits.
async fn receive(
    polling: &Polling,
    source: &LiveSource,
    items: Vec<Item>,
) -> Result<(), PullError> {
    let core = &polling.core;
    let mut under_way = JoinSet::new();
    for item in items {
        if under_way.len() >= ITEMS_AT_ONCE {
            ended(under_way.join_next().await)?;
        }
        let request = request(&source.source, &item, core.clock.now_ms(), &mut core.rng());
        if request.verdict == Verdict::Quarantined {
            let source_id = source.source.id;
            tracing::warn!(%source_id, reason = request.reason, "polling source {source_id} found an item that is not fit");
            polling.inbound.keep_unfit(request, item.body);
            continue;
        }
        let dispatch = polling.dispatch.clone();
        under_way.spawn(async move {
            let arrival = arrival(request, item.body);
            dispatch.receive(vec![arrival]).await
        });
    }
    while let Some(one) = under_way.join_next().await {
        ended(Some(one))?;
    }
    Ok(())
}

fn ended(
    one: Option<Result<Result<Received, Error>, tokio::task::JoinError>>,
) -> Result<(), PullError> {
    match one {
        Some(Ok(Err(error))) => Err(PullError::Receive(error)),
        Some(Err(panic)) => Err(PullError::Receive(Error::Internal(panic.into()))),
        Some(Ok(Ok(_))) | None => Ok(()),
    }
}

/// An item as it is received.
fn arrival(request: InboundRequest, body: Bytes) -> Arrival {
    let event = NewEvent {
        event_type: request.event_type.clone(),
        payload: body,
        content_type: JSON.to_owned(),
        occurred_at: Some(request.received_at),
        idempotency_key: None,
        traceparent: None,
        source_id: Some(request.source_id),
        batch_id: None,
        headers: Vec::new(),
    };
    Arrival {
        request,
        holds: Holds::Event(event),
        window_ms: None,
        // A list shows an event in other words with each pull.
        on_conflict: OnConflict::Record,
    }
}

/// The record of an item: accepted, or quarantined when it holds what the source does not take.
fn request(source: &Source, item: &Item, now_ms: i64, rng: &mut impl Rng) -> InboundRequest {
    let (tenant_id, settings) = (source.tenant_id, &source.settings);
    let body_hash: [u8; 32] = Sha256::digest(&item.body).into();
    let identity = posthorn_verify::identity(
        settings.provider.as_deref().unwrap_or("poll"),
        &item.id,
        &item.kind,
    );
    let provider_event_id = identity.event_id.unwrap_or_default();
    // A list shows what has no id with each pull, so there its bytes are what is unique.
    let claim = identity.claim.map_or_else(
        || ClaimKey::of_body(&provider_event_id, &body_hash),
        |claim| ClaimKey::of(&provider_event_id, &claim),
    );
    let event_type = EventTypeName::parse(&identity.event_type);
    let unfit = unfit(&item.body, settings.body_bytes_max);
    let unfit = unfit.or_else(|| event_type.is_err().then_some("event_type"));
    InboundRequest {
        id: unfit.map_or_else(
            || InboundId::new(now_ms, source.shard, rng),
            |_| unfit_id(source, &body_hash, now_ms),
        ),
        tenant_id,
        source_id: source.id,
        verdict: unfit.map_or(Verdict::Accepted, |_| Verdict::Quarantined),
        reason: unfit.unwrap_or_default().to_owned(),
        channel: Channel::Poll,
        claim,
        part: Part::Whole,
        provider_event_id,
        event_type: event_type.unwrap_or_else(|_| EventTypeName::unknown()),
        original_id: None,
        body_hash,
        body_bytes: u32::try_from(item.body.len()).unwrap_or(u32::MAX),
        head: Head {
            method: "GET".to_owned(),
            ..Head::default()
        },
        remote_address: String::new(),
        received_at: now_ms,
        answer_status: 0,
        held: false,
    }
}

/// The id of an item that is not fit: the same for an hour, so that a list that shows it with each pull does not fill the
/// quarantine with it.
fn unfit_id(source: &Source, body_hash: &[u8; 32], now_ms: i64) -> InboundId {
    let seed = Sha256::new()
        .chain_update(source.id.uuid())
        .chain_update(body_hash);
    let hour = now_ms - now_ms.rem_euclid(HOUR_MS);
    InboundId::new(
        hour,
        source.shard,
        &mut StdRng::from_seed(seed.finalize().into()),
    )
}

/// Why an item cannot be accepted: the reasons of a webhook's body.
fn unfit(body: &[u8], bytes_max: u32) -> Option<&'static str> {
    if body.len() > usize::try_from(bytes_max).unwrap_or(usize::MAX) {
        return Some("too_long");
    }
    check_json(body).err()
}

#[cfg(test)]
mod tests;
