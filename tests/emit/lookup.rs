//! Looking at events that were emitted.

use bytes::Bytes;
use posthorn::v1::{GetEventRequest, ListEventsRequest, Role};
use posthorn_harness::{Deployment, StoreKind};

on_both! {
    an_event_can_be_read_back_and_a_viewer_sees_no_payload,
    events_are_listed_newest_first_in_pages,
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
