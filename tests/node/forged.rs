//! Words on leases that were not given to who says them: each changes nothing, whatever this process remembers.

use bytes::Bytes;
use posthorn::node::v1::{Hello, Lease, NotStartedReason, Outcomes};
use posthorn::v1::{DeliveryState, EndpointState, GetEndpointRequest, Role};
use posthorn_harness::{Client, StoreKind, get};

use super::Stage;
use crate::support::{
    follow::{attempts_of, delivery, delivery_of},
    hand_consumer::{HandConsumer, handler},
    hand_node::{HandNode, answered, hello, not_started, reference},
    pause::pause,
    restart,
};

on_both! {
    what_is_said_of_a_lease_that_was_not_given_changes_nothing_before_and_after_a_restart,
    forged_words_are_counted_and_the_log_names_the_key_once,
    a_node_that_claims_the_id_of_a_consumer_takes_nothing_from_it,
}

/// Things that a node must not touch: a delivery in another node's hands, one of a paused endpoint, one of a handler.
struct Victims {
    holder: HandNode,
    /// In the holder's hands.
    held: Vec<Lease>,
    /// The deliveries that nobody was ever given.
    never_leased: Vec<String>,
    /// The endpoint of all that nodes deliver.
    endpoints: Vec<String>,
}

impl Victims {
    async fn make(stage: &Stage) -> Self {
        let admin = &stage.deployment.admin;
        let held_at = stage.endpoint("held", 3).await;
        let paused = stage.endpoint("paused", 3).await;
        pause(admin, &paused).await;
        let handlers = vec![handler("handle", &["handled"])];
        drop(HandConsumer::ready(admin, "service", handlers, 0).await);
        let mut never_leased = Vec::new();
        for event_type in ["paused", "handled"] {
            let event = stage.emit(event_type).await;
            never_leased.push(delivery_of(admin, &event).await.delivery_id);
        }
        let mut holder = HandNode::ready(&stage.node, 1, 2).await;
        stage.emit("held").await;
        stage.emit("held").await;
        let held = holder.leases(2).await;
        Self {
            holder,
            held,
            never_leased,
            endpoints: vec![held_at, paused],
        }
    }

    /// What a node with a lease of its own can make of it, of what it saw, and of nothing.
    fn forgeries(&self, own: &Lease) -> Vec<Lease> {
        let victim = &self.held[0];
        let deliveries = self.never_leased.iter().chain([&victim.delivery_id]);
        let mut forged = Vec::new();
        for delivery_id in deliveries {
            let delivery_id = delivery_id.clone();
            // Its own proof, and none, and one that it made up.
            for proof in [
                own.proof.clone(),
                Bytes::new(),
                Bytes::from_static(&[7; 16]),
            ] {
                forged.push(Lease {
                    delivery_id: delivery_id.clone(),
                    proof,
                    ..own.clone()
                });
            }
            forged.push(Lease {
                delivery_id,
                lease_id: own.lease_id + 1_000,
                ..own.clone()
            });
        }
        // The other node's lease, with the very proof that the other node has.
        forged.extend(self.held.iter().cloned());
        // Its own lease, but for another attempt, and another lease of its own delivery.
        forged.push(Lease {
            attempt: own.attempt + 1,
            ..own.clone()
        });
        forged.push(Lease {
            lease_id: own.lease_id ^ 1 << 40,
            ..own.clone()
        });
        forged
    }

    /// Nothing was ended, attempted or disabled.
    async fn assert_untouched(&self, admin: &Client) {
        let held = self.held.iter().map(|lease| &lease.delivery_id);
        for delivery_id in self.never_leased.iter().chain(held) {
            let now = delivery(admin, delivery_id).await;
            assert_eq!(now.state(), DeliveryState::Pending, "{delivery_id}");
            assert_eq!(now.attempt_count, 0, "{delivery_id}");
            let attempts = attempts_of(admin, delivery_id).await;
            assert!(attempts.is_empty(), "{attempts:?}");
        }
        for endpoint_id in &self.endpoints {
            let request = GetEndpointRequest {
                tenant_id: admin.tenant_id.clone(),
                endpoint_id: endpoint_id.clone(),
            };
            let answer = admin.endpoints().get_endpoint(request).await;
            let endpoint = answer.expect("it is there").into_inner().endpoint;
            let endpoint = endpoint.expect("the answer holds it");
            assert_ne!(
                endpoint.state(),
                EndpointState::Disabled,
                "{}",
                endpoint.state_reason
            );
        }
    }
}

/// Says of every lease that it is held, that it succeeded, that its endpoint is gone and that it was not begun: in the
/// hello, and later.
async fn say_everything(client: &Client, number: u32, forged: &[Lease], own: &Lease) -> HandNode {
    let all = |status| forged.iter().map(move |lease| answered(lease, status));
    let unacknowledged = [200, 410].map(|status| all(status).collect());
    let unacknowledged = (1..).zip(unacknowledged);
    let hello = Hello {
        in_flight: forged.iter().chain([own]).map(reference).collect(),
        unacknowledged: unacknowledged
            .map(|(sequence, outcomes)| Outcomes { sequence, outcomes })
            .collect(),
        ..hello(number, 8)
    };
    let mut node = HandNode::join(client, hello).await.expect("it is welcome");
    node.committed(2).await;
    for status in [200, 410] {
        node.settle(all(status).collect()).await;
    }
    let given_back = |lease| not_started(lease, NotStartedReason::Drain);
    node.settle(forged.iter().map(given_back).collect()).await;
    node
}

