//! One idempotency key, one event.

use std::collections::BTreeSet;

use posthorn::v1::EmitEventRequest;
use posthorn_harness::{Deployment, StoreKind};
use tokio::task::JoinSet;
use tonic::Code;

use crate::support::{DEADLINE, follow::deliveries_of, refusal::assert_refused};

on_both! {
    a_key_with_the_same_content_is_one_event,
    a_key_with_other_content_is_refused,
    fifty_parallel_emits_with_one_key_are_one_event,
    a_key_belongs_to_its_tenant,
}

fn keyed(deployment: &Deployment, key: &str, payload: &'static str) -> EmitEventRequest {
    EmitEventRequest {
        idempotency_key: key.to_owned(),
        ..deployment.admin.event("order.paid", payload)
    }
}

async fn a_key_with_the_same_content_is_one_event(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let url = deployment.receiver.url("/");
    deployment.admin.create_endpoint(&url, &["*"]).await;
    let emit = async |request: EmitEventRequest| {
        let answer = deployment.admin.events().emit_event(request).await;
        answer.expect("it is accepted").into_inner()
    };
    let request = keyed(&deployment, "order-1", "{}");
    let first = emit(request.clone()).await;
    assert!(!first.deduplicated);
    let again = emit(request).await;
    assert!(again.deduplicated);
    assert_eq!(again.event_id, first.event_id);
    assert_eq!(again.delivery_count, first.delivery_count);
    let other = emit(keyed(&deployment, "order-2", "{}")).await;
    assert_ne!(other.event_id, first.event_id);
    let received = deployment.receiver.received("/");
    received.await_distinct(2, DEADLINE).await;
    assert_eq!(
        deliveries_of(&deployment.admin, &first.event_id)
            .await
            .len(),
        1
    );
}

async fn a_key_with_other_content_is_refused(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let mut events = deployment.admin.events();
    let good = keyed(&deployment, "order-1", "{}");
    let first = events.emit_event(good.clone()).await;
    let first = first.expect("it is accepted").into_inner();
    let payload = keyed(&deployment, "order-1", "{ }");
    let event_type = EmitEventRequest {
        event_type: "order.lost".to_owned(),
        ..good.clone()
    };
    let content_type = EmitEventRequest {
        content_type: "text/plain".to_owned(),
        ..good.clone()
    };
    for (what, request) in [
        ("another payload", payload),
        ("another type", event_type),
        ("another content type", content_type),
    ] {
        let refused = events.emit_event(request).await;
        let refusal = assert_refused(what, refused, Code::AlreadyExists);
        assert_eq!(refusal.reason, "IDEMPOTENCY_KEY_REUSED", "{what}");
        let says = refusal.message.contains(&first.event_id);
        assert!(says, "{what}: {refusal:?}");
    }
    let again = events.emit_event(good).await;
    let again = again.expect("the first content is accepted").into_inner();
    assert_eq!(again.event_id, first.event_id);
}

async fn fifty_parallel_emits_with_one_key_are_one_event(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let url = deployment.receiver.url("/");
    deployment.admin.create_endpoint(&url, &["*"]).await;
    let mut calls = JoinSet::new();
    for _ in 0..50 {
        let mut events = deployment.admin.events();
        let request = keyed(&deployment, "at-once", "{}");
        calls.spawn(async move { events.emit_event(request).await });
    }
    let answers = calls.join_all().await.into_iter();
    let answers: Vec<_> = answers
        .map(|answer| answer.expect("each is accepted").into_inner())
        .collect();
    let ids: BTreeSet<&str> = answers.iter().map(|one| one.event_id.as_str()).collect();
    assert_eq!(ids.len(), 1);
    let fresh = answers.iter().filter(|one| !one.deduplicated).count();
    assert_eq!(fresh, 1);
    assert_eq!(
        deliveries_of(&deployment.admin, &answers[0].event_id)
            .await
            .len(),
        1
    );
}

async fn a_key_belongs_to_its_tenant(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let other = deployment.admin.create_tenant("other").await;
    let here = keyed(&deployment, "same", "{}");
    let there = EmitEventRequest {
        tenant_id: other,
        ..keyed(&deployment, "same", "[]")
    };
    let mut ids = BTreeSet::new();
    for request in [here, there] {
        let answer = deployment.admin.events().emit_event(request).await;
        let answer = answer.expect("it is accepted").into_inner();
        assert!(!answer.deduplicated);
        ids.insert(answer.event_id);
    }
    assert_eq!(ids.len(), 2);
}
