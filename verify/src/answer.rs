//! What a provider is answered.

use crate::{Refusal, SchemeError, scheme::AnswerRule};

/// The longest body that a record may answer, in bytes.
const BODY_BYTES_MAX: usize = 4096;
/// The longest value of a header, in bytes.
const HEADER_BYTES_MAX: usize = 1024;
/// Headers that belong to the connection, to the edge or to a browser, and not to a scheme.
const RESERVED: [&str; 16] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "host",
    "keep-alive",
    "location",
    "proxy-authenticate",
    "refresh",
    "server",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// An answer to a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// The answers of a scheme.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answers {
    /// To a request that was accepted, new or repeated.
    pub ok: Answer,
    /// The status of one whose signature is not right.
    pub bad_signature: u16,
}

impl Answers {
    /// Checks a rule.
    pub(crate) fn compile(rule: &AnswerRule) -> Result<Self, SchemeError> {
        let (ok, bad_signature) = (rule.ok.unwrap_or(200), rule.bad_signature.unwrap_or(401));
        check_status("answer.ok", ok)?;
        if !(400..=499).contains(&bad_signature) {
            return Err(SchemeError::new(
                "answer.bad_signature",
                "must be 400 to 499",
            ));
        }
        if rule.body.len() > BODY_BYTES_MAX {
            return Err(SchemeError::new(
                "answer.body",
                "must not be longer than 4 KiB",
            ));
        }
        let mut headers = Vec::new();
        if !rule.content_type.is_empty() {
            headers.push(("content-type".to_owned(), rule.content_type.clone()));
        }
        for (name, value) in &rule.headers {
            check_header("answer.headers", name)?;
            headers.push((name.to_ascii_lowercase(), value.clone()));
        }
        if !headers.iter().all(|(_, value)| is_header_value(value)) {
            return Err(SchemeError::new(
                "answer.headers",
                "values must be printable and at most 1,024 bytes",
            ));
        }
        let ok = Answer {
            status: ok,
            headers,
            body: rule.body.clone().into_bytes(),
        };
        Ok(Self { ok, bad_signature })
    }

    /// The status for a request that was refused. 503, which the provider takes as a reason to send again, is for what is
    /// the source's trouble and not the request's. Before the sender is proved every other refusal has the same status, so
    /// that nobody can tell by it which sources there are.
    pub const fn refused(&self, refusal: Refusal) -> u16 {
        match refusal {
            Refusal::NoSecret | Refusal::KeyNotFetched => 503,
            Refusal::MalformedBody | Refusal::MalformedChallenge => 400,
            Refusal::Method => 405,
            _ => self.bad_signature,
        }
    }
}

/// A status that a provider may be given: success, or a refusal. Redirects are followed, or count as failures.
pub(crate) fn check_status(field: &str, status: u16) -> Result<(), SchemeError> {
    matches!(status, 200..=299 | 400..=599)
        .then_some(())
        .ok_or_else(|| SchemeError::new(field, "must be 200 to 299 or 400 to 599"))
}

/// A header that a record may answer.
pub(crate) fn check_header(field: &str, name: &str) -> Result<(), SchemeError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let fits = (1..=64).contains(&name.len())
        && name.bytes().all(plain)
        && !RESERVED
            .iter()
            .any(|reserved| reserved.eq_ignore_ascii_case(name));
    fits.then_some(()).ok_or_else(|| {
        SchemeError::new(field, format!("`{name}` is no header that may be answered"))
    })
}

/// A value that a header may have: printable, of at most 1 KiB.
pub(crate) fn is_header_value(value: &str) -> bool {
    value.len() <= HEADER_BYTES_MAX && value.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}
