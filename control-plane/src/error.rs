//! What can go wrong, and the gRPC status that each kind becomes: one enum, one table.
//!
//! A caller's fault carries a message that says which field or limit and what to do. A fault of ours carries a cause
//! that is logged once, here, under an id that the caller gets too; the cause itself is never sent.

mod reason;

use std::{collections::HashMap, time::Duration};

use posthorn_guard::TARGET_NOT_ALLOWED;
use rand::Rng as _;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

pub(crate) use self::reason::Reason;
use crate::{entropy::Entropy, outage, store};

/// How long a caller should wait before it repeats a call that was shed or met a database that was away.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The text of every INTERNAL status, followed by the id that the log has.
pub(crate) const INTERNAL_MESSAGE: &str = "internal error; the log has the cause under id";

/// Whose reasons `google.rpc.ErrorInfo` names.
const DOMAIN: &str = "posthorn";

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Fields are malformed or out of range.
    #[error("{}", said(.0))]
    Invalid(Vec<Violation>),
    /// No credential, or none that is valid now.
    #[error("a valid API key is required: send `authorization: Bearer phk_...`")]
    Unauthenticated,
    /// The contract has no such call.
    #[error("there is no such call")]
    NoSuchCall,
    /// The credential is valid but does not allow this.
    #[error("{0}")]
    PermissionDenied(String),
    /// There is no such thing, or it is another tenant's.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// The name or the key is taken.
    #[error("{1}")]
    AlreadyExists(Reason, String),
    /// The idempotency key stands for an event with other content: its id, unless it has just gone.
    #[error("idempotency_key: it was used with other content, for {}", .0.as_deref().unwrap_or("an event that is gone"))]
    KeyReused(Option<String>),
    /// The thing's state forbids it.
    #[error("{1}")]
    FailedPrecondition(Reason, String),
    /// What was asked for is no longer kept.
    #[error("the body was removed at the end of its retention; the record stays")]
    Erased,
    /// The thing was changed since the caller read it.
    #[error("the etag is not the current one: read the object again and repeat the change")]
    StaleEtag,
    /// A limit is reached.
    #[error("{0}")]
    Exhausted(String),
    /// The database does not answer, or the process shuts down.
    #[error("temporarily unavailable: {0}")]
    Unavailable(String),
    /// A bug.
    #[error("internal error")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// One field at fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The path of the field in the request, such as `settings.url`.
    pub field: String,
    /// What is wrong and what to do.
    pub description: String,
}

/// Which field is at fault, and how; and how many others are.
fn said(violations: &[Violation]) -> String {
    let Some(first) = violations.first() else {
        return "invalid argument".to_owned();
    };
    let said = match first.field.as_str() {
        "" => first.description.clone(),
        field => format!("{field}: {}", first.description),
    };
    match violations.len() - 1 {
        0 => said,
        1 => format!("{said}; one other field is at fault too"),
        others => format!("{said}; {others} other fields are at fault too"),
    }
}

impl Error {
    /// One field is malformed or out of range.
    pub fn invalid(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self::Invalid(vec![Violation {
            field: field.into(),
            description: description.into(),
        }])
    }

    /// The thing's state forbids it.
    pub(crate) fn precondition(reason: Reason, message: impl Into<String>) -> Self {
        Self::FailedPrecondition(reason, message.into())
    }

    /// The gRPC code of this kind of error.
    pub fn code(&self) -> Code {
        match self {
            Self::Invalid(_) => Code::InvalidArgument,
            Self::Unauthenticated => Code::Unauthenticated,
            Self::NoSuchCall => Code::Unimplemented,
            Self::PermissionDenied(_) => Code::PermissionDenied,
            Self::NotFound(_) => Code::NotFound,
            Self::AlreadyExists(..) | Self::KeyReused(_) => Code::AlreadyExists,
            Self::FailedPrecondition(..) | Self::Erased => Code::FailedPrecondition,
            Self::StaleEtag => Code::Aborted,
            Self::Exhausted(_) => Code::ResourceExhausted,
            Self::Unavailable(_) => Code::Unavailable,
            Self::Internal(_) => Code::Internal,
        }
    }
}

/// A status with a reason for programs.
fn told(code: Code, message: String, reason: Reason) -> Status {
    let details = ErrorDetails::with_error_info(reason.as_str(), DOMAIN, []);
    Status::with_error_details(code, message, details)
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Unavailable(_) | store::Error::Unreached { .. } => {
                outage::log(&error, "a call failed");
                Self::Unavailable(format!("the database cannot do this now, {}", error.words()))
            }
            store::Error::Slow => Self::Exhausted(
                "the database was not done with this after 5 s: ask for less, such as a shorter time range or a smaller \
                 page, or repeat it later"
                    .to_owned(),
            ),
            store::Error::Bug(cause) => Self::Internal(cause),
        }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let code = error.code();
        let message = error.to_string();
        match error {
            Error::Invalid(violations) => {
                let is_target = |one: &Violation| one.description.starts_with(TARGET_NOT_ALLOWED);
                let has_target = violations.iter().any(is_target);
                let fields = violations
                    .into_iter()
                    .map(|violation| FieldViolation::new(violation.field, violation.description))
                    .collect::<Vec<_>>();
                let mut details = ErrorDetails::with_bad_request(fields);
                if has_target {
                    details.set_error_info(Reason::TargetNotAllowed.as_str(), DOMAIN, []);
                }
                Self::with_error_details(code, message, details)
            }
            Error::KeyReused(event_id) => {
                let event = event_id.map(|id| ("event_id".to_owned(), id));
                let event = event.into_iter().collect::<HashMap<_, _>>();
                let reason = Reason::IdempotencyKeyReused.as_str();
                let details = ErrorDetails::with_error_info(reason, DOMAIN, event);
                Self::with_error_details(code, message, details)
            }
            Error::Erased => told(code, message, Reason::PayloadErased),
            Error::StaleEtag => told(code, message, Reason::EtagStale),
            Error::AlreadyExists(reason, _) | Error::FailedPrecondition(reason, _) => {
                told(code, message, reason)
            }
            Error::Exhausted(_) | Error::Unavailable(_) => {
                let details = ErrorDetails::with_retry_info(Some(RETRY_AFTER));
                Self::with_error_details(code, message, details)
            }
            Error::Internal(cause) => {
                let id = format!("{:016x}", Entropy::system().next_u64());
                tracing::error!(error_id = id, error = ?cause, "internal error {id}");
                Self::new(code, format!("{INTERNAL_MESSAGE} {id}"))
            }
            _ => Self::new(code, message),
        }
    }
}
