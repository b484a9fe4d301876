//! Replays: the same bytes once more, as a new event.

use std::collections::BTreeSet;

use posthorn::v1::{
    DeleteSourceRequest, InboundActionKind, ReplayInboundRequestRequest,
    ReplayInboundRequestResponse, Role, Verdict,
};
use posthorn_harness::{Client, StoreKind};
use tonic::{Code, Response, Status};

use super::World;
use crate::support::{
    DEADLINE,
    hand_edge::forwarded,
    refusal::{assert_invalid, assert_refused},
    unknown,
};

on_both! {
    a_replay_is_one_new_event_for_each_request_id,
    only_what_verified_is_replayed,
    a_deleted_source_leaves_its_requests_and_their_replays,
}

async fn replay(
    client: &Client,
    id: &str,
    request_id: &str,
) -> Result<Response<ReplayInboundRequestResponse>, Status> {
    let request = ReplayInboundRequestRequest {
        tenant_id: client.tenant_id.clone(),
        inbound_request_id: id.to_owned(),
        reason: "the consumer lost it".to_owned(),
        request_id: request_id.to_owned(),
    };
    client.inbound().replay_inbound_request(request).await
}

async fn a_replay_is_one_new_event_for_each_request_id(store: StoreKind) {
    let mut world = World::start(store).await;
    let url = world.deployment.receiver.url("/");
    world.deployment.admin.create_endpoint(&url, &["*"]).await;
    let body = r#"{ "type": "a.b", "n": 1e400 }"#;
    let mut request = world.provider.request("evt_1", body);
    request
        .headers_mut()
        .insert("x-part", "7 of 9".parse().expect("it is a value"));
    let answer = world.edge.ask(forwarded(request).await).await;
    assert!((200..300).contains(&answer.status), "{answer:?}");
    let record = world.newest(Verdict::Accepted, 1).await;
    let id = &record.inbound_request_id;

    let mut events = BTreeSet::from([record.event_id.clone()]);
    for request_id in ["one", "one", "two", "one"] {
        let answer = replay(&world.deployment.admin, id, request_id).await;
        let answer = answer.expect("it is replayed").into_inner();
        assert_eq!(answer.delivery_count, 1);
        events.insert(answer.event_id);
    }
    assert_eq!(events.len(), 3, "{events:?}");
    let received = world.deployment.receiver.received("/");
    for request in received.await_distinct(3, DEADLINE).await {
        assert_eq!(request.body, body);
        assert_eq!(request.header("x-part"), "7 of 9");
        assert!(events.contains(request.webhook_id()), "{request:?}");
        assert_eq!(request.header("webhook-event-type"), record.event_type);
    }
    let actions = world.get(id).await.actions;
    let logged = actions.iter().map(|action| action.event_id.clone());
    assert_eq!(
        logged.chain([record.event_id]).collect::<BTreeSet<_>>(),
        events
    );
    let kinds = world.kinds(id).await;
    assert_eq!(kinds, [InboundActionKind::Replay; 2]);
}

async fn only_what_verified_is_replayed(store: StoreKind) {
    let mut world = World::start(store).await;
    let (body, other) = (r#"{"type":"a.b","n":1}"#, r#"{"type":"a.b","n":2}"#);
    let id = world.accepted("evt_1", body).await.inbound_request_id;
    let refused = [
        world.rejected("evt_2", body).await,
        world.quarantined("evt_3").await,
    ];
    let admin = world.deployment.admin.clone();
    for record in refused {
        let answer = replay(&admin, &record.inbound_request_id, "").await;
        assert_refused("it is no event", answer, Code::FailedPrecondition);
        assert_eq!(world.kinds(&record.inbound_request_id).await, []);
    }
    let duplicate = world.repeated("evt_1", body, Verdict::Duplicate).await;
    let conflict = world.repeated("evt_1", other, Verdict::Conflict).await;
    let url = world.deployment.receiver.url("/");
    admin.create_endpoint(&url, &["*"]).await;
    let received = world.deployment.receiver.received("/");
    for (place, (record, sent)) in [(duplicate, body), (conflict, other)].iter().enumerate() {
        let answer = replay(&admin, &record.inbound_request_id, "").await;
        answer.expect("a repeat is replayed");
        let arrived = received.await_count(place + 1, DEADLINE).await;
        assert_eq!(arrived[place].body, *sent);
    }

    let viewer = world.deployment.client(&[Role::Viewer]).await;
    let answer = replay(&viewer, &id, "").await;
    assert_refused("a viewer", answer, Code::PermissionDenied);
    let stranger = world.other_tenant().await;
    for id in [id.as_str(), unknown::INBOUND] {
        let answer = replay(&stranger, id, "").await;
        assert_refused("another tenant", answer, Code::NotFound);
    }
    let request = ReplayInboundRequestRequest {
        tenant_id: world.deployment.tenant_id.clone(),
        inbound_request_id: id.clone(),
        ..ReplayInboundRequestRequest::default()
    };
    let answer = admin.inbound().replay_inbound_request(request).await;
    assert_invalid("no reason", answer, "reason");
    assert_eq!(world.kinds(&id).await, []);
}

async fn a_deleted_source_leaves_its_requests_and_their_replays(store: StoreKind) {
    let mut world = World::start(store).await;
    let body = r#"{"type":"a.b"}"#;
    let accepted = world.accepted("evt_1", body).await;
    let conflict = world.repeated("evt_1", "{}", Verdict::Conflict).await;
    let admin = world.deployment.admin.clone();
    let request = DeleteSourceRequest {
        tenant_id: world.deployment.tenant_id.clone(),
        source_id: world.source_id.clone(),
        ..DeleteSourceRequest::default()
    };
    let deleted = admin.sources().delete_source(request).await;
    deleted.expect("it is deleted");
    let url = world.deployment.receiver.url("/");
    admin.create_endpoint(&url, &["*"]).await;
    for record in [accepted, conflict] {
        let id = record.inbound_request_id.clone();
        assert_eq!(world.get(&id).await.request, Some(record));
        let answer = replay(&admin, &id, "").await;
        assert_eq!(
            answer.expect("it is replayed").into_inner().delivery_count,
            1
        );
    }
    let received = world.deployment.receiver.received("/");
    let received = received.await_distinct(2, DEADLINE).await;
    let mut bodies = received
        .iter()
        .map(|request| &request.body[..])
        .collect::<Vec<_>>();
    bodies.sort_unstable();
    assert_eq!(bodies, [body.as_bytes(), b"{}"]);
}
