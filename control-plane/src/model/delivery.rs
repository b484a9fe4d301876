//! Deliveries: one event on its way to one endpoint; their attempts, and what operators do to them.

use bytes::Bytes;
use posthorn::v1;

use super::{
    id::{DeliveryId, EndpointId, KeyId, TenantId},
    lease::{HolderId, LeaseKey},
};

/// A row of open deliveries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OpenDelivery {
    /// Its id.
    pub id: DeliveryId,
    /// The tenant.
    pub tenant_id: TenantId,
    /// Where it goes.
    pub endpoint_id: EndpointId,
    /// Whether it waits or is dead.
    pub state: OpenState,
    /// Attempts made.
    pub attempt_count: u32,
    /// Attempts made before the last retry by an operator.
    pub attempt_base: u32,
    /// When the next attempt is due.
    pub next_attempt_at: i64,
    /// An operator's retry has not had its attempt yet.
    pub retry_open: bool,
}

/// The state of an open delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OpenState {
    /// An attempt is due, under way, or set for later.
    Pending,
    /// Given up.
    Dead {
        /// Why.
        reason: DeadReason,
        /// When.
        at: i64,
    },
}

/// Why a delivery is dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum DeadReason {
    /// Every attempt of the schedule failed.
    AttemptsExhausted,
    /// The endpoint answered with a status that a retry cannot mend, or its handler says that none can.
    Rejected,
    /// The endpoint answered 410 Gone.
    Gone,
    /// Too many leases in a row were lost.
    LeaseLost,
}

impl DeadReason {
    /// The value of the column, that of the protocol.
    pub(crate) fn column(self) -> i16 {
        let reason = match self {
            Self::AttemptsExhausted => v1::DeadReason::AttemptsExhausted,
            Self::Rejected => v1::DeadReason::Rejected,
            Self::Gone => v1::DeadReason::Gone,
            Self::LeaseLost => v1::DeadReason::LeaseLost,
        };
        reason as i16
    }

    /// Reads the value of the column.
    pub(crate) fn from_column(value: i16) -> Option<Self> {
        match v1::DeadReason::try_from(i32::from(value)).ok()? {
            v1::DeadReason::Unspecified => None,
            v1::DeadReason::AttemptsExhausted => Some(Self::AttemptsExhausted),
            v1::DeadReason::Rejected => Some(Self::Rejected),
            v1::DeadReason::Gone => Some(Self::Gone),
            v1::DeadReason::LeaseLost => Some(Self::LeaseLost),
        }
    }

    /// The word for it in metrics and logs.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::AttemptsExhausted => "attempts_exhausted",
            Self::Rejected => "rejected",
            Self::Gone => "gone",
            Self::LeaseLost => "lease_lost",
        }
    }
}

/// One HTTP try, as logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attempt {
    /// The lease that it was made under, with its delivery and its number.
    pub lease: LeaseKey,
    /// The endpoint.
    pub endpoint_id: EndpointId,
    /// The tenant.
    pub tenant_id: TenantId,
    /// What came of it.
    pub outcome: AttemptOutcome,
    /// When it began.
    pub started_at: i64,
    /// How long it took, in milliseconds.
    pub duration_ms: u32,
    /// Who made it.
    pub holder: HolderId,
    /// The first bytes of the answer's body, or what a handler says that it did or what went wrong.
    pub excerpt: Bytes,
    /// The lease had been lost when the report came.
    pub late: bool,
}

/// What its holder says of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AttemptResult {
    /// The endpoint answered.
    Answered {
        /// The status code.
        status_code: u16,
        /// The `Retry-After` header; empty when there was none.
        retry_after: String,
    },
    /// There was no answer, or a handler failed: a later attempt may mend it.
    Failed(v1::ErrorKind),
    /// A handler did its work.
    Handled,
    /// A handler failed, and says that it always will.
    Refused,
}

impl AttemptResult {
    /// What is logged of it.
    pub(crate) fn outcome(&self) -> AttemptOutcome {
        match self {
            Self::Answered { status_code, .. } => AttemptOutcome::answered(*status_code),
            Self::Failed(error) => AttemptOutcome::failed(*error),
            Self::Handled => AttemptOutcome::handled(),
            Self::Refused => AttemptOutcome::failed(v1::ErrorKind::HandlerFailed),
        }
    }
}

/// What follows from an attempt for its delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Nothing: the lease had been lost.
    Nothing,
    /// It is delivered.
    Delivered,
    /// Another attempt is due at this instant.
    RetryAt(i64),
    /// It is dead.
    Dead {
        /// Why.
        reason: DeadReason,
        /// When.
        at: i64,
    },
}

/// What came of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AttemptOutcome {
    /// The status code of the answer, if there was one.
    pub status_code: Option<u16>,
    /// Why it failed. None: it succeeded.
    pub error: Option<v1::ErrorKind>,
}

impl AttemptOutcome {
    /// An answer with this status code.
    pub(crate) fn answered(status_code: u16) -> Self {
        let error = match status_code {
            200..=299 => None,
            400..=499 => Some(v1::ErrorKind::Http4xx),
            500..=599 => Some(v1::ErrorKind::Http5xx),
            _ => Some(v1::ErrorKind::Http3xx),
        };
        Self {
            status_code: Some(status_code),
            error,
        }
    }

    /// A consumer's handler did its work.
    pub(crate) fn handled() -> Self {
        Self {
            status_code: None,
            error: None,
        }
    }

    /// No answer.
    pub(crate) fn failed(error: v1::ErrorKind) -> Self {
        Self {
            status_code: None,
            error: Some(error),
        }
    }

    /// Whether the endpoint took it.
    pub(crate) fn succeeded(self) -> bool {
        self.error.is_none()
    }
}

/// What an operator, or Posthorn itself, does to deliveries.
#[derive(Debug, Clone)]
pub(crate) struct Action {
    /// What.
    pub kind: v1::DeliveryActionKind,
    /// Why.
    pub reason: String,
    /// The key that it is done with. None: Posthorn itself.
    pub key_id: Option<KeyId>,
    /// When.
    pub acted_at: i64,
}

/// A delivery as operators see it, open or ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeliveryView {
    /// Its id.
    pub id: DeliveryId,
    /// Where it goes.
    pub endpoint_id: EndpointId,
    /// Where it stands.
    pub state: ViewState,
    /// Attempts made.
    pub attempt_count: u32,
}

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ViewState {
    /// The next attempt is due at this instant.
    Pending(i64),
    /// Given up, with the reason and the instant.
    Dead(DeadReason, i64),
    /// An attempt that ended at this instant succeeded.
    Delivered(i64),
    /// Ended by an operator at this instant.
    Cancelled(i64),
}
