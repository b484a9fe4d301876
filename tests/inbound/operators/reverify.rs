//! Verifying again what was rejected, once the source's secret is right.

use posthorn::v1::{
    DeliveryState, InboundActionKind, InboundRequest, ReverifyInboundRequestRequest,
    ReverifyInboundRequestResponse, Role, RotateSourceSecretRequest, SetSourceStateRequest,
    SourceSettings, SourceState, Verdict,
};
use posthorn_harness::{Client, StoreKind};
use tonic::{Code, Response, Status};

use super::{World, secret};
use crate::support::{
    DEADLINE,
    follow::await_state,
    hand_edge::posted,
    passing::pass,
    refusal::{assert_invalid, assert_refused},
    time::HOUR,
};

on_both! {
    a_rejected_request_is_accepted_once_the_secret_is_right,
    a_request_that_was_accepted_meanwhile_is_a_duplicate_or_a_conflict,
    a_request_of_an_earlier_day_is_accepted_as_one_of_that_day,
    of_two_that_pass_at_one_time_one_is_accepted,
    a_credential_that_was_not_kept_cannot_pass,
    what_cannot_pass_stays_as_it_is,
}

async fn reverify(
    client: &Client,
    id: &str,
    request_id: &str,
) -> Result<Response<ReverifyInboundRequestResponse>, Status> {
    let request = ReverifyInboundRequestRequest {
        tenant_id: client.tenant_id.clone(),
        inbound_request_id: id.to_owned(),
        reason: "the secret was wrong".to_owned(),
        request_id: request_id.to_owned(),
    };
    client.inbound().reverify_inbound_request(request).await
}

/// Verifies a request again, which must pass, and returns it.
async fn passed(world: &World, id: &str, request_id: &str) -> InboundRequest {
    let answer = reverify(&world.deployment.admin, id, request_id).await;
    let answer = answer.expect("it passes").into_inner();
    answer.request.expect("the answer holds it")
}

/// Gives the source secret 2; secret 1 stays good for a day.
async fn mend(world: &World) {
    let request = RotateSourceSecretRequest {
        tenant_id: world.deployment.tenant_id.clone(),
        source_id: world.source_id.clone(),
        secret: secret(2),
        ..RotateSourceSecretRequest::default()
    };
    let answer = world
        .deployment
        .admin
        .sources()
        .rotate_source_secret(request)
        .await;
    answer.expect("the secret is rotated");
}

async fn a_rejected_request_is_accepted_once_the_secret_is_right(store: StoreKind) {
    let mut world = World::start(store).await;
    let url = world.deployment.receiver.url("/");
    world.deployment.admin.create_endpoint(&url, &["*"]).await;
    let body = r#"{"type":"a.b","n":-0}"#;
    let rejected = world.rejected("evt_1", body).await;
    let id = rejected.inbound_request_id.clone();
    let refused = reverify(&world.deployment.admin, &id, "").await;
    let refused = assert_refused("the old secret", refused, Code::FailedPrecondition);
    assert!(refused.message.contains("wrong_signature"), "{refused:?}");
    let now = world.get(&id).await;
    assert_eq!((now.request, now.actions), (Some(rejected), Vec::new()));

    mend(&world).await;
    let accepted = passed(&world, &id, "once").await;
    assert_eq!(accepted.verdict(), Verdict::Accepted);
    assert_eq!(
        (accepted.reason.as_str(), accepted.answer_status),
        ("", 401)
    );
    assert_eq!(accepted.provider_event_id, "evt_1");
    assert_eq!(
        accepted.event_id,
        format!("evt_{}", id.trim_start_matches("in_"))
    );
    assert_eq!(passed(&world, &id, "once").await, accepted, "a repeat");
    let again = reverify(&world.deployment.admin, &id, "").await;
    assert_refused("accepted already", again, Code::FailedPrecondition);
    assert_eq!(world.kinds(&id).await, [InboundActionKind::Reverify]);

    await_state(
        &world.deployment.admin,
        &accepted.event_id,
        DeliveryState::Delivered,
    )
    .await;
    let received = world.deployment.receiver.received("/");
    let received = received.await_count(1, DEADLINE).await;
    assert_eq!(received[0].body, body);
    // What comes later under its id repeats it.
    let repeat = world.repeated("evt_1", body, Verdict::Duplicate).await;
    assert_eq!(repeat.original_id, id);
}