async fn what_is_said_of_a_lease_that_was_not_given_changes_nothing_before_and_after_a_restart(
    store: StoreKind,
) {
    let mut stage = Stage::start(store).await;
    let installation = stage.deployment.admin.for_tenant("");
    let stolen = installation.create_key(&[Role::Node]).await;
    let thief_key = stage.deployment.admin.with_key(&stolen);
    let victims = Victims::make(&stage).await;
    stage.endpoint("own", 3).await;
    let mut thief = HandNode::ready(&thief_key, 2, 1).await;
    stage.emit("own").await;
    let own = thief.lease().await;
    let forged = victims.forgeries(&own);
    drop(thief);

    let thief = say_everything(&thief_key, 2, &forged, &own).await;
    victims.assert_untouched(&stage.deployment.admin).await;
    drop(thief);

    // Now nobody remembers a lease, and the thief is the first to name any.
    restart::restart(&mut stage.deployment).await;
    let node = stage.deployment.admin.with_key(&stage.deployment.node_key);
    let thief_key = stage.deployment.admin.with_key(&stolen);
    let mut thief = say_everything(&thief_key, 2, &forged, &own).await;
    let admin = stage.deployment.admin.clone();
    victims.assert_untouched(&admin).await;

    // What was given is believed: one lease is still worked on, of the other the outcome is brought along.
    let [working, done] = &victims.held[..] else {
        panic!("two were leased");
    };
    drop(victims.holder);
    let back = Hello {
        in_flight: vec![reference(working)],
        unacknowledged: vec![Outcomes {
            sequence: 1,
            outcomes: vec![answered(done, 200)],
        }],
        ..hello(1, 2)
    };
    let mut holder = HandNode::join(&node, back).await.expect("it is welcome");
    holder.committed(1).await;
    holder.settle(vec![answered(working, 200)]).await;
    thief.settle(vec![answered(&own, 200)]).await;
    for lease in [working, done, &own] {
        let now = delivery(&admin, &lease.delivery_id).await;
        assert_eq!(now.state(), DeliveryState::Delivered);
        let attempts = attempts_of(&admin, &lease.delivery_id).await;
        assert_eq!(attempts.len(), 1, "{attempts:?}");
        assert!(attempts[0].succeeded && !attempts[0].late);
    }
}

async fn forged_words_are_counted_and_the_log_names_the_key_once(store: StoreKind) {
    let stage = Stage::start(store).await;
    stage.endpoint("a.b", 3).await;
    let mut node = HandNode::ready(&stage.node, 1, 1).await;
    stage.emit("a.b").await;
    let lease = node.lease().await;
    let with = |proof: &'static [u8]| Lease {
        proof: Bytes::from_static(proof),
        ..lease.clone()
    };
    node.settle(vec![answered(&with(b""), 200)]).await;
    node.settle(vec![answered(&with(b"made up"), 200); 2]).await;
    node.settle(vec![answered(&lease, 200)]).await;
    let page = get(stage.deployment.control.metrics, "/metrics").await;
    let metrics = page.expect("metrics are served").body;
    for line in [
        "posthorn_forged_reports_total{result=\"no_proof\"} 1\n",
        "posthorn_forged_reports_total{result=\"wrong_proof\"} 2\n",
        "posthorn_stale_reports_total 0\n",
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
    let logs = stage.deployment.control.logs();
    let told = logs.lines().filter(|line| line.contains("was not given"));
    let told = told.collect::<Vec<_>>();
    assert_eq!(told.len(), 1, "{told:?}");
    let (key_id, _) = stage.deployment.node_key.split_at(4 + 26);
    let key_id = key_id.replace("phk_", "key_");
    assert!(told[0].contains(&key_id), "{key_id} is not in {told:?}");
}

async fn a_node_that_claims_the_id_of_a_consumer_takes_nothing_from_it(store: StoreKind) {
    let stage = Stage::start(store).await;
    let admin = &stage.deployment.admin;
    let handlers = vec![handler("handle", &["a.b"])];
    let mut consumer = HandConsumer::ready(admin, "service", handlers, 1).await;
    stage.emit("a.b").await;
    let handout = consumer.handout().await;
    // Five lost leases in a row would be the delivery's end.
    for _ in 0..5 {
        let hello = Hello {
            node_id: consumer.consumer_id.replace("con_", "node_"),
            ..hello(1, 1)
        };
        let mut node = HandNode::join(&stage.node, hello)
            .await
            .expect("it is welcome");
        node.settle(Vec::new()).await;
    }
    consumer.ack(&handout, "done").await;
    let now = delivery(admin, &handout.delivery_id).await;
    assert_eq!(now.state(), DeliveryState::Delivered);
    let attempts = attempts_of(admin, &handout.delivery_id).await;
    assert_eq!(attempts.len(), 1);
    assert!(!attempts[0].late, "the handout was never lost");
}
