//! Leases: what they hold, how many there are, and what a report changes.

use std::collections::BTreeSet;

use posthorn::node::v1::{Credit, Lease, session_request::Message as FromNode};
use posthorn::v1::{DeliveryState, ErrorKind, RetryDeliveryRequest};
use posthorn_harness::StoreKind;
use standardwebhooks::{HEADER_WEBHOOK_ID, HEADER_WEBHOOK_SIGNATURE, HEADER_WEBHOOK_TIMESTAMP};
use tonic::Code;

use super::Stage;
use crate::support::{
    follow::{attempts_of, await_state, delivery},
    hand_node::{HandNode, answered, failed, hello},
    refusal::assert_refused,
    time::millis,
};

on_both! {
    a_lease_is_a_complete_request,
    no_more_leases_come_than_credit_and_capacity_allow,
    credit_counts_bodies_and_nothing_else,
    an_outcome_counts_once_however_often_it_is_reported,
    a_success_after_a_failure_under_the_same_lease_is_not_believed,
    a_report_about_another_nodes_lease_changes_nothing,
    a_leased_delivery_cannot_be_retried,
}

async fn a_lease_is_a_complete_request(store: StoreKind) {
    let stage = Stage::start(store).await;
    let endpoint = stage.endpoint("a.b", 0).await;
    let mut node = HandNode::ready(&stage.node, 1, 8).await;
    let event = stage.emit("a.b").await;
    let lease = node.lease().await;
    assert_eq!(lease.endpoint_id, endpoint);
    assert_eq!(lease.attempt, 1);
    assert_eq!(lease.url, stage.deployment.receiver.url("/"));
    assert_eq!(lease.body, "{}");
    assert_eq!(lease.timeout_ms, 15_000);
    assert_eq!(lease.connect_timeout_ms, 5_000);
    assert!(lease.hold_ms > lease.timeout_ms);
    let names = lease.headers.iter().map(|header| header.name.as_str());
    let names: BTreeSet<&str> = names.collect();
    assert_eq!(names.len(), lease.headers.len(), "each header once");
    for name in [
        HEADER_WEBHOOK_ID,
        HEADER_WEBHOOK_TIMESTAMP,
        HEADER_WEBHOOK_SIGNATURE,
        "webhook-attempt",
        "webhook-event-type",
        "content-type",
        "user-agent",
    ] {
        assert!(names.contains(name), "{name}: {names:?}");
    }
    assert!(!names.contains("host") && !names.contains("content-length"));
    node.settle(vec![answered(&lease, 204)]).await;
    let delivery = await_state(&stage.deployment.admin, &event, DeliveryState::Delivered).await;
    let attempts = attempts_of(&stage.deployment.admin, &delivery.delivery_id).await;
    assert_eq!(attempts.len(), 1);
    assert_eq!(attempts[0].holder_id, hello(1, 8).node_id);
    assert_eq!(attempts[0].duration, Some(millis(5)));
    assert_eq!(attempts[0].response_excerpt, "by hand");
}

async fn no_more_leases_come_than_credit_and_capacity_allow(store: StoreKind) {
    let stage = Stage::start(store).await;
    stage.endpoint("a.b", 0).await;
    let mut node = HandNode::join(&stage.node, hello(1, 3))
        .await
        .expect("it is welcome");
    for _ in 0..10 {
        stage.emit("a.b").await;
    }
    // Nothing came without credit: the first message is what comes after two were allowed.
    node.credit(2).await;
    let two = node.leases(2).await;
    node.settle(two.iter().map(|lease| answered(lease, 200)).collect())
        .await;
    // Capacity is three, so that of a great credit three is of use.
    node.credit(1_000_000_000).await;
    let three = node.leases(3).await;
    node.settle(vec![answered(&three[0], 200)]).await;
    for _ in 0..5 {
        node.credit(1).await;
        let lease = node.lease().await;
        node.settle(vec![answered(&lease, 200)]).await;
    }
    let rest = three[1..].iter().map(|lease| answered(lease, 200));
    node.settle(rest.collect()).await;
}

