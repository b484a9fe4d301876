//! Inbound requests: what was posted or found, and what became of it.

use posthorn::v1;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    claim::ClaimKey,
    event_type::EventTypeName,
    id::{EventId, InboundActionId, InboundId, KeyId, SourceId, TenantId},
};

/// For how long what was rejected or quarantined is kept, in milliseconds.
pub(crate) const QUARANTINE_MS: i64 = 72 * 60 * 60 * 1_000;

/// What became of an inbound request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Verdict {
    /// It verified and is an event.
    Accepted,
    /// It repeats an accepted one.
    Duplicate,
    /// It has the id of an accepted one and another body.
    Conflict,
    /// It did not verify.
    Rejected,
    /// It verified, but its content is not what the source takes.
    Quarantined,
}

impl Verdict {
    /// Its name in metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::Conflict => "conflict",
            Self::Rejected => "rejected",
            Self::Quarantined => "quarantined",
        }
    }

    /// The value of the column: the number in the contract.
    pub(crate) fn column(self) -> i16 {
        match self {
            Self::Accepted => 1,
            Self::Duplicate => 2,
            Self::Conflict => 3,
            Self::Rejected => 4,
            Self::Quarantined => 5,
        }
    }

    /// Reads the value of the column.
    pub(crate) fn from_column(value: i16) -> Option<Self> {
        match value {
            1 => Some(Self::Accepted),
            2 => Some(Self::Duplicate),
            3 => Some(Self::Conflict),
            4 => Some(Self::Rejected),
            5 => Some(Self::Quarantined),
            _ => None,
        }
    }

    /// The verdict in the contract.
    pub(crate) fn proto(self) -> v1::Verdict {
        match self {
            Self::Accepted => v1::Verdict::Accepted,
            Self::Duplicate => v1::Verdict::Duplicate,
            Self::Conflict => v1::Verdict::Conflict,
            Self::Rejected => v1::Verdict::Rejected,
            Self::Quarantined => v1::Verdict::Quarantined,
        }
    }
}

/// How a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Channel {
    /// The provider posted it.
    Webhook,
    /// Polling found it.
    Poll,
}

impl Channel {
    /// The value of the column: the number in the contract.
    pub(crate) fn column(self) -> i16 {
        match self {
            Self::Webhook => 1,
            Self::Poll => 2,
        }
    }

    /// Reads the value of the column.
    pub(crate) fn from_column(value: i16) -> Option<Self> {
        match value {
            1 => Some(Self::Webhook),
            2 => Some(Self::Poll),
            _ => None,
        }
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
    pub kind: v1::InboundActionKind,
    /// Why.
    pub reason: String,
    /// The key that it was done with.
    pub key_id: KeyId,
    /// When.
    pub acted_at: i64,
    /// The event that a replay made.
    pub event_id: Option<EventId>,
}
