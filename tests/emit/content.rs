//! What goes out is what came in.

use std::collections::BTreeMap;

use posthorn::v1::{EmitEventRequest, emit_event_request::Content};
use posthorn_harness::{Deployment, StoreKind};
use prost_types::{Value, value::Kind};

use crate::support::DEADLINE;

on_both! {
    payloads_go_out_byte_for_byte,
    typed_json_goes_out_compact_with_sorted_keys,
    a_trace_context_is_passed_on_and_a_broken_one_is_dropped,
}

async fn payloads_go_out_byte_for_byte(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let url = deployment.receiver.url("/bytes");
    deployment.admin.create_endpoint(&url, &["*"]).await;
    let mut sent = BTreeMap::new();
    let long = format!("\"{}\"", "x".repeat(256 * 1024 - 2));
    for (content_type, payload) in [
        ("", "{}"),
        ("", " { \"b\" : 1 ,\n\t\"a\":1e400, \"a\":-0 } \r\n"),
        (
            "",
            r#"{"n":123456789012345678901234567890,"e":"\u0000\ud83d\ude00é"}"#,
        ),
        ("", "null"),
        ("", "7"),
        ("", &long),
        ("application/vnd.example+json", "[1, 2]"),
        ("text/plain; charset=utf-8", "not JSON at all {"),
        ("text/plain", "a\0b\u{fffe}"),
        ("", r#"{"e":"\ud800","\udc00":0}"#),
        ("application/x-www-form-urlencoded", "a=1&b=%20"),
    ] {
        let request = EmitEventRequest {
            content_type: content_type.to_owned(),
            ..deployment.admin.event("bytes.sent", payload.to_owned())
        };
        let answer = deployment.admin.events().emit_event(request).await;
        let event_id = answer.expect("it is accepted").into_inner().event_id;
        sent.insert(event_id, (content_type, payload));
    }
    let received = deployment.receiver.received("/bytes");
    for request in received.await_distinct(sent.len(), DEADLINE).await {
        let (content_type, payload) = sent[request.webhook_id()];
        assert_eq!(request.body, payload.as_bytes());
        let expected = match content_type {
            "" => "application/json",
            given => given,
        };
        assert_eq!(request.header("content-type"), expected);
        assert_eq!(request.header("webhook-event-type"), "bytes.sent");
        assert_eq!(request.header("webhook-attempt"), "1");
        assert!(request.header("user-agent").starts_with("Posthorn/"));
    }
}

async fn typed_json_goes_out_compact_with_sorted_keys(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let url = deployment.receiver.url("/data");
    deployment.admin.create_endpoint(&url, &["*"]).await;
    let text = |text: &str| Value {
        kind: Some(Kind::StringValue(text.to_owned())),
    };
    let number = |number: f64| Value {
        kind: Some(Kind::NumberValue(number)),
    };
    let fields = [("b", text("z\"")), ("a", number(7.0)), ("c", number(0.5))];
    let data = Value {
        kind: Some(Kind::StructValue(prost_types::Struct {
            fields: fields.map(|(name, value)| (name.to_owned(), value)).into(),
        })),
    };
    let request = EmitEventRequest {
        content: Some(Content::Data(data)),
        ..deployment.admin.event("data.typed", "")
    };
    let answer = deployment.admin.events().emit_event(request).await;
    answer.expect("it is accepted");
    let received = deployment.receiver.received("/data");
    let requests = received.await_count(1, DEADLINE).await;
    assert_eq!(requests[0].body, r#"{"a":7,"b":"z\"","c":0.5}"#);
}

async fn a_trace_context_is_passed_on_and_a_broken_one_is_dropped(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let url = deployment.receiver.url("/");
    deployment.admin.create_endpoint(&url, &["*"]).await;
    let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let long = "0".repeat(10_000);
    let mut expected = BTreeMap::new();
    for (given, passed_on) in [
        (good, good),
        ("", ""),
        ("00-xyz", ""),
        (
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "",
        ),
        ("evil\r\nx-header: 1", ""),
        (&long, ""),
    ] {
        let request = EmitEventRequest {
            traceparent: given.to_owned(),
            ..deployment.admin.event("a.b", "{}")
        };
        let answer = deployment.admin.events().emit_event(request).await;
        let event_id = answer.expect("it is accepted").into_inner().event_id;
        expected.insert(event_id, passed_on);
    }
    let received = deployment.receiver.received("/");
    for request in received.await_distinct(expected.len(), DEADLINE).await {
        let passed_on = expected[request.webhook_id()];
        assert_eq!(request.header("traceparent"), passed_on);
        assert!(request.headers.get("x-header").is_none());
    }
}
