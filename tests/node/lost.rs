//! Lost leases: who gets them next, and what late reports of them change.

use posthorn::node::v1::{Hello, Lease, Outcomes};
use posthorn::v1::{DeadReason, DeliveryState};
use posthorn_harness::StoreKind;

use super::Stage;
use crate::support::{
    follow::{attempts_of, await_state, delivery},
    hand_node::{HandNode, answered, hello, reference},
};

on_both! {
    a_lost_session_gives_its_leases_to_another_node,
    a_node_that_comes_back_keeps_its_leases,
    a_late_success_wins,
    a_late_failure_is_logged_and_changes_no_schedule,
    outcomes_kept_over_a_lost_session_are_taken_with_the_next_hello,
    five_lost_leases_in_a_row_make_a_delivery_dead,
}

/// Has a node take a lease on a fresh event and vanish, and another one take the lease after it.
async fn lost(stage: &Stage) -> (Lease, HandNode, Lease) {
    let mut first = HandNode::ready(&stage.node, 1, 1).await;
    stage.emit("a.b").await;
    let lost = first.lease().await;
    drop(first);
    let mut second = HandNode::ready(&stage.node, 2, 1).await;
    let lease = second.lease().await;
    assert_eq!(lease.delivery_id, lost.delivery_id);
    assert_ne!(lease.lease_id, lost.lease_id);
    (lost, second, lease)
}

async fn a_lost_session_gives_its_leases_to_another_node(store: StoreKind) {
    let stage = Stage::start(store).await;
    stage.endpoint("a.b", 0).await;
    let (_, mut second, lease) = lost(&stage).await;
    // A lost lease is no attempt: with no retry at all there is still this one.
    assert_eq!(lease.attempt, 1);
    second.settle(vec![answered(&lease, 200)]).await;
    let now = delivery(&stage.deployment.admin, &lease.delivery_id).await;
    assert_eq!(
        (now.state(), now.attempt_count),
        (DeliveryState::Delivered, 1)
    );
}

async fn a_node_that_comes_back_keeps_its_leases(store: StoreKind) {
    let stage = Stage::start(store).await;
    stage.endpoint("a.b", 0).await;
    let mut node = HandNode::ready(&stage.node, 1, 1).await;
    stage.emit("a.b").await;
    let lease = node.lease().await;
    drop(node);
    let back = Hello {
        in_flight: vec![reference(&lease)],
        ..hello(1, 1)
    };
    let mut node = HandNode::join(&stage.node, back)
        .await
        .expect("it is welcome");
    node.settle(vec![answered(&lease, 200)]).await;
    let attempts = attempts_of(&stage.deployment.admin, &lease.delivery_id).await;
    assert_eq!(attempts.len(), 1);
    assert!(attempts[0].succeeded && !attempts[0].late);
}

/// The first node's report about a lease that it lost, brought with its next hello.
async fn report_late(stage: &Stage, lost: &Lease, status: u32) -> HandNode {
    let outcomes = vec![answered(lost, status)];
    let back = Hello {
        unacknowledged: vec![Outcomes {
            sequence: 1,
            outcomes,
        }],
        ..hello(1, 1)
    };
    let mut node = HandNode::join(&stage.node, back)
        .await
        .expect("it is welcome");
    node.committed(1).await;
    node
}

async fn a_late_success_wins(store: StoreKind) {
    let stage = Stage::start(store).await;
    stage.endpoint("a.b", 3).await;
    let (lost, mut second, lease) = lost(&stage).await;
    report_late(&stage, &lost, 200).await;
    let now = delivery(&stage.deployment.admin, &lease.delivery_id).await;
    assert_eq!(now.state(), DeliveryState::Delivered);
    // The other node's attempt failed, which undoes nothing.
    second.report(vec![answered(&lease, 500)]).await;
    let admin = &stage.deployment.admin;
    posthorn_harness::eventually("both are logged", crate::support::DEADLINE, async || {
        attempts_of(admin, &lease.delivery_id).await.len() == 2
    })
    .await;
    let now = delivery(admin, &lease.delivery_id).await;
    assert_eq!(now.state(), DeliveryState::Delivered);
    let attempts = attempts_of(admin, &lease.delivery_id).await;
    assert!(attempts.iter().all(|attempt| attempt.number == 1));
    assert_eq!(attempts.iter().filter(|one| one.succeeded).count(), 1);
}

async fn a_late_failure_is_logged_and_changes_no_schedule(store: StoreKind) {
    let stage = Stage::start(store).await;
    stage.endpoint("a.b", 0).await;
    let (lost, mut second, lease) = lost(&stage).await;
    // By the schedule the first failure is the last; but this one's lease was lost.
    report_late(&stage, &lost, 400).await;
    let now = delivery(&stage.deployment.admin, &lease.delivery_id).await;
    assert_eq!(
        (now.state(), now.attempt_count),
        (DeliveryState::Pending, 0)
    );
    second.settle(vec![answered(&lease, 200)]).await;
    let now = delivery(&stage.deployment.admin, &lease.delivery_id).await;
    assert_eq!(
        (now.state(), now.attempt_count),
        (DeliveryState::Delivered, 1)
    );
    let attempts = attempts_of(&stage.deployment.admin, &lease.delivery_id).await;
    let late: Vec<_> = attempts
        .iter()
        .map(|one| (one.late, one.status_code))
        .collect();
    assert_eq!(late.len(), 2);
    assert!(
        late.contains(&(true, 400)) && late.contains(&(false, 200)),
        "{late:?}"
    );
}

async fn outcomes_kept_over_a_lost_session_are_taken_with_the_next_hello(store: StoreKind) {
    let stage = Stage::start(store).await;
    stage.endpoint("a.b", 0).await;
    let mut node = HandNode::ready(&stage.node, 1, 2).await;
    stage.emit("a.b").await;
    stage.emit("a.b").await;
    let leases = node.leases(2).await;
    drop(node);
    let mut unacknowledged = Vec::new();
    for (sequence, lease) in (1..).zip(&leases) {
        let outcomes = vec![answered(lease, 200)];
        unacknowledged.push(Outcomes { sequence, outcomes });
    }
    let back = Hello {
        unacknowledged,
        ..hello(1, 2)
    };
    let mut node = HandNode::join(&stage.node, back)
        .await
        .expect("it is welcome");
    node.committed(2).await;
    for lease in leases {
        let attempts = attempts_of(&stage.deployment.admin, &lease.delivery_id).await;
        assert_eq!(attempts.len(), 1);
        assert!(attempts[0].succeeded);
    }
}

async fn five_lost_leases_in_a_row_make_a_delivery_dead(store: StoreKind) {
    let stage = Stage::start(store).await;
    stage.endpoint("a.b", 50).await;
    let event = stage.emit("a.b").await;
    for number in 0..5 {
        let mut node = HandNode::ready(&stage.node, number, 1).await;
        let lease = node.lease().await;
        assert_eq!(lease.attempt, 1);
    }
    let dead = await_state(&stage.deployment.admin, &event, DeliveryState::Dead).await;
    assert_eq!(dead.dead_reason(), DeadReason::LeaseLost);
    assert_eq!(dead.attempt_count, 0);
}
