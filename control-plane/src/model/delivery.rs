//! Deliveries: one event on its way to one endpoint; their attempts, and what operators do to them.

use bytes::Bytes;

use super::{
    column::column_enum,
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

column_enum! {
    /// Where a delivery stands. The table of open deliveries holds the first two; the others are read from the logs.
    DeliveryState {
        /// An attempt is due, under way, or set for later.
        Pending = 1 "pending",
        /// Given up.
        Dead = 2 "dead",
        /// An attempt succeeded.
        Delivered = 3 "delivered",
        /// Ended by an operator, or with its endpoint.
        Cancelled = 4 "cancelled",
    }
}

column_enum! {
    /// Why a delivery is dead.
    DeadReason {
        /// Every attempt of the schedule failed.
        AttemptsExhausted = 1 "attempts_exhausted",
        /// The endpoint answered with a status that a retry cannot mend, or its handler says that none can.
        Rejected = 2 "rejected",
        /// The endpoint answered 410 Gone.
        Gone = 3 "gone",
        /// Too many leases in a row were lost.
        LeaseLost = 4 "lease_lost",
    }
}

column_enum! {
    /// Why an attempt failed.
    ErrorKind {
        /// The name did not resolve.
        DnsError = 1 "dns_error",
        /// Nobody listens there, or there is no route.
        ConnectionRefused = 2 "connection_refused",
        /// The peer reset the connection.
        ConnectionReset = 3 "connection_reset",
        /// The peer closed the connection before the whole head of an answer.
        ConnectionClosed = 4 "connection_closed",
        /// No TLS connection could be made.
        TlsError = 5 "tls_error",
        /// No connection, or no head of an answer, in time.
        Timeout = 6 "timeout",
        /// The answer was not HTTP.
        ProtocolError = 7 "protocol_error",
        /// The head of the answer was over its limits.
        ResponseTooLarge = 8 "response_too_large",
        /// The URL leads to an address that Posthorn will not deliver to.
        TargetNotAllowed = 9 "target_not_allowed",
        /// The endpoint answered with a redirect.
        Http3xx = 10 "http_3xx",
        /// The endpoint answered 4xx.
        Http4xx = 11 "http_4xx",
        /// The endpoint answered 5xx.
        Http5xx = 12 "http_5xx",
        /// The consumer's handler said that it failed.
        HandlerFailed = 13 "handler_failed",
        /// Something of a kind that is not known here: the node is newer.
        Other = 14 "other",
    }
}

column_enum! {
    /// What was done to a delivery other than an attempt.
    DeliveryActionKind {
        /// It was retried.
        Retry = 1 "retry",
        /// It was retried with other dead letters.
        Redrive = 2 "redrive",
        /// It was cancelled, or ended with its endpoint.
        Cancel = 3 "cancel",
        /// It was discarded with other dead letters.
        Discard = 4 "discard",
        /// It was older than what is kept.
        Expire = 5 "expire",
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
    Failed(ErrorKind),
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
            Self::Refused => AttemptOutcome::failed(ErrorKind::HandlerFailed),
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
    pub error: Option<ErrorKind>,
}

impl AttemptOutcome {
    /// An answer with this status code.
    pub(crate) fn answered(status_code: u16) -> Self {
        let error = match status_code {
            200..=299 => None,
            400..=499 => Some(ErrorKind::Http4xx),
            500..=599 => Some(ErrorKind::Http5xx),
            _ => Some(ErrorKind::Http3xx),
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
    pub(crate) fn failed(error: ErrorKind) -> Self {
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
    pub kind: DeliveryActionKind,
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
