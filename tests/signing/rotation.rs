//! Rotating a signing secret.

use posthorn::v1::{RotateEndpointSecretRequest, RotateEndpointSecretResponse};
use posthorn_harness::{Deployment, Request, StoreKind};

use super::{is_signed, signatures, verify_in_python};
use crate::support::{DEADLINE, refusal::assert_invalid, time::millis};

on_both! {
    both_secrets_sign_while_a_rotation_lasts,
    case_5_a_rotation_within_an_overlap_ends_the_oldest_secret,
    case_5_without_an_overlap_every_older_secret_ends,
    without_an_overlap_only_the_new_secret_signs,
}

async fn rotate(
    deployment: &Deployment,
    endpoint_id: &str,
    overlap: Option<prost_types::Duration>,
) -> Result<tonic::Response<RotateEndpointSecretResponse>, tonic::Status> {
    let request = RotateEndpointSecretRequest {
        tenant_id: deployment.tenant_id.clone(),
        endpoint_id: endpoint_id.to_owned(),
        overlap,
        ..RotateEndpointSecretRequest::default()
    };
    deployment
        .admin
        .endpoints()
        .rotate_endpoint_secret(request)
        .await
}

async fn both_secrets_sign_while_a_rotation_lasts(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let url = deployment.receiver.url("/");
    let created = deployment.admin.create_endpoint(&url, &["*"]).await;
    let before = created.endpoint.expect("the answer holds the endpoint");
    let id = before.endpoint_id.as_str();
    let rotated = rotate(&deployment, id, None).await;
    let rotated = rotated.expect("it is rotated").into_inner();
    let after = rotated.endpoint.expect("the answer holds the endpoint");
    assert_ne!(rotated.secret, created.secret);
    assert_ne!(after.secret_fingerprint, before.secret_fingerprint);
    assert!(before.rotation_ends_at.is_none() && after.rotation_ends_at.is_some());

    deployment.admin.emit("a.b", "{}").await;
    let received = deployment.receiver.received("/");
    let requests = received.await_count(1, DEADLINE).await;
    assert_eq!(signatures(&requests[0]), 2);
    for secret in [&created.secret, &rotated.secret] {
        assert!(is_signed(&requests[0], secret));
        verify_in_python(&requests, secret).await;
    }
}

/// Makes an endpoint and rotates its secret with these overlaps; returns all its secrets, the oldest first, and the
/// request that brings an event after that.
async fn rotated(
    deployment: &Deployment,
    overlaps: &[Option<prost_types::Duration>],
) -> (Vec<String>, Request) {
    let url = deployment.receiver.url("/");
    let created = deployment.admin.create_endpoint(&url, &["*"]).await;
    let endpoint = created.endpoint.expect("the answer holds the endpoint");
    let mut secrets = vec![created.secret];
    for overlap in overlaps {
        let rotated = rotate(deployment, &endpoint.endpoint_id, *overlap).await;
        secrets.push(rotated.expect("it is rotated").into_inner().secret);
    }
    deployment.admin.emit("a.b", "{}").await;
    let received = deployment.receiver.received("/");
    let mut requests = received.await_count(1, DEADLINE).await;
    (secrets, requests.remove(0))
}

async fn case_5_a_rotation_within_an_overlap_ends_the_oldest_secret(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let (secrets, request) = rotated(&deployment, &[None, None]).await;
    assert_eq!(signatures(&request), 2);
    let signs = secrets.iter().map(|secret| is_signed(&request, secret));
    assert_eq!(signs.collect::<Vec<_>>(), [false, true, true]);
}

async fn case_5_without_an_overlap_every_older_secret_ends(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let (secrets, request) = rotated(&deployment, &[None, Some(millis(0))]).await;
    assert_eq!(signatures(&request), 1);
    let signs = secrets.iter().map(|secret| is_signed(&request, secret));
    assert_eq!(signs.collect::<Vec<_>>(), [false, false, true]);
}

async fn without_an_overlap_only_the_new_secret_signs(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let url = deployment.receiver.url("/");
    let created = deployment.admin.create_endpoint(&url, &["*"]).await;
    let id = created
        .endpoint
        .expect("the answer holds the endpoint")
        .endpoint_id;
    let mut secret = String::new();
    for _ in 0..2 {
        let rotated = rotate(&deployment, &id, Some(millis(0))).await;
        secret = rotated.expect("it is rotated").into_inner().secret;
    }
    deployment.admin.emit("a.b", "{}").await;
    let received = deployment.receiver.received("/");
    let requests = received.await_count(1, DEADLINE).await;
    assert_eq!(signatures(&requests[0]), 1);
    assert!(is_signed(&requests[0], &secret));
    assert!(!is_signed(&requests[0], &created.secret));
    for overlap in [
        millis(7 * 86_400_000 + 1),
        prost_types::Duration {
            seconds: -1,
            nanos: 0,
        },
    ] {
        let result = rotate(&deployment, &id, Some(overlap)).await;
        assert_invalid("overlap", result, "overlap");
    }
}
