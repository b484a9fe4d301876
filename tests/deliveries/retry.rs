//! One delivery at a time: retried and cancelled, once and again.

use posthorn::v1::{
    CancelDeliveryRequest, DeliveryActionKind, DeliveryState, RetryDeliveryRequest,
};
use posthorn_harness::{Answer, Deployment, StoreKind};
use tonic::Code;

use super::{actions_of, endpoint, kinds};
use crate::support::{
    DEADLINE,
    follow::{attempts_of, await_delivery, await_state},
    pause::{pause, resume},
    refusal::assert_refused,
};

on_both! {
    a_second_retry_is_refused_until_the_first_had_its_attempt,
    a_repeated_retry_is_one_attempt_and_has_one_answer,
    a_delivery_is_cancelled_once_however_often_it_is_asked_for,
}

/// A dead delivery to a paused endpoint that would succeed now, with the endpoint.
async fn dead(deployment: &Deployment) -> (String, String) {
    deployment.receiver.answer("/", Answer::Status(500));
    let endpoint_id = endpoint(deployment, "/", "a.b").await;
    let event_id = deployment.admin.emit("a.b", "{}").await.event_id;
    let dead = await_state(&deployment.admin, &event_id, DeliveryState::Dead).await;
    deployment.receiver.answer("/", Answer::Status(200));
    pause(&deployment.admin, &endpoint_id).await;
    (endpoint_id, dead.delivery_id)
}

fn retry(deployment: &Deployment, delivery_id: &str, request_id: &str) -> RetryDeliveryRequest {
    RetryDeliveryRequest {
        tenant_id: deployment.tenant_id.clone(),
        delivery_id: delivery_id.to_owned(),
        reason: "mended".to_owned(),
        request_id: request_id.to_owned(),
    }
}

async fn a_second_retry_is_refused_until_the_first_had_its_attempt(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let (endpoint_id, delivery_id) = dead(&deployment).await;
    let mut deliveries = deployment.admin.deliveries();
    let request = retry(&deployment, &delivery_id, "one");
    let answer = deliveries.retry_delivery(request).await;
    let pending = answer.expect("it is retried").into_inner().delivery;
    let pending = pending.expect("the answer holds it");
    assert_eq!(pending.state(), DeliveryState::Pending);
    for request_id in ["two", ""] {
        let request = retry(&deployment, &delivery_id, request_id);
        let result = deliveries.retry_delivery(request).await;
        assert_refused("a second retry", result, Code::FailedPrecondition);
    }

    // With its attempt, which fails, the first retry is over.
    deployment.receiver.answer("/", Answer::Status(500));
    resume(&deployment.admin, &endpoint_id).await;
    await_delivery(&deployment.admin, &delivery_id, "failed again", |now| {
        now.attempt_count == 2 && now.state() == DeliveryState::Dead
    })
    .await;
    deployment.receiver.answer("/", Answer::Status(200));
    let request = retry(&deployment, &delivery_id, "two");
    let answer = deliveries.retry_delivery(request).await;
    answer.expect("it is retried");
    await_delivery(&deployment.admin, &delivery_id, "is delivered", |now| {
        now.state() == DeliveryState::Delivered
    })
    .await;
    assert_eq!(attempts_of(&deployment.admin, &delivery_id).await.len(), 3);
    let request = retry(&deployment, &delivery_id, "three");
    let result = deliveries.retry_delivery(request).await;
    assert_refused("a delivered one", result, Code::FailedPrecondition);
}

async fn a_repeated_retry_is_one_attempt_and_has_one_answer(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let (endpoint_id, delivery_id) = dead(&deployment).await;
    let mut deliveries = deployment.admin.deliveries();
    let request = retry(&deployment, &delivery_id, "one");
    let first = deliveries.retry_delivery(request.clone()).await;
    let first = first.expect("it is retried").into_inner();
    let again = deliveries.retry_delivery(request.clone()).await;
    assert_eq!(again.expect("the same").into_inner(), first);
    resume(&deployment.admin, &endpoint_id).await;
    await_delivery(&deployment.admin, &delivery_id, "is delivered", |now| {
        now.state() == DeliveryState::Delivered
    })
    .await;
    // The answer is the same though the delivery is not.
    let again = deliveries.retry_delivery(request.clone()).await;
    assert_eq!(again.expect("the same").into_inner(), first);
    assert_eq!(deployment.receiver.received("/").count(), 2);
    assert_eq!(attempts_of(&deployment.admin, &delivery_id).await.len(), 2);
    let actions = actions_of(&deployment.admin, &delivery_id).await;
    assert_eq!(kinds(&actions), [DeliveryActionKind::Retry]);

    let other = RetryDeliveryRequest {
        reason: "another one".to_owned(),
        ..request
    };
    let result = deliveries.retry_delivery(other).await;
    assert_refused("another request", result, Code::AlreadyExists);
}

async fn a_delivery_is_cancelled_once_however_often_it_is_asked_for(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let (endpoint_id, delivery_id) = dead(&deployment).await;
    let mut deliveries = deployment.admin.deliveries();
    let mut answers = Vec::new();
    for request_id in ["one", "one", "two", ""] {
        let request = CancelDeliveryRequest {
            tenant_id: deployment.tenant_id.clone(),
            delivery_id: delivery_id.clone(),
            reason: "sent by hand".to_owned(),
            request_id: request_id.to_owned(),
        };
        let answer = deliveries.cancel_delivery(request).await;
        let delivery = answer.expect("it is cancelled").into_inner().delivery;
        answers.push(delivery.expect("the answer holds it"));
    }
    for answer in &answers {
        assert_eq!(answer, &answers[0]);
    }
    assert_eq!(answers[0].state(), DeliveryState::Cancelled);
    let actions = actions_of(&deployment.admin, &delivery_id).await;
    assert_eq!(kinds(&actions), [DeliveryActionKind::Cancel]);
    let request = retry(&deployment, &delivery_id, "");
    let result = deliveries.retry_delivery(request).await;
    assert_refused("a cancelled one", result, Code::FailedPrecondition);
    resume(&deployment.admin, &endpoint_id).await;
    let next = deployment.admin.emit("a.b", "{}").await.event_id;
    await_state(&deployment.admin, &next, DeliveryState::Delivered).await;
    let received = deployment
        .receiver
        .received("/")
        .await_count(2, DEADLINE)
        .await;
    assert_eq!(received[1].webhook_id(), next);
}