async fn a_request_that_was_accepted_meanwhile_is_a_duplicate_or_a_conflict(store: StoreKind) {
    let mut world = World::start(store).await;
    let (body, other) = (r#"{"type":"a.b","n":1}"#, r#"{"type":"a.b","n":2}"#);
    let same = world.rejected("evt_1", body).await.inbound_request_id;
    let differs = world.rejected("evt_1", other).await.inbound_request_id;
    let original = world.accepted("evt_1", body).await.inbound_request_id;
    mend(&world).await;
    for (id, verdict) in [(same, Verdict::Duplicate), (differs, Verdict::Conflict)] {
        let now = passed(&world, &id, "").await;
        assert_eq!(now.verdict(), verdict);
        assert_eq!(
            (now.original_id.as_str(), now.event_id.as_str()),
            (original.as_str(), "")
        );
        assert_eq!(world.kinds(&id).await, [InboundActionKind::Reverify]);
    }
}

async fn a_request_of_an_earlier_day_is_accepted_as_one_of_that_day(store: StoreKind) {
    let mut world = World::start_with(store, &["--event-retention-days", "1"]).await;
    let url = world.deployment.receiver.url("/");
    world.deployment.admin.create_endpoint(&url, &["*"]).await;
    world.rejected("evt_1", r#"{"type":"a.b"}"#).await;
    // The events of that day are gone.
    pass(&mut world.deployment, 59 * HOUR).await;
    mend(&world).await;
    let id = world.newest(Verdict::Rejected, 1).await.inbound_request_id;
    let accepted = passed(&world, &id, "").await;
    assert_eq!(
        accepted.event_id,
        format!("evt_{}", id.trim_start_matches("in_"))
    );
    await_state(
        &world.deployment.admin,
        &accepted.event_id,
        DeliveryState::Delivered,
    )
    .await;
}

async fn of_two_that_pass_at_one_time_one_is_accepted(store: StoreKind) {
    let mut world = World::start(store).await;
    let body = r#"{"type":"a.b"}"#;
    let one = world.rejected("evt_1", body).await.inbound_request_id;
    let other = world.rejected("evt_1", body).await.inbound_request_id;
    mend(&world).await;
    let admin = &world.deployment.admin;
    let (first, second) = tokio::join!(reverify(admin, &one, ""), reverify(admin, &other, ""));
    let mut verdicts = Vec::new();
    for (id, answer) in [(one, first), (other, second)] {
        let now = match answer {
            Ok(answer) => answer.into_inner().request.expect("the answer holds it"),
            // Met by the other one: nothing has happened, and the call can be repeated.
            Err(status) => {
                assert_eq!(status.code(), Code::Unavailable, "{status:?}");
                assert_eq!(world.kinds(&id).await, []);
                passed(&world, &id, "").await
            }
        };
        assert_eq!(world.kinds(&id).await, [InboundActionKind::Reverify]);
        verdicts.push(now.verdict());
    }
    verdicts.sort();
    assert_eq!(verdicts, [Verdict::Accepted, Verdict::Duplicate]);
}

async fn a_credential_that_was_not_kept_cannot_pass(store: StoreKind) {
    let mut world = World::start(store).await;
    let settings = SourceSettings {
        provider: "gitlab".to_owned(),
        ..SourceSettings::default()
    };
    let admin = world.deployment.admin.clone();
    let created = admin.create_source_with(settings, &["right-token"]).await;
    world.source_id = created.source.expect("the answer holds it").source_id;
    let headers = [
        ("content-type", "application/json"),
        ("x-gitlab-token", "wrong-token"),
        ("x-gitlab-event", "Push Hook"),
    ];
    let answer = world
        .edge
        .ask(posted(&world.source_id, &headers, "{}"))
        .await;
    assert_eq!(answer.status, 401, "{answer:?}");
    let rejected = world.newest(Verdict::Rejected, 1).await;
    assert!(
        rejected
            .headers
            .iter()
            .any(|header| header.name == "x-gitlab-event")
    );
    assert!(
        rejected
            .headers
            .iter()
            .all(|header| header.name != "x-gitlab-token")
    );
    let refused = reverify(&admin, &rejected.inbound_request_id, "").await;
    let refused = assert_refused("a token", refused, Code::FailedPrecondition);
    assert!(refused.message.contains("token"), "{refused:?}");
}

async fn what_cannot_pass_stays_as_it_is(store: StoreKind) {
    let mut world = World::start(store).await;
    let accepted = world.accepted("evt_1", r#"{"type":"a.b"}"#).await;
    let quarantined = world.quarantined("evt_2").await;
    let rejected = world.rejected("evt_3", r#"{"type":"a.b"}"#).await;
    let admin = world.deployment.admin.clone();
    for record in [&accepted, &quarantined, &rejected] {
        let refused = reverify(&admin, &record.inbound_request_id, "").await;
        assert_refused("it cannot pass", refused, Code::FailedPrecondition);
    }
    mend(&world).await;
    let request = SetSourceStateRequest {
        tenant_id: world.deployment.tenant_id.clone(),
        source_id: world.source_id.clone(),
        state: SourceState::Paused.into(),
        ..SetSourceStateRequest::default()
    };
    admin
        .sources()
        .set_source_state(request)
        .await
        .expect("it is paused");
    let id = rejected.inbound_request_id.clone();
    let refused = reverify(&admin, &id, "").await;
    assert_refused("a source that is paused", refused, Code::FailedPrecondition);

    let viewer = world.deployment.client(&[Role::Viewer]).await;
    let refused = reverify(&viewer, &id, "").await;
    assert_refused("a viewer", refused, Code::PermissionDenied);
    let stranger = world.other_tenant().await;
    let refused = reverify(&stranger, &id, "").await;
    assert_refused("another tenant", refused, Code::NotFound);
    let request = ReverifyInboundRequestRequest {
        tenant_id: world.deployment.tenant_id.clone(),
        inbound_request_id: id,
        ..ReverifyInboundRequestRequest::default()
    };
    let refused = admin.inbound().reverify_inbound_request(request).await;
    assert_invalid("no reason", refused, "reason");
    for record in [accepted, quarantined, rejected] {
        let now = world.get(&record.inbound_request_id).await;
        assert_eq!((now.request, now.actions), (Some(record), Vec::new()));
    }
}
