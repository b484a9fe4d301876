//! Accepting what was taken for a repeat.

use posthorn::v1::{
    AcceptInboundRequestRequest, AcceptInboundRequestResponse, InboundActionKind,
    ReplayInboundRequestRequest, Role, Verdict,
};
use posthorn_harness::{Client, Sql, StoreKind};
use tonic::{Code, Response, Status};

use super::World;
use crate::support::{
    DEADLINE,
    refusal::{assert_invalid, assert_refused},
    unknown,
};

on_both! {
    a_repeat_that_was_none_is_accepted_once_with_its_bytes,
    only_what_was_taken_for_a_repeat_and_is_kept_can_be_accepted,
}

async fn accept(
    client: &Client,
    id: &str,
    request_id: &str,
) -> Result<Response<AcceptInboundRequestResponse>, Status> {
    let request = AcceptInboundRequestRequest {
        tenant_id: client.tenant_id.clone(),
        inbound_request_id: id.to_owned(),
        reason: "it was sent again by hand".to_owned(),
        request_id: request_id.to_owned(),
    };
    client.inbound().accept_inbound_request(request).await
}

async fn a_repeat_that_was_none_is_accepted_once_with_its_bytes(store: StoreKind) {
    let mut world = World::start(store).await;
    let admin = world.deployment.admin.clone();
    let (body, other) = (r#"{ "type": "a.b", "n": 1e400 }"#, r#"{"type":"a.c"}"#);
    let original = world.accepted("evt_1", body).await;
    let duplicate = world.repeated("evt_1", body, Verdict::Duplicate).await;
    let conflict = world.repeated("evt_1", other, Verdict::Conflict).await;
    let url = world.deployment.receiver.url("/");
    admin.create_endpoint(&url, &["*"]).await;
    for (record, sent) in [(&duplicate, body), (&conflict, other)] {
        let id = &record.inbound_request_id;
        let mut events = Vec::new();
        for request_id in [id.as_str(), id, "", &record.body_sha256] {
            let answer = accept(&admin, id, request_id).await;
            let request = answer.expect("it is accepted").into_inner().request;
            let request = request.expect("the answer holds it");
            assert_eq!(request.verdict(), Verdict::Accepted);
            assert_eq!(request.original_id, original.inbound_request_id);
            events.push(request.event_id);
        }
        events.dedup();
        assert_eq!(events.len(), 1, "{events:?}");
        let actions = world.get(id).await.actions;
        assert_eq!(actions.len(), 1, "{actions:?}");
        assert_eq!(actions[0].kind(), InboundActionKind::Accept);
        assert_eq!(actions[0].event_id, events[0]);
        let received = world.deployment.receiver.received("/");
        let count = received.by_webhook_id().len().max(1);
        received.await_distinct(count, DEADLINE).await;
        let arrived = move |request: &posthorn_harness::Request| {
            request.webhook_id() == events[0] && request.body == sent
        };
        posthorn_harness::eventually("its event arrives", DEADLINE, async || {
            received.requests().iter().any(&arrived)
        })
        .await;
    }
    // What comes now repeats the first one still, and what was accepted is found by its id.
    world.repeated("evt_1", body, Verdict::Duplicate).await;
    assert_eq!(world.count(Verdict::Accepted).await, 3);
    assert_eq!(world.count(Verdict::Conflict).await, 0);
    let received = world.deployment.receiver.received("/");
    assert_eq!(received.by_webhook_id().len(), 2);
}

async fn only_what_was_taken_for_a_repeat_and_is_kept_can_be_accepted(store: StoreKind) {
    let mut world = World::start(store).await;
    let admin = world.deployment.admin.clone();
    let body = r#"{"type":"a.b"}"#;
    let original = world.accepted("evt_1", body).await;
    let refused = [
        world.rejected("evt_2", body).await,
        world.quarantined("evt_3").await,
    ];
    for record in refused {
        let answer = accept(&admin, &record.inbound_request_id, "").await;
        assert_refused("it did not verify", answer, Code::FailedPrecondition);
        assert_eq!(world.kinds(&record.inbound_request_id).await, []);
    }
    // What is accepted is answered as it is.
    let answer = accept(&admin, &original.inbound_request_id, "").await;
    let request = answer.expect("it is an event").into_inner().request;
    let event_id = request.map(|request| request.event_id);
    assert_eq!(event_id, Some(original.event_id.clone()));
    assert_eq!(world.kinds(&original.inbound_request_id).await, []);

    let duplicate = world.repeated("evt_1", body, Verdict::Duplicate).await;
    let id = duplicate.inbound_request_id;
    let mut sql = Sql::open(&world.deployment.control.database()).await;
    assert_eq!(sql.run("delete from event").await, 1);
    let answer = accept(&admin, &id, "").await;
    let refusal = assert_refused("its bytes are gone", answer, Code::FailedPrecondition);
    assert_eq!(refusal.reason, "PAYLOAD_ERASED", "{refusal:?}");

    for role in [Role::Viewer, Role::Emitter, Role::Consumer] {
        let client = world.deployment.client(&[role]).await;
        let answer = accept(&client, &id, "").await;
        assert_refused("another role", answer, Code::PermissionDenied);
    }
    let stranger = world.other_tenant().await;
    for id in [id.as_str(), unknown::INBOUND] {
        let answer = accept(&stranger, id, "").await;
        assert_refused("another tenant", answer, Code::NotFound);
    }
    let request = AcceptInboundRequestRequest {
        tenant_id: world.deployment.tenant_id.clone(),
        inbound_request_id: id.clone(),
        ..AcceptInboundRequestRequest::default()
    };
    let answer = admin.inbound().accept_inbound_request(request).await;
    assert_invalid("no reason", answer, "reason");
    let request = ReplayInboundRequestRequest {
        tenant_id: world.deployment.tenant_id.clone(),
        inbound_request_id: id,
        reason: "the bytes are gone".to_owned(),
        ..ReplayInboundRequestRequest::default()
    };
    let answer = admin.inbound().replay_inbound_request(request).await;
    assert_refused("nor can it be replayed", answer, Code::FailedPrecondition);
}
