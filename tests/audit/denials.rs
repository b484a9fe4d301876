//! Every call that is denied leaves one record, and floods of them leave few.

use posthorn::v1::{
    AuditOutcome, ConsumeHello, ConsumeRequest, CreateApiKeyRequest, EmitEventRequest,
    ListAuditRequest, RevokeApiKeyRequest, Role, consume_request::Message,
};
use posthorn_harness::{Deployment, StoreKind, eventually, get};
use tonic::Code;

use super::{await_records, records};
use crate::support::{
    DEADLINE,
    descriptor::rpcs,
    raw::{call, frame, send},
    refusal::assert_refused,
};

on_both! {
    every_call_that_a_role_forbids_leaves_one_record,
    a_key_that_does_not_work_any_more_leaves_a_record,
    another_tenant_that_is_named_leaves_a_record,
    a_key_has_few_records_a_minute,
    s14_calls_that_are_not_let_through_are_counted_by_why,
}

/// A new key of the tenant: its id and its text.
async fn key(deployment: &Deployment, role: Role) -> (String, String) {
    let request = CreateApiKeyRequest {
        tenant_id: deployment.tenant_id.clone(),
        name: "denied".to_owned(),
        roles: vec![role.into()],
        ..CreateApiKeyRequest::default()
    };
    let made = deployment.admin.api_keys().create_api_key(request).await;
    let made = made.expect("it is created").into_inner();
    (made.key.expect("the answer holds it").key_id, made.api_key)
}

/// What was denied to a key.
fn denied_to(key_id: &str) -> ListAuditRequest {
    ListAuditRequest {
        key_id: key_id.to_owned(),
        outcome: AuditOutcome::Denied.into(),
        ..ListAuditRequest::default()
    }
}

async fn every_call_that_a_role_forbids_leaves_one_record(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    for rpc in rpcs() {
        let roles = [Role::Viewer, Role::Emitter];
        let stranger = roles
            .into_iter()
            .find(|role| !rpc.roles.contains(&i32::from(*role)));
        let stranger = stranger.unwrap_or(Role::Consumer);
        let (key_id, key) = key(&deployment, stranger).await;
        let addr = deployment.control.grpc;
        let answer = send(addr, call(addr, &rpc.path, &key), frame(false, b"")).await;
        assert_eq!(answer.code, Some(Code::PermissionDenied), "{}", rpc.path);
        let found = await_records(&deployment.admin, denied_to(&key_id)).await;
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            rpc.path.ends_with(&format!("/{}", found[0].method)),
            "{found:?}"
        );
        assert_eq!(found[0].tenant_id, deployment.tenant_id);
        assert!(found[0].reason.contains("no role"), "{found:?}");
    }
}

async fn a_key_that_does_not_work_any_more_leaves_a_record(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let (key_id, text) = key(&deployment, Role::Emitter).await;
    let revocation = RevokeApiKeyRequest {
        key_id: key_id.clone(),
    };
    let revoked = deployment.admin.api_keys().revoke_api_key(revocation).await;
    revoked.expect("it is revoked");
    let client = deployment.admin.with_key(&text);
    let emitted = client
        .events()
        .emit_event(EmitEventRequest::default())
        .await;
    assert_refused("a revoked key", emitted, Code::Unauthenticated);
    let found = await_records(&deployment.admin, denied_to(&key_id)).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].method, "EmitEvent");
    assert!(found[0].reason.contains("revoked"), "{found:?}");
}

async fn another_tenant_that_is_named_leaves_a_record(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let other = deployment.admin.for_tenant("").create_tenant("other").await;
    let (key_id, text) = key(&deployment, Role::Consumer).await;
    let consumer = deployment.admin.with_key(&text);
    let hello = ConsumeHello {
        tenant_id: other.clone(),
        ..ConsumeHello::default()
    };
    let message = Message::Hello(hello);
    let request = ConsumeRequest {
        message: Some(message),
    };
    let opened = consumer
        .inbound()
        .consume(tokio_stream::iter([request]))
        .await;
    let mut answers = opened.expect("it opens").into_inner();
    let refused = answers.message().await.map(tonic::Response::new);
    assert_refused("amid a stream", refused, Code::PermissionDenied);
    let found = await_records(&deployment.admin, denied_to(&key_id)).await;
    assert_eq!((found.len(), found[0].method.as_str()), (1, "Consume"));

    let (key_id, text) = key(&deployment, Role::Emitter).await;
    let emitter = deployment.admin.with_key(&text);
    let event = emitter.for_tenant(&other).event("a.b", "{}");
    let refused = emitter.events().emit_event(event).await;
    assert_refused("a plain call", refused, Code::PermissionDenied);
    let found = await_records(&deployment.admin, denied_to(&key_id)).await;
    assert_eq!((found.len(), found[0].method.as_str()), (1, "EmitEvent"));
    assert!(found[0].reason.contains("another tenant"), "{found:?}");
}

async fn a_key_has_few_records_a_minute(store: StoreKind) {
    const CALLS: usize = 60;
    let deployment = Deployment::start(store).await;
    let (key_id, text) = key(&deployment, Role::Viewer).await;
    let client = deployment.admin.with_key(&text);
    for _ in 0..CALLS {
        let emitted = client
            .events()
            .emit_event(EmitEventRequest::default())
            .await;
        assert_refused("a viewer", emitted, Code::PermissionDenied);
    }
    let line = "posthorn_audit_denials_shed_total{reason=\"key\"} ";
    let mut shed = 0;
    eventually("some are shed", DEADLINE, async || {
        let page = get(deployment.control.metrics, "/metrics").await;
        let page = page.expect("it answers").body;
        let found = page.lines().find_map(|text| text.strip_prefix(line));
        shed = found.map_or(0, |count| count.parse().expect("a number"));
        let kept = records(&deployment.admin, denied_to(&key_id)).await.len();
        kept + shed == CALLS
    })
    .await;
    // The calls may fall into two minutes.
    assert!(shed >= CALLS - 20, "{shed}");
}

async fn s14_calls_that_are_not_let_through_are_counted_by_why(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let (_, viewer) = key(&deployment, Role::Viewer).await;
    for (text, reason, code) in [
        ("phk_unknown", "unknown_key", Code::Unauthenticated),
        (viewer.as_str(), "no_role", Code::PermissionDenied),
    ] {
        let client = deployment.admin.with_key(text);
        let emitted = client
            .events()
            .emit_event(EmitEventRequest::default())
            .await;
        assert_refused(reason, emitted, code);
        let page = get(deployment.control.metrics, "/metrics").await;
        let page = page.expect("it answers").body;
        let line = format!("posthorn_calls_denied_total{{reason=\"{reason}\"}} 1");
        assert!(page.lines().any(|text| text == line), "{line}: {page}");
    }
}
