//! What time ends and begins, on a control plane whose clock is moved; and what chance gives, on one whose chance is given.

use posthorn::v1::{
    CreateApiKeyRequest, DeliveryState, EndpointSettings, ExplicitRetry, GetTenantRequest,
    RetryPolicy, Role, RotateEndpointSecretRequest, retry_policy::Schedule,
};
use posthorn_harness::{Answer, ControlPlaneOptions, Deployment, StoreKind, eventually};
use prost_types::Timestamp;
use tonic::Code;

use super::support::{
    DEADLINE,
    follow::{await_delivery, await_state, delivery_of},
    passing::pass,
    time::{DAY, HOUR, from_now, millis},
};

on_both! {
    a_former_secret_signs_until_its_overlap_is_over,
    a_key_stops_working_when_it_expires,
    an_idempotency_key_is_free_again_when_its_event_has_gone,
    a_failed_delivery_is_tried_again_when_its_time_comes,
    keys_are_drawn_from_the_source_that_a_control_plane_is_given,
}

/// How many characters of a key's secret are 32 bytes.
const DRAWN_CHARS: usize = 52;

fn in_hours(hours: i64) -> Timestamp {
    from_now(hours * 60 * 60)
}

/// How many signatures the next event comes with.
async fn signatures(deployment: &Deployment, so_far: usize) -> usize {
    deployment.admin.emit("a.b", "{}").await;
    let received = deployment.receiver.received("/");
    let requests = received.await_count(so_far + 1, DEADLINE).await;
    let signatures = requests[so_far].header("webhook-signature");
    signatures.split(' ').count()
}

async fn a_former_secret_signs_until_its_overlap_is_over(store: StoreKind) {
    let mut deployment = Deployment::movable(store).await;
    let url = deployment.receiver.url("/");
    let created = deployment.admin.create_endpoint(&url, &["*"]).await;
    let endpoint = created.endpoint.expect("the answer holds it");
    let request = RotateEndpointSecretRequest {
        tenant_id: deployment.tenant_id.clone(),
        endpoint_id: endpoint.endpoint_id,
        overlap: Some(millis(2 * 60 * 60 * 1_000)),
        ..RotateEndpointSecretRequest::default()
    };
    let rotated = deployment
        .admin
        .endpoints()
        .rotate_endpoint_secret(request)
        .await;
    rotated.expect("it is rotated");
    assert_eq!(signatures(&deployment, 0).await, 2);
    deployment.control.advance(HOUR).await;
    assert_eq!(signatures(&deployment, 1).await, 2);
    deployment.control.advance(HOUR).await;
    assert_eq!(signatures(&deployment, 2).await, 1);
}

async fn a_key_stops_working_when_it_expires(store: StoreKind) {
    let mut deployment = Deployment::movable(store).await;
    let request = CreateApiKeyRequest {
        tenant_id: deployment.tenant_id.clone(),
        name: "it ends".to_owned(),
        roles: vec![Role::Admin.into()],
        expires_at: Some(in_hours(2)),
        ..CreateApiKeyRequest::default()
    };
    let created = deployment.admin.api_keys().create_api_key(request).await;
    let key = created.expect("it is created").into_inner().api_key;
    let client = deployment.admin.with_key(&key);
    let ask = async || {
        client
            .tenants()
            .get_tenant(GetTenantRequest::default())
            .await
    };
    deployment.control.advance(HOUR).await;
    ask().await.expect("the key works");
    deployment.control.advance(HOUR).await;
    let refused = ask().await.expect_err("the key has ended");
    assert_eq!(refused.code(), Code::Unauthenticated, "{refused:?}");
}

async fn an_idempotency_key_is_free_again_when_its_event_has_gone(store: StoreKind) {
    let mut deployment = Deployment::movable(store).await;
    let emit = async |deployment: &Deployment| {
        let mut event = deployment.admin.event("a.b", "{}");
        "once".clone_into(&mut event.idempotency_key);
        let emitted = deployment.admin.events().emit_event(event).await;
        emitted.map(|answer| answer.into_inner().deduplicated)
    };
    assert!(!emit(&deployment).await.expect("it is new"));
    pass(&mut deployment, 29 * DAY).await;
    assert!(emit(&deployment).await.expect("it is known"));
    pass(&mut deployment, 2 * DAY).await;
    eventually("the key is free", DEADLINE, async || {
        // Amid the round of retention the day has no room yet.
        emit(&deployment)
            .await
            .is_ok_and(|deduplicated| !deduplicated)
    })
    .await;
    assert!(emit(&deployment).await.expect("it is known again"));
}

async fn a_failed_delivery_is_tried_again_when_its_time_comes(store: StoreKind) {
    let mut deployment = Deployment::movable(store).await;
    let answers = Answer::Sequence(vec![500, 200]);
    deployment.receiver.answer("/", answers);
    let hour = ExplicitRetry {
        delays: vec![millis(60 * 60 * 1_000)],
    };
    let settings = EndpointSettings {
        url: deployment.receiver.url("/"),
        subscriptions: vec!["*".to_owned()],
        retry_policy: Some(RetryPolicy {
            schedule: Some(Schedule::Explicit(hour)),
        }),
        ..EndpointSettings::default()
    };
    deployment.admin.create_endpoint_with(settings).await;
    let event = deployment.admin.emit("a.b", "{}").await.event_id;
    let id = delivery_of(&deployment.admin, &event).await.delivery_id;
    await_delivery(&deployment.admin, &id, "has failed once", |delivery| {
        delivery.attempt_count == 1
    })
    .await;
    // The delay is spread by a fifth.
    deployment.control.advance(2 * HOUR).await;
    await_state(&deployment.admin, &event, DeliveryState::Delivered).await;
    assert_eq!(deployment.receiver.received("/").count(), 2);
}

/// What is drawn of the first key of a control plane of this seed: its id begins with the time, its checksum ends it.
async fn first_drawn(store: StoreKind, seed: &str) -> String {
    let options = ControlPlaneOptions {
        variant: true,
        args: ["--seed", seed].map(str::to_owned).to_vec(),
        ..ControlPlaneOptions::default()
    };
    let deployment = Deployment::start_with(store, options, &[]).await;
    let key = &deployment.control.admin_key;
    let (_, secret) = key.rsplit_once('_').expect("an id, then the secret");
    secret.chars().take(DRAWN_CHARS).collect()
}

async fn keys_are_drawn_from_the_source_that_a_control_plane_is_given(store: StoreKind) {
    let first = first_drawn(store, "7").await;
    assert_eq!(first.len(), DRAWN_CHARS);
    assert_eq!(first, first_drawn(store, "7").await);
    assert_ne!(first, first_drawn(store, "8").await);
}
