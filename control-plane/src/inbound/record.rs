//! The record of a request that was posted.

use super::posted::Posted;
use crate::model::{
    claim::ClaimKey,
    event_type::EventTypeName,
    id::InboundId,
    inbound::{Channel, InboundRequest, Part, Verdict},
    source::LiveSource,
};

/// What came of a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outcome<'a> {
    /// What became of it.
    pub verdict: Verdict,
    /// Why it is not accepted; empty when it is.
    pub reason: &'a str,
    /// The status that it is answered with.
    pub answer_status: u16,
}

/// The record of a request to a source under an id, with the hash of its body. It says nothing of what the body holds: that is first
/// to be proved.
pub(super) fn record(
    (live, id): (&LiveSource, InboundId),
    posted: &Posted,
    body_hash: [u8; 32],
    outcome: Outcome<'_>,
) -> InboundRequest {
    let source = &live.source;
    InboundRequest {
        id,
        tenant_id: source.tenant_id,
        source_id: source.id,
        verdict: outcome.verdict,
        reason: outcome.reason.to_owned(),
        channel: Channel::Webhook,
        claim: ClaimKey::own("", id),
        part: Part::Whole,
        provider_event_id: String::new(),
        event_type: unknown_type(source.settings.provider.as_deref()),
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