async fn credit_counts_bodies_and_nothing_else(store: StoreKind) {
    let stage = Stage::start(store).await;
    stage.endpoint("a.b", 0).await;
    let mut node = HandNode::join(&stage.node, hello(1, 10))
        .await
        .expect("it is welcome");
    for _ in 0..10 {
        stage.emit("a.b").await;
    }
    // Ten bodies of two bytes. A lease that cost its headers too would use the credit up for good.
    let credit = Credit {
        deliveries: 10,
        bytes: 20,
    };
    node.send(FromNode::Credit(credit)).await;
    let leases = node.leases(10).await;
    node.settle(leases.iter().map(|lease| answered(lease, 200)).collect())
        .await;
}

async fn a_success_after_a_failure_under_the_same_lease_is_not_believed(store: StoreKind) {
    let stage = Stage::start(store).await;
    stage.endpoint("a.b", 3).await;
    let mut node = HandNode::ready(&stage.node, 1, 1).await;
    let event = stage.emit("a.b").await;
    let lease = node.lease().await;
    node.settle(vec![answered(&lease, 503)]).await;
    node.settle(vec![answered(&lease, 200)]).await;
    node.credit(1).await;
    let second = node.lease().await;
    assert_eq!(second.attempt, 2);
    node.settle(vec![answered(&second, 200)]).await;
    let delivery = await_state(&stage.deployment.admin, &event, DeliveryState::Delivered).await;
    let attempts = attempts_of(&stage.deployment.admin, &delivery.delivery_id).await;
    assert_eq!(attempts.len(), 2, "{attempts:?}");
}

async fn an_outcome_counts_once_however_often_it_is_reported(store: StoreKind) {
    let stage = Stage::start(store).await;
    stage.endpoint("a.b", 3).await;
    let mut node = HandNode::ready(&stage.node, 1, 1).await;
    let event = stage.emit("a.b").await;
    let lease = node.lease().await;
    let failure = failed(&lease, ErrorKind::Timeout);
    node.settle(vec![failure.clone(), failure.clone()]).await;
    node.settle(vec![failure, answered(&lease, 500)]).await;
    node.credit(1).await;
    let second = node.lease().await;
    assert_eq!(second.attempt, 2);
    assert_ne!(second.lease_id, lease.lease_id);
    node.settle(vec![answered(&second, 200)]).await;
    let delivery = await_state(&stage.deployment.admin, &event, DeliveryState::Delivered).await;
    assert_eq!(delivery.attempt_count, 2);
}

async fn a_report_about_another_nodes_lease_changes_nothing(store: StoreKind) {
    let stage = Stage::start(store).await;
    stage.endpoint("a.b", 3).await;
    let mut holder = HandNode::ready(&stage.node, 1, 1).await;
    stage.emit("a.b").await;
    let lease = holder.lease().await;
    let mut thief = HandNode::join(&stage.node, hello(2, 1))
        .await
        .expect("it is welcome");
    let unknown = Lease {
        lease_id: lease.lease_id ^ 0xffff,
        ..lease.clone()
    };
    let elsewhere = Lease {
        delivery_id: crate::support::unknown::DELIVERY.to_owned(),
        ..lease.clone()
    };
    thief.settle(vec![answered(&lease, 410)]).await;
    thief
        .settle(vec![
            failed(&unknown, ErrorKind::Timeout),
            failed(&elsewhere, ErrorKind::Timeout),
        ])
        .await;
    let now = delivery(&stage.deployment.admin, &lease.delivery_id).await;
    assert_eq!(now.state(), DeliveryState::Pending);
    assert_eq!(now.attempt_count, 0);
    holder.settle(vec![answered(&lease, 200)]).await;
    let now = delivery(&stage.deployment.admin, &lease.delivery_id).await;
    assert_eq!(
        (now.state(), now.attempt_count),
        (DeliveryState::Delivered, 1)
    );
}

async fn a_leased_delivery_cannot_be_retried(store: StoreKind) {
    let stage = Stage::start(store).await;
    stage.endpoint("a.b", 3).await;
    let mut node = HandNode::ready(&stage.node, 1, 1).await;
    stage.emit("a.b").await;
    let lease = node.lease().await;
    let request = RetryDeliveryRequest {
        tenant_id: stage.deployment.tenant_id.clone(),
        delivery_id: lease.delivery_id.clone(),
        reason: "too slow for me".to_owned(),
        ..RetryDeliveryRequest::default()
    };
    let mut deliveries = stage.deployment.admin.deliveries();
    let result = deliveries.retry_delivery(request).await;
    assert_refused("leased", result, Code::FailedPrecondition);
    node.settle(vec![answered(&lease, 200)]).await;
}
