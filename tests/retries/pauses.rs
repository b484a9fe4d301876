//! Endpoints that get nothing for a while: paused by people, disabled by 410 Gone.

use posthorn::v1::{
    DeadReason, DeliveryState, EndpointState, GetEndpointRequest, RetryDeliveryRequest,
    SetEndpointStateRequest,
};
use posthorn_harness::{Answer, Client, Deployment, StoreKind};
use tonic::Code;

use super::one_event;
use crate::support::{DEADLINE, follow::await_state, refusal::assert_refused};

on_both! {
    an_endpoint_that_is_gone_is_disabled,
    a_paused_endpoint_waits_and_is_resumed,
}

async fn endpoint_state(deployment: &Deployment, endpoint_id: &str) -> EndpointState {
    let request = GetEndpointRequest {
        tenant_id: deployment.tenant_id.clone(),
        endpoint_id: endpoint_id.to_owned(),
    };
    let answer = deployment.admin.endpoints().get_endpoint(request).await;
    let endpoint = answer.expect("it is there").into_inner().endpoint;
    endpoint.expect("the answer holds the endpoint").state()
}

async fn resume(client: &Client, endpoint_id: &str) {
    let request = SetEndpointStateRequest {
        state: EndpointState::Enabled.into(),
        tenant_id: client.tenant_id.clone(),
        endpoint_id: endpoint_id.to_owned(),
        ..SetEndpointStateRequest::default()
    };
    let answer = client.endpoints().set_endpoint_state(request).await;
    let endpoint = answer.expect("it is resumed").into_inner().endpoint;
    let endpoint = endpoint.expect("the answer holds the endpoint");
    assert_eq!(endpoint.state(), EndpointState::Enabled);
}

async fn an_endpoint_that_is_gone_is_disabled(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let event = one_event(&deployment, "/gone", Answer::Status(410), &[0, 0]).await;
    let delivery = await_state(&deployment.admin, &event, DeliveryState::Dead).await;
    assert_eq!(delivery.dead_reason(), DeadReason::Gone);
    assert_eq!(delivery.attempt_count, 1);
    let endpoint = delivery.endpoint_id.as_str();
    assert_eq!(
        endpoint_state(&deployment, endpoint).await,
        EndpointState::Disabled
    );

    // New events are not queued for it, and its dead letters cannot be retried.
    let next = deployment.admin.emit("to.gone", "{}").await;
    assert_eq!(next.delivery_count, 0);
    let request = RetryDeliveryRequest {
        tenant_id: deployment.tenant_id.clone(),
        delivery_id: delivery.delivery_id.clone(),
        reason: "hope".to_owned(),
        ..RetryDeliveryRequest::default()
    };
    let mut deliveries = deployment.admin.deliveries();
    let result = deliveries.retry_delivery(request.clone()).await;
    assert_refused("a disabled endpoint", result, Code::FailedPrecondition);

    deployment.receiver.answer("/gone", Answer::Status(200));
    resume(&deployment.admin, endpoint).await;
    deliveries
        .retry_delivery(request)
        .await
        .expect("it is retried");
    await_state(&deployment.admin, &event, DeliveryState::Delivered).await;
}

async fn a_paused_endpoint_waits_and_is_resumed(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let created = deployment
        .admin
        .create_endpoint(&deployment.receiver.url("/paused"), &["*"])
        .await;
    let endpoint_id = created.endpoint.expect("the answer holds it").endpoint_id;
    let other = deployment.receiver.url("/running");
    deployment.admin.create_endpoint(&other, &["*"]).await;
    let pause = SetEndpointStateRequest {
        state: EndpointState::Paused.into(),
        tenant_id: deployment.tenant_id.clone(),
        endpoint_id: endpoint_id.clone(),
        reason: "maintenance".to_owned(),
        ..SetEndpointStateRequest::default()
    };
    for _ in 0..2 {
        let paused = deployment
            .admin
            .endpoints()
            .set_endpoint_state(pause.clone())
            .await;
        let paused = paused.expect("it is paused").into_inner().endpoint;
        let paused = paused.expect("the answer holds the endpoint");
        assert_eq!(paused.state(), EndpointState::Paused);
        assert_eq!(paused.state_reason, "maintenance");
    }
    for number in 0..20 {
        let event = deployment.admin.emit("a.b", number.to_string()).await;
        assert_eq!(event.delivery_count, 2);
    }
    // The other endpoint got all of them, so the paused one could have.
    let running = deployment.receiver.received("/running");
    running.await_distinct(20, DEADLINE).await;
    let paused = deployment.receiver.received("/paused");
    assert_eq!(paused.count(), 0);
    resume(&deployment.admin, &endpoint_id).await;
    paused.await_distinct(20, DEADLINE).await;
    assert_eq!(paused.count(), 20);
}
