//! Inbound requests: what was posted or found, and what became of it.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    claim::ClaimKey,
    column::column_enum,
    event_type::EventTypeName,
    id::{EventId, InboundActionId, InboundId, KeyId, SourceId, TenantId},
};

/// For how long what was rejected or quarantined is kept, in milliseconds.
pub(crate) const QUARANTINE_MS: i64 = 72 * 60 * 60 * 1_000;

column_enum! {
    /// What became of an inbound request.
    Verdict {
        /// It verified and is an event.
        Accepted = 1 "accepted",
        /// It repeats an accepted one.
        Duplicate = 2 "duplicate",
        /// It has the id of an accepted one and another body.
        Conflict = 3 "conflict",
        /// It did not verify.
        Rejected = 4 "rejected",
        /// It verified, but its content is not what the source takes.
        Quarantined = 5 "quarantined",
    }
}

column_enum! {
    /// How a request came.
    Channel {
        /// The provider posted it.
        Webhook = 1 "webhook",
        /// Polling found it.
        Poll = 2 "poll",
    }
}

column_enum! {
    /// What was done to an inbound request.
    InboundActionKind {
        /// It was verified again and accepted.
        Reverify = 1 "reverify",
        /// It was replayed.
        Replay = 2 "replay",
        /// A legal hold was placed.
        Hold = 3 "hold",
        /// The legal hold was lifted.
        Release = 4 "release",
        /// It was made an event although it had been taken for a repeat.
        Accept = 5 "accept",
    }
}

/// What is kept of a request's head.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Head {
    /// The method.
    pub method: String,
    /// The path and query, without tokens.
    pub path_query: String,
    /// The headers in order, names in lower case, values as Latin-1; no cookies, authorization or other tokens.
    pub headers: Vec<(String, String)>,
}

/// What a record stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// A request by itself: one event when it is accepted.
    Whole,
    /// A request that was taken apart. Its items are the events, and it is none.
    Batch,
    /// An item of this request, as if it had come by itself.
    Item(InboundId),
}

impl Part {
    /// The value of the column of the record `id`.
    pub(crate) fn column(self, id: InboundId) -> Option<Uuid> {
        match self {
            Self::Whole => None,
            Self::Batch => Some(id.uuid()),
            Self::Item(batch) => Some(batch.uuid()),
        }
    }

    /// Reads the value of the column of the record `id`.
    pub(crate) fn from_column(id: InboundId, value: Option<Uuid>) -> Self {
        match value.map(InboundId::from_uuid) {
            None => Self::Whole,
            Some(batch) if batch == id => Self::Batch,
            Some(batch) => Self::Item(batch),
        }
    }

    /// The batch that an item came in.
    pub(crate) fn batch(self) -> Option<InboundId> {
        match self {
            Self::Item(batch) => Some(batch),
            Self::Whole | Self::Batch => None,
        }
    }
}

/// The record of an inbound request, without its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InboundRequest {
    /// Its id; that of its event too, when it is accepted.
    pub id: InboundId,
    /// The tenant.
    pub tenant_id: TenantId,
    /// The source.
    pub source_id: SourceId,
    /// What became of it.
    pub verdict: Verdict,
    /// Why it was rejected or quarantined; empty otherwise.
    pub reason: String,
    /// How it came.
    pub channel: Channel,
    /// What is accepted once only.
    pub claim: ClaimKey,
    /// A request, or an item of one.
    pub part: Part,
    /// The provider's id of the event; empty when it has none.
    pub provider_event_id: String,
    /// The event's type.
    pub event_type: EventTypeName,
    /// The accepted request that it repeats.
    pub original_id: Option<InboundId>,
    /// SHA-256 of the body.
    pub body_hash: [u8; 32],
    /// Length of the body.
    pub body_bytes: u32,
    /// What is kept of its head.
    pub head: Head,
    /// Who posted it.
    pub remote_address: String,
    /// When it was received.
    pub received_at: i64,
    /// The status that it was answered with.
    pub answer_status: u16,
    /// It is under a legal hold.
    pub held: bool,
}

impl InboundRequest {
    /// The event that it became.
    pub(crate) fn event_id(&self) -> Option<EventId> {
        let is_event = self.verdict == Verdict::Accepted && self.part != Part::Batch;
        is_event.then(|| self.id.event())
    }
}

/// Something that an operator did to an inbound request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InboundAction {
    /// Tells it from others of the same instant.
    pub id: InboundActionId,
    /// The request.
    pub request_id: InboundId,
    /// The tenant.
    pub tenant_id: TenantId,
    /// What.
    pub kind: InboundActionKind,
    /// Why.
    pub reason: String,
    /// The key that it was done with.
    pub key_id: KeyId,
    /// When.
    pub acted_at: i64,
    /// The event that a replay made.
    pub event_id: Option<EventId>,
}
