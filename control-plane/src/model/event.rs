//! Events: immutable facts, and what makes a payload acceptable.

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::{
    event_type::EventTypeName,
    id::{EventId, InboundId, SourceId, TenantId},
};

/// The media type of events that name none.
pub(crate) const JSON: &str = "application/json";
/// How deep a JSON payload may nest.
pub(crate) const JSON_DEPTH_MAX: usize = 64;
/// The longest media type, in characters.
pub(crate) const CONTENT_TYPE_CHARS_MAX: usize = 128;
/// The longest idempotency key, in characters.
pub(crate) const IDEMPOTENCY_KEY_CHARS_MAX: usize = 256;
/// How far ahead of now an event may say that it happened, in milliseconds.
pub(crate) const OCCURRED_AHEAD_MAX_MS: i64 = 24 * 60 * 60 * 1_000;

/// An event as kept and delivered.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Event {
    /// Its id.
    pub id: EventId,
    /// The tenant that emitted it.
    pub tenant_id: TenantId,
    /// Its type.
    pub event_type: EventTypeName,
    /// The bytes as given.
    pub payload: Bytes,
    /// What the payload is.
    pub content_type: String,
    /// When it happened.
    pub occurred_at: i64,
    /// How many deliveries it has.
    pub delivery_count: u16,
    /// The trace context that came with it.
    pub traceparent: Option<String>,
    /// The source that brought it. None: it was emitted.
    pub source_id: Option<SourceId>,
    /// The batch that it was an item of.
    pub batch_id: Option<InboundId>,
    /// The provider's headers that go out with it, names in lower case.
    pub headers: Vec<(String, String)>,
}

impl Event {
    /// The inbound request that brought the event.
    pub(crate) fn inbound_id(&self) -> Option<InboundId> {
        inbound_id(self.id, self.source_id, self.batch_id, self.occurred_at)
    }
}

/// The inbound request that an event is, or the batch that it came in. None: it was emitted, or is a replay, whose id is
/// younger than what happened.
pub(crate) fn inbound_id(
    id: EventId,
    source: Option<SourceId>,
    batch: Option<InboundId>,
    occurred_at: i64,
) -> Option<InboundId> {
    let is_first = source.is_some() && occurred_at == id.created_at();
    is_first.then(|| batch.unwrap_or_else(|| InboundId::from_uuid(id.uuid())))
}

impl std::fmt::Debug for Event {
    /// Names the event without its payload: payloads are never printed.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Event")
            .field("id", &self.id)
            .field("event_type", &self.event_type)
            .field("payload_bytes", &self.payload.len())
            .finish_non_exhaustive()
    }
}

/// What a caller wants emitted, checked.
#[derive(Debug, Clone)]
pub(crate) struct NewEvent {
    /// Its type.
    pub event_type: EventTypeName,
    /// The bytes as given.
    pub payload: Bytes,
    /// What the payload is.
    pub content_type: String,
    /// When it happened. None: now.
    pub occurred_at: Option<i64>,
    /// Two emits with one key make one event.
    pub idempotency_key: Option<String>,
    /// The trace context to pass on.
    pub traceparent: Option<String>,
    /// The source that had brought the content. None: the caller emits its own.
    pub source_id: Option<SourceId>,
    /// The batch that it was an item of.
    pub batch_id: Option<InboundId>,
    /// The provider's headers that go out with it, names in lower case.
    pub headers: Vec<(String, String)>,
}

impl NewEvent {
    /// What two emits with one idempotency key must have in common.
    pub(crate) fn content_hash(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for part in [
            self.event_type.as_str().as_bytes(),
            self.content_type.as_bytes(),
            &self.payload,
        ] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        hash.update(self.occurred_at.unwrap_or(i64::MIN).to_be_bytes());
        hash.finalize().into()
    }
}

/// Why a payload is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PayloadError {
    /// There is none.
    #[error("must not be empty")]
    Empty,
    /// It is over the limit, in bytes.
    #[error("must be at most {0} bytes")]
    TooLong(usize),
    /// It is not text.
    #[error("must be valid UTF-8")]
    NotText,
    /// It is called JSON but is not.
    #[error("must be one JSON text, or `content_type` must name another media type")]
    NotJson,
    /// It is JSON that nests too deep.
    #[error("must nest at most {JSON_DEPTH_MAX} deep")]
    TooDeep,
}

/// Checks a payload against `bytes_max` and its media type.
pub(crate) fn check_payload(
    payload: &[u8],
    content_type: &str,
    bytes_max: usize,
) -> Result<(), PayloadError> {
    if payload.is_empty() {
        return Err(PayloadError::Empty);
    }
    if payload.len() > bytes_max {
        return Err(PayloadError::TooLong(bytes_max));
    }
    if std::str::from_utf8(payload).is_err() {
        return Err(PayloadError::NotText);
    }
    if !is_json(content_type) {
        return Ok(());
    }
    if nesting(payload) > JSON_DEPTH_MAX {
        return Err(PayloadError::TooDeep);
    }
    serde_json::from_slice::<serde::de::IgnoredAny>(payload)
        .map(drop)
        .map_err(|_| PayloadError::NotJson)
}

/// What came as JSON without the byte order mark that may be before it: a reader may pass over it, while whoever writes JSON,
/// as an emitter does, must not put one there (RFC 8259, section 8.1).
pub(crate) fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text)
}

