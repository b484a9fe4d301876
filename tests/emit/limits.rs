//! What an event may not be, and which field the refusal names.

use posthorn::v1::{EmitEventRequest, emit_event_request::Content};
use posthorn_harness::{Deployment, StoreKind};
use prost_types::{ListValue, Timestamp, Value, value::Kind};

use crate::support::{refusal::assert_invalid, time::from_now};

on_both! {
    an_event_out_of_its_limits_is_refused_with_the_field_at_fault,
    an_event_at_its_limits_is_accepted,
}

type Change = Box<dyn Fn(&mut EmitEventRequest)>;

async fn an_event_out_of_its_limits_is_refused_with_the_field_at_fault(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    for (what, field, change) in bad() {
        let mut request = deployment.admin.event("order.paid", "{}");
        change(&mut request);
        let result = deployment.admin.events().emit_event(request).await;
        assert_invalid(&what, result, field);
    }
}

async fn an_event_at_its_limits_is_accepted(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    for (what, change) in good() {
        let mut request = deployment.admin.event("order.paid", "{}");
        change(&mut request);
        let result = deployment.admin.events().emit_event(request).await;
        assert!(result.is_ok(), "{what}: {result:?}");
    }
}

fn bad() -> Vec<(String, &'static str, Change)> {
    let mut cases: Vec<(String, &'static str, Change)> = Vec::new();
    for name in [
        "",
        " ",
        "a..b",
        ".a",
        "a.",
        "a b",
        "a/b",
        "*",
        "a.*",
        "café",
        "a\0b",
        "order.paid\n",
    ] {
        cases.push((format!("type {name:?}"), "event_type", event_type(name)));
    }
    let long = "x".repeat(129);
    cases.push(("long type".to_owned(), "event_type", event_type(&long)));
    cases.push((
        "no content".to_owned(),
        "payload",
        Box::new(|event| event.content = None),
    ));
    for (what, payload) in bad_payloads() {
        cases.push((what.to_owned(), "payload", content(payload)));
    }
    cases.push((
        "text that is not UTF-8".to_owned(),
        "payload",
        Box::new(|event| {
            "text/plain".clone_into(&mut event.content_type);
            event.content = Some(Content::Payload(vec![b'a', 0xff].into()));
        }),
    ));
    for (what, data) in [
        ("a number that JSON has not", number(f64::NAN)),
        ("data without a kind", Value { kind: None }),
    ] {
        cases.push((
            what.to_owned(),
            "data",
            Box::new(move |event| {
                event.content = Some(Content::Data(data.clone()));
            }),
        ));
    }
    for key in [
        "x".repeat(257),
        "a\0".to_owned(),
        "é".to_owned(),
        "a\n".to_owned(),
    ] {
        cases.push((
            format!("key {key:?}"),
            "idempotency_key",
            Box::new(move |event| {
                event.idempotency_key.clone_from(&key);
            }),
        ));
    }
    for (what, instant) in bad_instants() {
        cases.push((
            what.to_owned(),
            "occurred_at",
            Box::new(move |event| {
                event.occurred_at = Some(instant);
            }),
        ));
    }
    for kind in [
        "x".repeat(129),
        "text/plain\r\nx: y".to_owned(),
        "é/plain".to_owned(),
        "json".to_owned(),
    ] {
        cases.push((
            format!("content type {kind:?}"),
            "content_type",
            Box::new(move |event| {
                event.content_type.clone_from(&kind);
            }),
        ));
    }
    cases
}

fn bad_payloads() -> Vec<(&'static str, Vec<u8>)> {
    let text = |text: &str| text.as_bytes().to_vec();
    vec![
        ("nothing", Vec::new()),
        ("blanks", text("  ")),
        ("not JSON", text("{")),
        ("two JSON texts", text("{} {}")),
        ("a trailing comma", text("[1,]")),
        ("a byte order mark", text("\u{feff}{}")),
        ("a bare NUL", text("{\"a\":\"\0\"}")),
        ("invalid UTF-8", vec![b'"', 0xc3, 0x28, b'"']),
        ("nested 65 deep", nested(65)),
        ("nested very deep", nested(100_000)),
        (
            "over 256 KiB",
            format!("\"{}\"", "x".repeat(256 * 1024 - 1)).into_bytes(),
        ),
    ]
}

fn bad_instants() -> Vec<(&'static str, Timestamp)> {
    let at = |seconds, nanos| Timestamp { seconds, nanos };
    vec![
        ("before 1970", at(-1, 0)),
        ("the year 1", at(-62_135_596_800, 0)),
        ("the year 10000", at(253_402_300_800, 0)),
        ("48 h ahead", from_now(48 * 3600)),
        ("too many nanoseconds", at(1_700_000_000, 1_000_000_000)),
        ("negative nanoseconds", at(1_700_000_000, -1)),
        ("the end of time", at(i64::MAX, 0)),
    ]
}

fn good() -> Vec<(&'static str, Change)> {
    vec![
        ("the longest type", event_type(&"x".repeat(128))),
        ("one letter", event_type("x")),
        ("all letters of a type", event_type("Az0_-.b-_9")),
        ("64 deep", content(nested(64))),
        (
            "data 40 deep",
            Box::new(|event| event.content = Some(Content::Data(nested_data(40)))),
        ),
        (
            "256 KiB",
            content(format!("\"{}\"", "x".repeat(256 * 1024 - 2)).into_bytes()),
        ),
        (
            "the longest key",
            Box::new(|event| event.idempotency_key = "~".repeat(256)),
        ),
        (
            "1970",
            Box::new(|event| event.occurred_at = Some(Timestamp::default())),
        ),
        (
            "23 h ahead",
            Box::new(|event| event.occurred_at = Some(from_now(23 * 3600))),
        ),
        (
            "text",
            Box::new(|event| {
                "text/plain".clone_into(&mut event.content_type);
                event.content = Some(Content::Payload("{".into()));
            }),
        ),
    ]
}

fn event_type(name: &str) -> Change {
    let name = name.to_owned();
    Box::new(move |event| event.event_type.clone_from(&name))
}

fn content(payload: Vec<u8>) -> Change {
    Box::new(move |event| event.content = Some(Content::Payload(payload.clone().into())))
}

fn number(number: f64) -> Value {
    Value {
        kind: Some(Kind::NumberValue(number)),
    }
}

/// A JSON text of so many arrays within each other.
fn nested(depth: usize) -> Vec<u8> {
    ["[".repeat(depth), "]".repeat(depth)].concat().into_bytes()
}

/// The same as a value. The innermost array is empty.
fn nested_data(depth: usize) -> Value {
    let list = |values| Value {
        kind: Some(Kind::ListValue(ListValue { values })),
    };
    (1..depth).fold(list(Vec::new()), |inner, _| list(vec![inner]))
}
