//! Reads an endpoint's answer: the head decides, the body is only looked into.
//!
//! Once the head is there the attempt has its result, whatever becomes of the body: it may break, never end or stall.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use posthorn::node::v1::HttpAnswer;
use posthorn_outbound::Failure;

use super::redact::Secrets;

/// How much of a body is read at most, in bytes. A connection with more on it is closed.
const BODY_READ_MAX: usize = 64 * 1024;
/// How much of a body is kept, in bytes.
const EXCERPT_MAX: usize = 4 * 1024;
/// How many header fields an answer may have.
const HEADERS_MAX: usize = 100;
/// The longest `retry-after` that is passed on, in bytes.
const RETRY_AFTER_MAX: usize = 64;

/// Judges the head: the answer without its excerpt.
pub(crate) fn read_head(response: &Response<Incoming>) -> Result<HttpAnswer, Failure> {
    let headers = response.headers();
    if headers.len() > HEADERS_MAX {
        return Err(Failure::ResponseTooLarge);
    }
    if !is_final(response.status()) {
        return Err(Failure::UnexpectedStatus);
    }
    Ok(HttpAnswer {
        status_code: response.status().as_u16().into(),
        retry_after: retry_after(headers).unwrap_or_default(),
        excerpt: Bytes::new(),
    })
}

/// Whether the body is in a coding that nobody asked for: nothing of it is kept, since secrets could not be found in it.
pub(crate) fn is_encoded(headers: &HeaderMap) -> bool {
    let is_other = |name, plain: &str| {
        let mut values = headers.get_all(name).iter();
        values.any(|value| !value.as_bytes().eq_ignore_ascii_case(plain.as_bytes()))
    };
    is_other(header::CONTENT_ENCODING, "identity") || is_other(header::TRANSFER_ENCODING, "chunked")
}

/// What could be read of a body.
#[derive(Debug, Default)]
pub(crate) struct Excerpt {
    kept: BytesMut,
    read: usize,
    /// Whether the body was read to its end, so that the connection can be used again.
    pub(crate) complete: bool,
}

impl Excerpt {
    /// The first bytes of the body, without the request's secrets.
    pub(crate) fn without(self, secrets: &Secrets) -> Bytes {
        let mut text = secrets.redact(self.kept.freeze());
        text.truncate(EXCERPT_MAX);
        text
    }

    /// Reads until the body ends, breaks or is over its limit. Can be dropped at any time: what was read stays.
    pub(crate) async fn read(&mut self, body: &mut Incoming) {
        while !body.is_end_stream() {
            let Some(frame) = body.frame().await else {
                break;
            };
            let Ok(frame) = frame else {
                return;
            };
            let Some(data) = frame.data_ref() else {
                continue;
            };
            self.take(data);
            if self.read >= BODY_READ_MAX {
                return;
            }
        }
        self.complete = true;
    }

    fn take(&mut self, data: &Bytes) {
        let room = EXCERPT_MAX - self.kept.len();
        self.kept.extend_from_slice(&data[..data.len().min(room)]);
        self.read += data.len();
    }
}

/// 101 would be an upgrade that nobody asked for, and above 599 there is no class.
fn is_final(status: StatusCode) -> bool {
    (200..=599).contains(&status.as_u16())
}

/// Whether the head tells the length of its body in two ways. The status counts nevertheless, but who writes such a head
/// may write the next one where nobody looks for it: its connection is not used again.
pub(crate) fn is_ambiguous(headers: &HeaderMap) -> bool {
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let length = lengths.next();
    lengths.next().is_some() || length.is_some() && headers.contains_key(header::TRANSFER_ENCODING)
}

fn retry_after(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    let visible = value.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    (visible && value.len() <= RETRY_AFTER_MAX).then(|| value.to_owned())
}
