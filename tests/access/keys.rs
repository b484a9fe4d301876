//! What is a key and what is not, and what can be had without one.

use posthorn::v1::{CreateApiKeyRequest, Role};
use posthorn_harness::{Deployment, StoreKind};
use tonic::Code;

use crate::support::raw::{call, frame, send};

on_both! {
    a_key_that_is_not_right_is_no_key,
    health_is_open_and_reflection_is_not,
    a_key_is_shown_once,
}

async fn a_key_that_is_not_right_is_no_key(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let good = deployment.admin.create_key(&[Role::Admin]).await;
    let addr = deployment.control.grpc;
    let path = "/posthorn.v1.TenantService/GetTenant";
    let authorization = |values: &[&str]| {
        let mut builder = call(addr, path, "");
        for value in values {
            builder = builder.header("authorization", *value);
        }
        builder
    };
    let bearer = format!("Bearer {good}");
    let long = format!("Bearer {}", "x".repeat(12_000));
    let cases: &[(&str, &[&str])] = &[
        ("empty", &[""]),
        ("only the scheme", &["Bearer"]),
        ("only the scheme and a blank", &["Bearer "]),
        ("no scheme", &[&good]),
        ("another scheme", &[&bearer.replace("Bearer", "Basic")]),
        ("two keys", &[&bearer, &bearer]),
        ("very long", &[&long]),
        ("upper case", &[&bearer.to_uppercase()]),
        ("another prefix", &[&bearer.replace("phk_", "sk_")]),
        ("cut short", &[&bearer[..bearer.len() - 1]]),
        ("one character more", &[&format!("{bearer}0")]),
        ("not a key at all", &["Bearer phk_"]),
    ];
    for (what, values) in cases {
        let answer = send(addr, authorization(values), frame(false, &[])).await;
        assert_eq!(
            answer.code,
            Some(Code::Unauthenticated),
            "{what}: {answer:?}"
        );
    }
    let answer = send(addr, authorization(&[&bearer]), frame(false, &[])).await;
    assert_eq!(answer.code, Some(Code::Ok), "the key itself: {answer:?}");
}

async fn health_is_open_and_reflection_is_not(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let addr = deployment.control.grpc;
    let ask = async |path: &str, key: &str| {
        let answer = send(addr, call(addr, path, key), frame(false, &[])).await;
        answer.code
    };
    let health = "/grpc.health.v1.Health/Check";
    assert_eq!(ask(health, "").await, Some(Code::Ok));
    for version in ["v1", "v1alpha"] {
        let reflection =
            format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
        assert_eq!(ask(&reflection, "").await, Some(Code::Unauthenticated));
        let node = ask(&reflection, &deployment.node_key).await;
        assert_eq!(node, Some(Code::PermissionDenied));
        for role in [Role::Viewer, Role::Consumer] {
            let key = deployment.admin.create_key(&[role]).await;
            let answer = ask(&reflection, &key).await;
            assert!(
                !matches!(answer, Some(Code::Unauthenticated | Code::PermissionDenied)),
                "{role:?}"
            );
        }
    }
}

async fn a_key_is_shown_once(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let request = CreateApiKeyRequest {
        tenant_id: deployment.tenant_id.clone(),
        name: "shown once".to_owned(),
        roles: vec![Role::Viewer.into()],
        request_id: "create-it-once".to_owned(),
        ..CreateApiKeyRequest::default()
    };
    let create = async || {
        let mut keys = deployment.admin.api_keys();
        let answer = keys.create_api_key(request.clone()).await;
        answer.expect("the key is created").into_inner()
    };
    let first = create().await;
    assert!(first.api_key.starts_with("phk_"));
    let repeat = create().await;
    assert_eq!(repeat.key, first.key);
    assert_eq!(repeat.api_key, "");
}
