//! Reading an event to emit: every field against its limit.

use bytes::Bytes;
use posthorn::v1::{EmitEventRequest, emit_event_request::Content};
use prost_types::Value;

use super::convert::{instant_ms, json_value};
use crate::{
    error::Error,
    model::{
        event::{
            self, CONTENT_TYPE_CHARS_MAX, IDEMPOTENCY_KEY_CHARS_MAX, JSON, NewEvent,
            OCCURRED_AHEAD_MAX_MS,
        },
        event_type::EventTypeName,
    },
};

/// Reads an event whose payload may have `payload_bytes_max` bytes.
pub(super) fn parse(
    request: EmitEventRequest,
    payload_bytes_max: usize,
    now_ms: i64,
) -> Result<NewEvent, Error> {
    let event_type = event_type(&request.event_type)?;
    let content_type = content_type(request.content_type)?;
    let (field, payload) = match request.content {
        None => {
            return Err(Error::invalid(
                "payload",
                "set `payload` (bytes) or `data` (JSON)",
            ));
        }
        Some(Content::Payload(payload)) => ("payload", payload),
        Some(Content::Data(data)) => ("data", json(&data)?),
    };
    event::check_payload(&payload, &content_type, payload_bytes_max)
        .map_err(|error| Error::invalid(field, error.to_string()))?;
    let occurred_at = request
        .occurred_at
        .map(|at| instant_ms("occurred_at", &at))
        .transpose()?;
    if occurred_at.is_some_and(|at| at < 0 || at > now_ms.saturating_add(OCCURRED_AHEAD_MAX_MS)) {
        return Err(Error::invalid(
            "occurred_at",
            "must not be before 1970 or more than 24 h ahead",
        ));
    }
    Ok(NewEvent {
        event_type,
        payload,
        content_type,
        occurred_at,
        idempotency_key: idempotency_key(request.idempotency_key)?,
        traceparent: Some(request.traceparent).filter(|text| event::is_traceparent(text)),
        source_id: None,
        batch_id: None,
        headers: Vec::new(),
    })
}

/// Reads the name of an event type.
pub(super) fn event_type(text: &str) -> Result<EventTypeName, Error> {
    EventTypeName::parse(text).map_err(|error| Error::invalid("event_type", error.to_string()))
}

fn content_type(text: String) -> Result<String, Error> {
    if text.is_empty() {
        return Ok(JSON.to_owned());
    }
    if text.len() > CONTENT_TYPE_CHARS_MAX || !event::is_media_type(&text) {
        let description =
            format!("must be a media type of at most {CONTENT_TYPE_CHARS_MAX} characters");
        return Err(Error::invalid("content_type", description));
    }
    Ok(text)
}

/// Reads an idempotency key. None: it is empty.
pub(super) fn idempotency_key(text: String) -> Result<Option<String>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    let is_printable = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if text.len() > IDEMPOTENCY_KEY_CHARS_MAX || !is_printable || text.trim().is_empty() {
        let description =
            format!("must be 1 to {IDEMPOTENCY_KEY_CHARS_MAX} printable ASCII characters");
        return Err(Error::invalid("idempotency_key", description));
    }
    Ok(Some(text))
}

/// Writes a JSON value compactly, keys sorted.
fn json(value: &Value) -> Result<Bytes, Error> {
    let value = json_value("data", value)?;
    Ok(Bytes::from(value.to_string()))
}

#[cfg(test)]
mod tests {
    use prost_types::value::Kind;

    use super::*;

    const NOW_MS: i64 = 1_764_000_000_000;

    fn request(content: Content) -> EmitEventRequest {
        EmitEventRequest {
            event_type: "order.paid".to_owned(),
            content: Some(content),
            ..EmitEventRequest::default()
        }
    }

    fn good() -> EmitEventRequest {
        request(Content::Payload(Bytes::from_static(b"{}")))
    }

    fn field_of(request: EmitEventRequest) -> String {
        match parse(request, 1_000, NOW_MS) {
            Err(Error::Invalid(violations)) => violations[0].field.clone(),
            other => format!("{other:?}"),
        }
    }

    fn value(kind: Kind) -> Value {
        Value { kind: Some(kind) }
    }

    #[test]
    fn each_bad_field_is_named() {
        let with = |change: &dyn Fn(&mut EmitEventRequest)| {
            let mut request = good();
            change(&mut request);
            field_of(request)
        };
        assert_eq!(with(&|r| r.event_type = "a..b".to_owned()), "event_type");
        assert_eq!(with(&|r| r.content = None), "payload");
        assert_eq!(
            with(&|r| r.content = Some(Content::Payload(Bytes::new()))),
            "payload"
        );
        assert_eq!(
            with(&|r| r.idempotency_key = "k".repeat(257)),
            "idempotency_key"
        );
        assert_eq!(
            with(&|r| r.idempotency_key = "a\0".to_owned()),
            "idempotency_key"
        );
        assert_eq!(
            with(&|r| r.content_type = "json".to_owned()),
            "content_type"
        );
        let at = |seconds| prost_types::Timestamp { seconds, nanos: 0 };
        assert_eq!(
            with(&|r| r.occurred_at = Some(at(-62_135_596_800))),
            "occurred_at"
        );
        assert_eq!(
            with(&|r| r.occurred_at = Some(at(NOW_MS / 1_000 + 48 * 3_600))),
            "occurred_at"
        );
        assert_eq!(
            field_of(request(Content::Data(value(Kind::NumberValue(f64::NAN))))),
            "data"
        );
    }

    #[test]
    fn data_is_written_compactly_with_whole_numbers_as_such() {
        let list = prost_types::ListValue {
            values: vec![value(Kind::NumberValue(2.0)), value(Kind::NumberValue(0.5))],
        };
        let fields = [
            ("b".to_owned(), value(Kind::ListValue(list))),
            ("a".to_owned(), value(Kind::NullValue(0))),
        ];
        let data = value(Kind::StructValue(prost_types::Struct {
            fields: fields.into(),
        }));
        let event = parse(request(Content::Data(data)), 1_000, NOW_MS).unwrap();
        assert_eq!(event.payload, r#"{"a":null,"b":[2,0.5]}"#);
    }

    #[test]
    fn data_that_nests_too_deep_is_refused() {
        let mut data = value(Kind::NullValue(0));
        for _ in 0..70 {
            data = value(Kind::ListValue(prost_types::ListValue {
                values: vec![data],
            }));
        }
        assert_eq!(field_of(request(Content::Data(data))), "data");
    }

    #[test]
    fn a_malformed_trace_context_is_dropped() {
        let mut request = good();
        request.traceparent = "00-junk".to_owned();
        assert_eq!(parse(request, 1_000, NOW_MS).unwrap().traceparent, None);
    }
}
