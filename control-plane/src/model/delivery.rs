//! Deliveries: one event on its way to one endpoint; their attempts, and what operators do to them.

use std::net::SocketAddr;

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
    /// What the last attempt came to. None: none has been made.
    pub last: Option<AttemptOutcome>,
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
        /// The name did not resolve: an older node.
        DnsError = 1 "dns_error",
        /// Nobody listens there, or a firewall refuses.
        ConnectionRefused = 2 "connection_refused",
        /// The peer reset the connection.
        ConnectionReset = 3 "connection_reset",
        /// The peer closed the connection before the whole head of an answer.
        ConnectionClosed = 4 "connection_closed",
        /// No TLS connection could be made, for another reason than those below.
        TlsError = 5 "tls_error",
        /// A consumer's handler was not heard of in time, or an older node had no answer.
        Timeout = 6 "timeout",
        /// The answer broke the rules of HTTP in another way than those below.
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
        /// A name server said that there is no such name, or that it has no address.
        DnsNoSuchName = 15 "dns_no_such_name",
        /// No name server gave an answer that can be used within 2 s.
        DnsNoAnswer = 16 "dns_no_answer",
        /// There is no route to the host or to its network.
        HostUnreachable = 17 "host_unreachable",
        /// No address of the host took the connection within the time for connecting.
        ConnectTimeout = 18 "connect_timeout",
        /// The node could not open a connection: no file descriptor or port was left, or its own system forbids it.
        LocalError = 19 "local_error",
        /// The certificate has expired.
        TlsCertificateExpired = 20 "tls_certificate_expired",
        /// The certificate is not valid yet.
        TlsCertificateNotYetValid = 21 "tls_certificate_not_yet_valid",
        /// Nobody that is trusted issued the certificate: it is self-signed, or of a private authority.
        TlsUnknownIssuer = 22 "tls_unknown_issuer",
        /// The certificate is of a public authority and came without the intermediate one that leads to it.
        TlsIncompleteChain = 23 "tls_incomplete_chain",
        /// The certificate is for other names than the URL's; the common name does not count.
        TlsWrongName = 24 "tls_wrong_name",
        /// Both sides have no version of TLS (1.2 or 1.3) or no cipher in common.
        TlsNoCommonProtocol = 25 "tls_no_common_protocol",
        /// The endpoint wants a client certificate.
        TlsClientCertificateWanted = 26 "tls_client_certificate_wanted",
        /// What came was no TLS, such as plain HTTP.
        TlsNotTls = 27 "tls_not_tls",
        /// The peer closed or reset the connection in the TLS handshake.
        TlsClosed = 28 "tls_closed",
        /// The TLS handshake was not done within the time for connecting.
        TlsTimeout = 29 "tls_timeout",
        /// The request was sent, and the head of an answer did not come in time. The endpoint may have acted on it.
        AnswerTimeout = 30 "answer_timeout",
        /// The answer was no HTTP.
        AnswerNotHttp = 31 "answer_not_http",
        /// The answer's status line or a header field breaks the rules of HTTP.
        AnswerMalformed = 32 "answer_malformed",
        /// The answer has a status that ends nothing: 101, one above 599, or more than eight below 200.
        UnexpectedStatus = 33 "unexpected_status",
        /// The peer reset the HTTP/2 stream, went away, or broke the rules of HTTP/2.
        Http2Error = 34 "http2_error",
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
    /// How it went. None: a consumer made it, or an older node.
    pub trace: Option<Box<Trace>>,
}

/// How an attempt went. The times are in microseconds; none where there was nothing to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Trace {
    /// The version that the answer came in.
    pub http_version: Option<HttpVersion>,
    /// How long looking up the name took.
    pub dns_us: Option<u32>,
    /// How long connecting took.
    pub connect_us: Option<u32>,
    /// How long the TLS handshake took.
    pub tls_us: Option<u32>,
    /// How long the answer's head took.
    pub answer_us: Option<u32>,
    /// Who was spoken to, or dialled last.
    pub peer: Option<SocketAddr>,
    /// The URL. Empty: the endpoint answered 2xx.
    pub url: String,
}

column_enum! {
    /// A version of HTTP.
    HttpVersion {
        /// HTTP/1.0.
        Http10 = 10 "1.0",
        /// HTTP/1.1.
        Http11 = 11 "1.1",
        /// HTTP/2.
        Http2 = 20 "2",
    }
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

    /// Reads what two columns hold: the status code, and the number of the kind. None: they say nothing.
    pub(crate) fn from_columns(status_code: Option<i16>, error: Option<i16>) -> Option<Self> {
        (status_code.is_some() || error.is_some()).then(|| Self {
            status_code: status_code.and_then(|code| u16::try_from(code).ok()),
            error: error.and_then(ErrorKind::from_column),
        })
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
    /// What its last attempt came to. None: none was made, or it was cancelled.
    pub last: Option<AttemptOutcome>,
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
