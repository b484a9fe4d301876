//! The record of a request that was posted.

use super::{content::Content, posted::Posted};
use crate::{
    clock,
    model::{
        event_type::EventTypeName,
        id::InboundId,
        inbound::{Channel, InboundRequest, Verdict, claim},
        source::LiveSource,
    },
};

/// What came of a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outcome<'a> {
    /// What became of it.
    pub verdict: Verdict,
    /// Why it is not accepted; empty when it is.
    pub reason: &'a str,
    /// Which event it is. None: its body says nothing that is proved.
    pub content: Option<&'a Content>,
    /// The status that it is answered with.
    pub answer_status: u16,
}

/// The record of a request to a source, with the hash of its body.
pub(super) fn record(
    live: &LiveSource,
    posted: &Posted,
    body_hash: [u8; 32],
    outcome: Outcome<'_>,
) -> InboundRequest {
    let source = &live.source;
    let content = outcome.content;
    let provider_event_id = content.map_or("", |content| &content.provider_event_id);
    let shard = source.tenant_id.shard();
    InboundRequest {
        id: InboundId::new(posted.received_at, shard, &mut clock::rng()),
        tenant_id: source.tenant_id,
        source_id: source.id,
        verdict: outcome.verdict,
        reason: outcome.reason.to_owned(),
        channel: Channel::Webhook,
        claim: claim(provider_event_id, &body_hash),
        provider_event_id: provider_event_id.to_owned(),
        event_type: content.map_or_else(
            || unknown_type(source.settings.provider.as_deref()),
            |content| content.event_type.clone(),
        ),
        original_id: None,
        body_hash,
        body_bytes: u32::try_from(posted.body.len()).unwrap_or(u32::MAX),
        head: posted.head(live),
        remote_address: posted.remote_address.clone(),
        received_at: posted.received_at,
        answer_status: outcome.answer_status,
        held: false,
    }
}

/// The type of a request whose event is not known, below its provider's name.
fn unknown_type(provider: Option<&str>) -> EventTypeName {
    let unknown = EventTypeName::unknown();
    let below = provider.map(|provider| format!("{provider}.{unknown}"));
    let name = below.and_then(|name| EventTypeName::parse(&name).ok());
    name.unwrap_or(unknown)
}
