//! Whose an event is, and which endpoints get it.

use std::collections::BTreeMap;

use posthorn::v1::{CreateEventTypeRequest, EmitEventRequest, Role};
use posthorn_harness::{Deployment, StoreKind};
use tonic::Code;

use crate::support::{
    DEADLINE,
    follow::deliveries_of,
    refusal::{assert_invalid, assert_refused},
    unknown,
};

on_both! {
    an_event_goes_to_every_subscribed_endpoint_and_to_no_other,
    an_event_without_an_endpoint_is_accepted,
    the_tenant_is_that_of_the_key,
    undeclared_types_are_refused_once_one_is_declared,
}

async fn an_event_goes_to_every_subscribed_endpoint_and_to_no_other(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    for (path, subscriptions) in [
        ("/exact", &["order.paid"][..]),
        ("/below", &["order.*"]),
        ("/all", &["*"]),
        ("/twice", &["order.*", "order.paid", "*"]),
        ("/other", &["invoice.*", "order", "orders.paid"]),
    ] {
        let url = deployment.receiver.url(path);
        deployment.admin.create_endpoint(&url, subscriptions).await;
    }
    let paid = deployment.admin.emit("order.paid", "{}").await;
    assert_eq!(paid.delivery_count, 4);
    let deep = deployment.admin.emit("order.line.added", "{}").await;
    assert_eq!(deep.delivery_count, 3);
    let (paid, deep) = (paid.event_id.as_str(), deep.event_id.as_str());
    for (path, expected) in [
        ("/exact", &[paid][..]),
        ("/below", &[paid, deep]),
        ("/all", &[paid, deep]),
        ("/twice", &[paid, deep]),
    ] {
        let received = deployment.receiver.received(path);
        received.await_distinct(expected.len(), DEADLINE).await;
        let counts = received.by_webhook_id();
        let once: BTreeMap<String, usize> = expected.iter().map(|&id| (id.to_owned(), 1)).collect();
        assert_eq!(counts, once, "{path}");
    }
    assert_eq!(deployment.receiver.received("/other").count(), 0);
}

async fn an_event_without_an_endpoint_is_accepted(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let answer = deployment.admin.emit("nobody.cares", "{}").await;
    assert_eq!(answer.delivery_count, 0);
    let deliveries = deliveries_of(&deployment.admin, &answer.event_id).await;
    assert!(deliveries.is_empty());
}

async fn the_tenant_is_that_of_the_key(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let other = deployment.admin.create_tenant("other").await;
    let emitter = deployment.client(&[Role::Emitter]).await;
    let of = |tenant_id: &str| EmitEventRequest {
        tenant_id: tenant_id.to_owned(),
        ..deployment.admin.event("a.b", "{}")
    };
    let mut own = emitter.events();
    own.emit_event(of("")).await.expect("its own by default");
    let named = own.emit_event(of(&deployment.tenant_id)).await;
    named.expect("its own by name");
    let result = own.emit_event(of(&other)).await;
    assert_refused("another's", result, Code::PermissionDenied);
    let result = own.emit_event(of(unknown::TENANT)).await;
    assert_refused("nobody's, like another's", result, Code::PermissionDenied);
    assert_invalid("no id", own.emit_event(of("tnt_1")).await, "tenant_id");

    let mut any = deployment.admin.events();
    assert_invalid("none named", any.emit_event(of("")).await, "tenant_id");
    let result = any.emit_event(of(unknown::TENANT)).await;
    assert_refused("nobody's", result, Code::NotFound);
}

async fn undeclared_types_are_refused_once_one_is_declared(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    deployment.admin.emit("any.thing", "{}").await;
    let request = CreateEventTypeRequest {
        tenant_id: deployment.tenant_id.clone(),
        name: "order.paid".to_owned(),
        ..CreateEventTypeRequest::default()
    };
    let declared = deployment
        .admin
        .event_types()
        .create_event_type(request)
        .await;
    declared.expect("the type is declared");
    deployment.admin.emit("order.paid", "{}").await;
    for event_type in ["any.thing", "order", "order.paid.late", "Order.paid"] {
        let request = deployment.admin.event(event_type, "{}");
        let result = deployment.admin.events().emit_event(request).await;
        assert_invalid(event_type, result, "event_type");
    }
}