/// Whether a media type is JSON: `application/json`, `text/json` or `+json`, parameters aside (RFC 6839 section 3.1).
pub(crate) fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    ["application/json", "text/json"]
        .iter()
        .any(|json| essence.eq_ignore_ascii_case(json))
        || essence.len() > 5
            && essence.as_bytes()[essence.len() - 5..].eq_ignore_ascii_case(b"+json")
}

/// Whether a text is a media type: two tokens joined by `/`, then parameters of visible characters (RFC 9110
/// section 8.3.1).
pub(crate) fn is_media_type(text: &str) -> bool {
    let is_token = |part: &str| {
        let is_char = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'+-.^_`|~".contains(&byte);
        !part.is_empty() && part.bytes().all(is_char)
    };
    let (essence, parameters) = text.split_once(';').unwrap_or((text, "a"));
    let is_visible = parameters.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    let tokens = essence.trim_end().split_once('/');
    is_visible
        && !parameters.trim().is_empty()
        && tokens.is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype))
}

/// Whether a W3C trace context is well-formed: `00-<32 hex>-<16 hex>-<2 hex>`, ids not zero
/// (<https://www.w3.org/TR/trace-context/#traceparent-header-field-values>).
pub(crate) fn is_traceparent(text: &str) -> bool {
    let parts = text.split('-').collect::<Vec<_>>();
    let [version, trace, parent, flags] = parts[..] else {
        return false;
    };
    let is_hex = |part: &str, len| {
        part.len() == len
            && part
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_id = |part, len| is_hex(part, len) && part.bytes().any(|byte| byte != b'0');
    version == "00" && is_id(trace, 32) && is_id(parent, 16) && is_hex(flags, 2)
}

/// How deep brackets nest outside strings, whether or not they match.
fn nesting(payload: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in payload {
        match (in_string, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => in_string = !in_string,
            (false, b'{' | b'[') => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            (false, b'}' | b']') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(payload: &[u8]) -> Result<(), PayloadError> {
        check_payload(payload, JSON, 1_000)
    }

    #[test]
    fn a_json_payload_is_one_json_text() {
        let deepest = format!("{}{}", "[".repeat(64), "]".repeat(64));
        for good in [
            "{}",
            "null",
            " [1, 2] ",
            "\"[[[\"",
            "-0",
            "1e400",
            r#"{"a":1,"a":2}"#,
            &deepest,
        ] {
            assert_eq!(check(good.as_bytes()), Ok(()), "{good}");
        }
        for bad in ["{", "{} {}", "nul", "'a'", "[1,]", "\u{feff}{}", "]"] {
            assert_eq!(check(bad.as_bytes()), Err(PayloadError::NotJson), "{bad}");
        }
    }

    #[test]
    fn a_payload_is_text_within_its_limits() {
        let too_deep = "[".repeat(65);
        for (payload, error) in [
            (&b""[..], PayloadError::Empty),
            (&[b'1'; 1_001], PayloadError::TooLong(1_000)),
            (b"\"\xff\"", PayloadError::NotText),
            (b"\"\0\"", PayloadError::NotJson),
            (too_deep.as_bytes(), PayloadError::TooDeep),
            (&[b'['; 1_000], PayloadError::TooDeep),
        ] {
            assert_eq!(check(payload), Err(error));
        }
    }

    #[test]
    fn only_json_media_types_are_parsed() {
        for json in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/cloudevents+json",
        ] {
            assert_eq!(
                check_payload(b"no", json, 10),
                Err(PayloadError::NotJson),
                "{json}"
            );
        }
        for other in ["text/plain", "application/xml", "json", "+json"] {
            assert_eq!(check_payload(b"no\0", other, 10), Ok(()), "{other}");
        }
    }

    #[test]
    fn a_media_type_is_two_tokens_and_parameters() {
        for good in [
            "text/plain",
            "application/vnd.a+json; charset=utf-8",
            "a/b ;c=d",
        ] {
            assert!(is_media_type(good), "{good}");
        }
        for bad in [
            "",
            "/",
            "a/",
            "/b",
            "json",
            "a/b, c/d",
            "*/*",
            "text/plain;",
            "a/b;c=\n",
            "a b/c",
        ] {
            assert!(!is_media_type(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_trace_context_is_well_formed_or_dropped() {
        assert!(is_traceparent(
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        ));
        for text in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n",
        ] {
            assert!(!is_traceparent(text), "{text:?}");
        }
    }

    #[test]
    fn the_content_hash_tells_every_part_apart() {
        let event = |kind: &str, payload: &'static str, occurred_at| NewEvent {
            event_type: EventTypeName::parse(kind).unwrap(),
            payload: Bytes::from_static(payload.as_bytes()),
            content_type: JSON.to_owned(),
            occurred_at,
            idempotency_key: None,
            traceparent: None,
            source_id: None,
            batch_id: None,
            headers: Vec::new(),
        };
        let base = event("a.b", "{}", None).content_hash();
        assert_eq!(base, event("a.b", "{}", None).content_hash());
        for other in [
            event("a.c", "{}", None),
            event("a.b", "[]", None),
            event("a.b", "{}", Some(0)),
        ] {
            assert_ne!(base, other.content_hash());
        }
    }
}
