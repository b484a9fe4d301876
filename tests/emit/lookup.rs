//! Looking at events that were emitted.

use bytes::Bytes;
use posthorn::v1::{EmitEventRequest, GetEventRequest, ListEventsRequest, Role};
use posthorn_harness::{Answer, Deployment, StoreKind, eventually};
use tonic::Code;

use crate::support::{
    DEADLINE,
    refusal::{assert_invalid, assert_refused},
};

on_both! {
    an_event_can_be_read_back_and_a_viewer_sees_no_payload,
    events_are_listed_newest_first_in_pages,
    o4_an_emitter_finds_its_event_by_its_key_and_hears_how_far_it_is,
}

async fn an_event_can_be_read_back_and_a_viewer_sees_no_payload(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let url = deployment.receiver.url("/");
    deployment.admin.create_endpoint(&url, &["*"]).await;
    let payload = Bytes::from_static(b" {\"a\": 1} ");
    let emitted = deployment.admin.emit("a.b", payload.clone()).await;
    let request = GetEventRequest {
        tenant_id: deployment.tenant_id.clone(),
        event_id: emitted.event_id.clone(),
        ..GetEventRequest::default()
    };
    for (role, sees_payload) in [
        (Role::Admin, true),
        (Role::Operator, true),
        (Role::Viewer, false),
    ] {
        let client = deployment.client(&[role]).await;
        let answer = client.events().get_event(request.clone()).await;
        let event = answer.expect("it is there").into_inner().event;
        let event = event.expect("the answer holds the event");
        assert_eq!(event.event_id, emitted.event_id);
        assert_eq!(event.event_type, "a.b");
        assert_eq!(event.content_type, "application/json");
        assert_eq!(event.delivery_count, 1);
        assert_eq!(event.payload_bytes, 10);
        assert_eq!(event.occurred_at, event.created_at);
        let expected = if sees_payload { &payload[..] } else { b"" };
        assert_eq!(event.payload, expected, "{role:?}");
    }
}

async fn o4_an_emitter_finds_its_event_by_its_key_and_hears_how_far_it_is(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let endpoint = |path| deployment.receiver.url(path);
    deployment.receiver.answer("/bad", Answer::Status(400));
    for path in ["/good", "/bad"] {
        deployment
            .admin
            .create_endpoint(&endpoint(path), &["*"])
            .await;
    }
    let client = deployment.client(&[Role::Emitter]).await;
    let event = EmitEventRequest {
        idempotency_key: "order-1".to_owned(),
        ..client.event("a.b", "{}")
    };
    let emitted = client.events().emit_event(event).await;
    let emitted = emitted.expect("it is accepted").into_inner();
    let get = async |event_id: &str, idempotency_key: &str| {
        let request = GetEventRequest {
            tenant_id: String::new(),
            event_id: event_id.to_owned(),
            idempotency_key: idempotency_key.to_owned(),
        };
        client.events().get_event(request).await
    };
    eventually("one is delivered and one is dead", DEADLINE, async || {
        let found = get("", "order-1").await.expect("it is there").into_inner();
        let event = found.event.expect("the answer holds the event");
        assert_eq!(event.event_id, emitted.event_id);
        assert!(event.payload.is_empty(), "an emitter sees no payload");
        (found.pending_count, found.dead_count, event.delivery_count) == (0, 1, 2)
    })
    .await;
    assert_refused("unknown", get("", "order-2").await, Code::NotFound);
    let both = get(&emitted.event_id, "order-1").await;
    assert_invalid("both", both, "idempotency_key");
    assert_invalid("neither", get("", "").await, "event_id");
    let long = "x".repeat(257);
    assert_invalid("too long", get("", &long).await, "idempotency_key");
}

async fn events_are_listed_newest_first_in_pages(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let mut emitted = Vec::new();
    for number in 0..7 {
        let event_type = ["even.one", "odd.one"][number % 2];
        let event = deployment.admin.emit(event_type, "{}").await;
        emitted.push((event_type, event.event_id));
    }
    emitted.reverse();
    let list = async |event_type: &str, page_size| {
        let mut request = ListEventsRequest {
            tenant_id: deployment.tenant_id.clone(),
            event_type: event_type.to_owned(),
            page_size,
            ..ListEventsRequest::default()
        };
        let mut ids = Vec::new();
        loop {
            let page = deployment.admin.events().list_events(request.clone()).await;
            let page = page.expect("events are listed").into_inner();
            assert!(page.events.len() <= 3);
            assert!(page.events.iter().all(|event| event.payload.is_empty()));
            ids.extend(page.events.into_iter().map(|event| event.event_id));
            if page.next_page_token.is_empty() {
                return ids;
            }
            request.page_token = page.next_page_token;
        }
    };
    let all: Vec<&str> = emitted.iter().map(|(_, id)| id.as_str()).collect();
    assert_eq!(list("", 3).await, all);
    let odd = emitted.iter().filter(|(kind, _)| *kind == "odd.one");
    let odd: Vec<&str> = odd.map(|(_, id)| id.as_str()).collect();
    assert_eq!(list("odd.one", 2).await, odd);
}
