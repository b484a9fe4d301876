//! What operators do to handlers and their deliveries.

use posthorn::v1::{
    CancelDeliveryRequest, DeleteEndpointRequest, DeliveryState, EndpointSettings, EndpointState,
    RotateEndpointSecretRequest, SetEndpointStateRequest, TestEndpointRequest,
    UpdateEndpointRequest,
};
use posthorn_harness::StoreKind;
use prost_types::FieldMask;
use tonic::Code;

use super::Stage;
use crate::support::{
    follow::delivery,
    hand_consumer::{HandConsumer, handler},
    refusal::assert_refused,
};

on_both! {
    a_paused_handler_gets_nothing_until_it_is_resumed,
    a_cancelled_delivery_is_taken_back_from_its_handler,
    a_deleted_handler_ends_its_streams_and_the_next_hello_makes_it_anew,
    a_handler_is_changed_by_its_consumers_alone,
    a_test_event_goes_to_the_handler,
}

async fn a_paused_handler_gets_nothing_until_it_is_resumed(store: StoreKind) {
    let stage = Stage::start(store).await;
    let handlers = vec![handler("paused", &["a"]), handler("other", &["b"])];
    let mut consumer = HandConsumer::ready(&stage.consumer, "g", handlers, 8).await;
    let tenant_id = stage.deployment.tenant_id.clone();
    let endpoint_id = stage.endpoint("g/paused").await.endpoint_id;
    let request = SetEndpointStateRequest {
        state: EndpointState::Paused.into(),
        tenant_id: tenant_id.clone(),
        endpoint_id: endpoint_id.clone(),
        reason: "the ledger is being mended".to_owned(),
        ..SetEndpointStateRequest::default()
    };
    let paused = stage.admin().endpoints().set_endpoint_state(request).await;
    paused.expect("it is paused");
    let waiting = stage.emit("a").await;
    let passing = stage.emit("b").await;
    let handout = consumer.handout().await;
    assert_eq!(handout.event_id, passing);
    consumer.ack(&handout, "").await;
    assert!(!consumer.has_handouts());
    let request = SetEndpointStateRequest {
        state: EndpointState::Enabled.into(),
        tenant_id,
        endpoint_id,
        ..SetEndpointStateRequest::default()
    };
    let resumed = stage.admin().endpoints().set_endpoint_state(request).await;
    resumed.expect("it is resumed");
    assert_eq!(consumer.handout().await.event_id, waiting);
}

async fn a_cancelled_delivery_is_taken_back_from_its_handler(store: StoreKind) {
    let stage = Stage::start(store).await;
    let handlers = vec![handler("h", &["*"])];
    let mut consumer = HandConsumer::ready(&stage.consumer, "g", handlers, 1).await;
    stage.emit("a.b").await;
    let handout = consumer.handout().await;
    let request = CancelDeliveryRequest {
        tenant_id: stage.deployment.tenant_id.clone(),
        delivery_id: handout.delivery_id.clone(),
        reason: "emitted by mistake".to_owned(),
        ..CancelDeliveryRequest::default()
    };
    let cancelled = stage.admin().deliveries().cancel_delivery(request).await;
    cancelled.expect("it is cancelled");
    consumer.lost(handout.lease_id).await;
    consumer.ack(&handout, "too late").await;
    let after = delivery(stage.admin(), &handout.delivery_id).await;
    assert_ne!(after.state(), DeliveryState::Pending);
}

async fn a_deleted_handler_ends_its_streams_and_the_next_hello_makes_it_anew(store: StoreKind) {
    let stage = Stage::start(store).await;
    let handlers = || vec![handler("h", &["*"])];
    let mut consumer = HandConsumer::ready(&stage.consumer, "g", handlers(), 1).await;
    stage.emit("a.b").await;
    let handout = consumer.handout().await;
    let former = stage.endpoint("g/h").await.endpoint_id;
    let request = DeleteEndpointRequest {
        tenant_id: stage.deployment.tenant_id.clone(),
        endpoint_id: former.clone(),
        force: true,
        ..DeleteEndpointRequest::default()
    };
    let deleted = stage.admin().endpoints().delete_endpoint(request).await;
    assert_eq!(deleted.expect("it is deleted").into_inner().cancelled, 1);
    consumer.lost(handout.lease_id).await;
    assert_eq!(consumer.end().await.code(), Code::Aborted);

    let mut consumer = HandConsumer::ready(&stage.consumer, "g", handlers(), 1).await;
    assert_ne!(stage.endpoint("g/h").await.endpoint_id, former);
    let event_id = stage.emit("a.b").await;
    assert_eq!(consumer.handout().await.event_id, event_id);
}

async fn a_handler_is_changed_by_its_consumers_alone(store: StoreKind) {
    let stage = Stage::start(store).await;
    let handlers = vec![handler("h", &["*"])];
    HandConsumer::ready(&stage.consumer, "g", handlers, 1).await;
    let endpoint = stage.endpoint("g/h").await;
    let tenant_id = stage.deployment.tenant_id.clone();
    let mut endpoints = stage.admin().endpoints();
    let request = UpdateEndpointRequest {
        tenant_id: tenant_id.clone(),
        endpoint_id: endpoint.endpoint_id.clone(),
        settings: Some(EndpointSettings {
            url: "https://example.com/".to_owned(),
            ..EndpointSettings::default()
        }),
        update_mask: Some(FieldMask {
            paths: vec!["url".to_owned()],
        }),
        etag: endpoint.etag.clone(),
        ..UpdateEndpointRequest::default()
    };
    let updated = endpoints.update_endpoint(request).await;
    assert_refused("an update", updated, Code::FailedPrecondition);
    let request = RotateEndpointSecretRequest {
        tenant_id,
        endpoint_id: endpoint.endpoint_id.clone(),
        ..RotateEndpointSecretRequest::default()
    };
    let rotated = endpoints.rotate_endpoint_secret(request).await;
    assert_refused("a rotation", rotated, Code::FailedPrecondition);
    assert_eq!(stage.endpoint("g/h").await, endpoint);
}

async fn a_test_event_goes_to_the_handler(store: StoreKind) {
    let stage = Stage::start(store).await;
    let handlers = vec![handler("h", &["only.this"])];
    let mut consumer = HandConsumer::ready(&stage.consumer, "g", handlers, 1).await;
    let request = TestEndpointRequest {
        tenant_id: stage.deployment.tenant_id.clone(),
        endpoint_id: stage.endpoint("g/h").await.endpoint_id,
        ..TestEndpointRequest::default()
    };
    let sent = stage.admin().endpoints().test_endpoint(request).await;
    let sent = sent.expect("it is sent").into_inner();
    let handout = consumer.handout().await;
    assert_eq!(
        (handout.delivery_id, &*handout.event_type),
        (sent.delivery_id, "posthorn.test")
    );
}
