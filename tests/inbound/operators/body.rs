//! Looking at a request without its body, and reading the body.

use posthorn::v1::{
    AuditOutcome, GetEventRequest, GetInboundRequestRequest, ListAuditRequest,
    ReadInboundPayloadRequest, Role, Verdict,
};
use posthorn_harness::StoreKind;
use prost::Message as _;
use tonic::Code;

use super::World;
use crate::support::{
    hand_edge::forwarded,
    refusal::{assert_invalid, assert_refused},
    unknown,
};

on_both! {
    a_look_at_a_request_shows_neither_body_nor_credentials,
    o7_the_headers_of_a_request_are_text,
    a_read_needs_a_reason_and_is_recorded,
    a_body_is_read_whatever_became_of_its_request,
    another_tenants_request_is_none,
}

/// The read of a request's body, with a reason.
fn read(world: &World, id: &str) -> ReadInboundPayloadRequest {
    ReadInboundPayloadRequest {
        tenant_id: world.deployment.tenant_id.clone(),
        inbound_request_id: id.to_owned(),
        reason: "ticket 17".to_owned(),
    }
}

async fn o7_the_headers_of_a_request_are_text(store: StoreKind) {
    let mut world = World::start(store).await;
    let mut request = world.provider.request("evt_1", r#"{"type":"a.b"}"#);
    let value = "seen".parse().expect("it is a value");
    request.headers_mut().insert("x-kept-id", value);
    world.edge.ask(forwarded(request).await).await;
    let record = world.newest(Verdict::Accepted, 1).await;
    let values = record.headers.iter().map(|one| (&*one.name, &*one.value));
    let values = values.collect::<Vec<(&str, &str)>>();
    assert!(values.contains(&("x-kept-id", "seen")), "{values:?}");
    assert!(values.contains(&("webhook-id", "evt_1")), "{values:?}");
}

async fn a_look_at_a_request_shows_neither_body_nor_credentials(store: StoreKind) {
    let mut world = World::start(store).await;
    let mut request = world
        .provider
        .request("evt_1", r#"{"type":"a.b","is":"canary-body"}"#);
    for (name, value) in [
        ("cookie", "canary-cookie"),
        ("authorization", "Bearer canary-token"),
        ("x-kept-id", "seen"),
    ] {
        request
            .headers_mut()
            .insert(name, value.parse().expect("it is a value"));
    }
    let answer = world.edge.ask(forwarded(request).await).await;
    assert!((200..300).contains(&answer.status), "{answer:?}");
    let record = world.newest(Verdict::Accepted, 1).await;
    let names = record.headers.iter().map(|header| header.name.as_str());
    let names = names.collect::<Vec<_>>();
    assert!(names.contains(&"x-kept-id"), "{names:?}");
    let shown = world.get(&record.inbound_request_id).await.encode_to_vec();
    let event = GetEventRequest {
        tenant_id: world.deployment.tenant_id.clone(),
        event_id: record.event_id.clone(),
        ..GetEventRequest::default()
    };
    let event = world.deployment.admin.events().get_event(event).await;
    let event = event
        .expect("it is there")
        .into_inner()
        .event
        .expect("the answer holds it");
    assert_eq!(event.source_id, world.source_id);
    for bytes in [shown, event.encode_to_vec()] {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(!text.contains("canary"), "{text}");
    }
}

async fn a_read_needs_a_reason_and_is_recorded(store: StoreKind) {
    let mut world = World::start(store).await;
    let body = r#"{"type":"a.b","n":1e400}"#;
    let id = world.accepted("evt_1", body).await.inbound_request_id;
    let operator = world.deployment.client(&[Role::Operator]).await;
    for reason in ["", " ", "a\nb", &"x".repeat(501)] {
        let request = ReadInboundPayloadRequest {
            reason: reason.to_owned(),
            ..read(&world, &id)
        };
        let answer = operator.inbound().read_inbound_payload(request).await;
        assert_invalid(reason, answer, "reason");
    }
    for roles in [[Role::Viewer], [Role::Emitter], [Role::Consumer]] {
        let client = world.deployment.client(&roles).await;
        let answer = client
            .inbound()
            .read_inbound_payload(read(&world, &id))
            .await;
        assert_refused("the role", answer, Code::PermissionDenied);
    }
    let reads = async || {
        let request = ListAuditRequest {
            tenant_id: world.deployment.tenant_id.clone(),
            method: "ReadInboundPayload".to_owned(),
            outcome: AuditOutcome::Done.into(),
            ..ListAuditRequest::default()
        };
        let listed = world.deployment.admin.audit().list_audit(request).await;
        listed.expect("records are listed").into_inner().records
    };
    assert_eq!(reads().await, []);
    for times in 1..=2 {
        let answer = operator
            .inbound()
            .read_inbound_payload(read(&world, &id))
            .await;
        let answer = answer.expect("it is read").into_inner();
        assert_eq!(answer.body, body);
        assert_eq!(answer.content_type, "application/json");
        let records = reads().await;
        assert_eq!(records.len(), times, "{records:?}");
        for record in records {
            assert_eq!((record.target, record.changes), (id.clone(), Vec::new()));
            assert_eq!(record.reason, "ticket 17");
            assert!(record.key_id.starts_with("key_"));
        }
    }
    assert_eq!(world.kinds(&id).await, []);
}

async fn a_body_is_read_whatever_became_of_its_request(store: StoreKind) {
    let mut world = World::start(store).await;
    let (first, other) = (r#"{"type":"a.b","n":1}"#, r#"{"type":"a.b","n":2}"#);
    let records = [
        (world.accepted("evt_1", first).await, first),
        (
            world.repeated("evt_1", first, Verdict::Duplicate).await,
            first,
        ),
        (
            world.repeated("evt_1", other, Verdict::Conflict).await,
            other,
        ),
        (world.rejected("evt_2", other).await, other),
        (world.quarantined("evt_3").await, "{no json"),
    ];
    let accepted = records[0].0.inbound_request_id.clone();
    for (record, body) in &records {
        let request = read(&world, &record.inbound_request_id);
        let answer = world
            .deployment
            .admin
            .inbound()
            .read_inbound_payload(request)
            .await;
        assert_eq!(
            answer.expect("it is read").into_inner().body,
            *body,
            "{record:?}"
        );
        let repeats = matches!(record.verdict(), Verdict::Duplicate | Verdict::Conflict);
        let original = if repeats { accepted.as_str() } else { "" };
        assert_eq!(record.original_id, original, "{record:?}");
        let refused = matches!(record.verdict(), Verdict::Rejected | Verdict::Quarantined);
        assert_eq!(!record.reason.is_empty(), refused, "{record:?}");
    }
}

async fn another_tenants_request_is_none(store: StoreKind) {
    let mut world = World::start(store).await;
    let id = world
        .accepted("evt_1", r#"{"type":"a.b"}"#)
        .await
        .inbound_request_id;
    let stranger = world.other_tenant().await;
    for id in [id.as_str(), unknown::INBOUND] {
        let request = GetInboundRequestRequest {
            tenant_id: stranger.tenant_id.clone(),
            inbound_request_id: id.to_owned(),
        };
        let answer = stranger.inbound().get_inbound_request(request).await;
        assert_refused(id, answer, Code::NotFound);
        let request = ReadInboundPayloadRequest {
            tenant_id: stranger.tenant_id.clone(),
            ..read(&world, id)
        };
        let answer = stranger.inbound().read_inbound_payload(request).await;
        assert_refused(id, answer, Code::NotFound);
    }
    assert_eq!(world.kinds(&id).await, []);
}
