//! What providers are answered. The texts are few and fixed: a refusal says no more than its status does, and every
//! request that is not verified hears the same.

use posthorn::node::v1;

use super::judge::{ADDRESS, Refused};
use crate::model::{id::InboundId, source::Answer};

/// After how many seconds a provider should try again.
const RETRY_AFTER_S: &str = "5";
/// What every request hears that is not verified.
const UNVERIFIED: &str = "unverified";

/// The header that names a request to its provider.
const REQUEST_ID: &str = "posthorn-request-id";

/// The answer to a request that is refused.
pub(super) fn refusal(refused: &Refused) -> Answer {
    let is_address = refused.reason == ADDRESS;
    let is_unverified = refused.is_mismatch() || matches!(refused.status, 401 | 403) && !is_address;
    let word = if is_unverified {
        UNVERIFIED
    } else {
        refused.reason
    };
    let mut answer = Answer {
        status: refused.status,
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: format!("{{\"error\":\"{word}\"}}").into_bytes(),
    };
    let extra = match refused.status {
        405 => Some(("allow", "POST")),
        429 | 503 => Some(("retry-after", RETRY_AFTER_S)),
        _ => None,
    };
    let extra = extra.map(|(name, value)| (name.to_owned(), value.to_owned()));
    answer.headers.extend(extra);
    answer
}

/// An answer that says by what name an operator finds the request.
pub(super) fn named(mut answer: Answer, id: InboundId) -> Answer {
    let name = REQUEST_ID.to_owned();
    answer.headers.push((name, id.to_string()));
    answer
}

/// An answer that a scheme made.
pub(super) fn of_scheme(answer: posthorn_verify::Answer) -> Answer {
    Answer {
        status: answer.status,
        headers: answer.headers,
        body: answer.body,
    }
}

/// The answer as a node gets it.
pub(super) fn proto(number: u64, answer: Answer) -> v1::ForwardedAnswer {
    let headers = answer.headers.into_iter();
    v1::ForwardedAnswer {
        number,
        status: u32::from(answer.status),
        headers: headers
            .map(|(name, value)| v1::Header {
                name,
                value: value.into(),
            })
            .collect(),
        body: answer.body.into(),
    }
}
