//! Leases given back, revoked, or not given to a node that drains.

use posthorn::node::v1::{NotStartedReason, session_response::Message as ToNode};
use posthorn::v1::{CancelDeliveryRequest, DeliveryState};
use posthorn_harness::StoreKind;

use super::Stage;
use crate::support::{
    follow::{attempts_of, await_delivery, delivery, delivery_of},
    hand_node::{HandNode, answered, not_started},
};

on_both! {
    a_lease_given_back_goes_to_another_node_and_is_no_attempt,
    a_cancelled_delivery_is_revoked_and_its_late_attempt_is_logged,
    a_draining_node_gets_no_more_leases,
}

async fn a_lease_given_back_goes_to_another_node_and_is_no_attempt(store: StoreKind) {
    let stage = Stage::start(store).await;
    stage.endpoint("a.b", 0).await;
    let mut first = HandNode::ready(&stage.node, 1, 1).await;
    stage.emit("a.b").await;
    let lease = first.lease().await;
    first.drain().await;
    first
        .settle(vec![not_started(&lease, NotStartedReason::Drain)])
        .await;
    let mut second = HandNode::ready(&stage.node, 2, 1).await;
    let again = second.lease().await;
    assert_eq!(
        (again.delivery_id.as_str(), again.attempt),
        (lease.delivery_id.as_str(), 1)
    );
    second.settle(vec![answered(&again, 200)]).await;
    let attempts = attempts_of(&stage.deployment.admin, &lease.delivery_id).await;
    assert_eq!(attempts.len(), 1);
}

async fn a_cancelled_delivery_is_revoked_and_its_late_attempt_is_logged(store: StoreKind) {
    let stage = Stage::start(store).await;
    stage.endpoint("a.b", 3).await;
    let mut node = HandNode::ready(&stage.node, 1, 1).await;
    stage.emit("a.b").await;
    let lease = node.lease().await;
    let request = CancelDeliveryRequest {
        tenant_id: stage.deployment.tenant_id.clone(),
        delivery_id: lease.delivery_id.clone(),
        reason: "not wanted any more".to_owned(),
        ..CancelDeliveryRequest::default()
    };
    let admin = &stage.deployment.admin;
    admin
        .deliveries()
        .cancel_delivery(request)
        .await
        .expect("it is cancelled");
    match node.next().await.expect("the session stands") {
        ToNode::Revoke(revoke) => assert_eq!(revoke.lease_ids, [lease.lease_id]),
        other => panic!("not a revoke: {other:?}"),
    }
    node.settle(vec![answered(&lease, 500)]).await;
    let now = delivery(admin, &lease.delivery_id).await;
    assert_eq!(now.state(), DeliveryState::Cancelled);
    assert_eq!(attempts_of(admin, &lease.delivery_id).await.len(), 1);
}

async fn a_draining_node_gets_no_more_leases(store: StoreKind) {
    let stage = Stage::start(store).await;
    stage.endpoint("a.b", 0).await;
    let mut draining = HandNode::ready(&stage.node, 1, 8).await;
    stage.emit("a.b").await;
    let lease = draining.lease().await;
    draining.drain().await;
    draining.settle(vec![answered(&lease, 200)]).await;
    // Its outcome is committed, so that the drain before it was read too.
    let event = stage.emit("a.b").await;
    let waiting = delivery_of(&stage.deployment.admin, &event).await;
    let mut other = HandNode::ready(&stage.node, 2, 1).await;
    let lease = other.lease().await;
    assert_eq!(lease.delivery_id, waiting.delivery_id);
    other.settle(vec![answered(&lease, 200)]).await;
    await_delivery(
        &stage.deployment.admin,
        &lease.delivery_id,
        "is delivered",
        |delivery| delivery.state() == DeliveryState::Delivered,
    )
    .await;
}
