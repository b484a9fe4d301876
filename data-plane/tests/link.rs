//! A node and its control plane: sessions, credit, lost streams and drains, over real gRPC.

use posthorn::node::v1::{
    NotStarted, NotStartedReason, Revoke, outcome::Result as Fact,
    session_request::Message as FromNode, session_response::Message as ToNode,
};

use crate::support::{ControlPlane, Endpoint, Node, only};

const MANY: usize = 1_000;

fn is_ok(fact: Option<&Fact>) -> bool {
    matches!(fact, Some(Fact::Answer(answer)) if answer.status_code == 200)
}

fn is_not_started(fact: Option<&Fact>, reason: NotStartedReason) -> bool {
    let reason = i32::from(reason);
    matches!(fact, Some(Fact::NotStarted(NotStarted { reason: given })) if *given == reason)
}

#[tokio::test]
async fn a_node_says_who_it_is_and_grants_its_capacity() {
    let mut control = ControlPlane::start().await;
    let _node = Node::start(control.address, 7).await;
    let mut session = control.session().await;
    assert_eq!(session.authorization, "Bearer phk_test_key");
    let hello = session.welcome().await;
    assert_eq!(
        (hello.protocol, hello.capacity, hello.name.as_str()),
        (2, 7, "node under test")
    );
    assert!(hello.node_id.starts_with("node_") && hello.node_id.len() == 31);
    let FromNode::Credit(credit) = session.receive().await else {
        panic!("no credit");
    };
    assert_eq!(credit.deliveries, 7);
    assert!(credit.bytes >= 1024 * 1024);
}

#[tokio::test]
async fn a_lease_is_performed_reported_and_its_credit_given_back() {
    let mut control = ControlPlane::start().await;
    let mut endpoint = Endpoint::start(MANY).await;
    let _node = Node::start(control.address, 1).await;
    let mut session = control.session().await;
    session.welcome().await;
    let _credit = session.receive().await;
    for lease_id in 1..=3 {
        session.lease(endpoint.lease(lease_id)).await;
        let FromNode::Outcomes(outcomes) = session.receive().await else {
            panic!("no outcomes");
        };
        assert_eq!(outcomes.sequence, lease_id);
        let outcome = only(outcomes);
        assert_eq!((outcome.lease_id, outcome.attempt), (lease_id, 3));
        assert_eq!(outcome.delivery_id, format!("dlv_{lease_id}"));
        assert_eq!(outcome.proof, format!("proof of {lease_id}"));
        assert!(is_ok(outcome.result.as_ref()), "{outcome:?}");
        let FromNode::Credit(credit) = session.receive().await else {
            panic!("no credit");
        };
        assert_eq!((credit.deliveries, credit.bytes), (1, 6));
        session.commit(lease_id).await;
        assert!(
            endpoint
                .request()
                .await
                .starts_with(&format!("POST /{lease_id} "))
        );
    }
}

#[tokio::test]
async fn a_lost_session_loses_no_outcome_and_repeats_no_lease() {
    let mut control = ControlPlane::start().await;
    let mut endpoint = Endpoint::start(0).await;
    let _node = Node::start(control.address, 8).await;
    let mut session = control.session().await;
    let first = session.welcome().await;
    for lease_id in 1..=3 {
        session.lease(endpoint.lease(lease_id)).await;
        endpoint.request().await;
    }
    endpoint.allow(1);
    let reported = session.outcomes().await;
    drop(session);

    let mut session = control.session().await;
    let hello = session.welcome().await;
    assert_eq!(hello.node_id, first.node_id);
    assert_eq!(hello.in_flight.len(), 2);
    assert_eq!(hello.unacknowledged.len(), 1);
    assert_eq!(hello.unacknowledged[0].sequence, reported.sequence);
    assert_eq!(
        hello.unacknowledged[0].outcomes[0].lease_id,
        reported.outcomes[0].lease_id
    );
    let FromNode::Credit(credit) = session.receive().await else {
        panic!("no credit");
    };
    assert_eq!(credit.deliveries, 6);
    // Sent again although the node holds them: one reported, two running.
    for lease_id in 1..=3 {
        session.lease(endpoint.lease(lease_id)).await;
    }
    endpoint.allow(MANY);
    let mut reported = 0;
    while reported < 2 {
        let outcomes = session.outcomes().await;
        assert!(
            outcomes
                .outcomes
                .iter()
                .all(|outcome| is_ok(outcome.result.as_ref()))
        );
        reported += outcomes.outcomes.len();
    }
    assert!(!endpoint.has_request(), "no lease was begun twice");
}

#[tokio::test]
async fn a_lease_whose_time_does_not_cover_the_attempt_is_not_begun() {
    let mut control = ControlPlane::start().await;
    let mut endpoint = Endpoint::start(MANY).await;
    let _node = Node::start(control.address, 8).await;
    let mut session = control.session().await;
    session.welcome().await;
    let mut late = endpoint.lease(1);
    late.hold_ms = late.timeout_ms - 1;
    session.lease(late).await;
    let outcome = only(session.outcomes().await);
    assert!(
        is_not_started(outcome.result.as_ref(), NotStartedReason::TooLate),
        "{outcome:?}"
    );
    assert!(!endpoint.has_request());
}

#[tokio::test]
async fn a_revoked_lease_that_has_begun_goes_on() {
    let mut control = ControlPlane::start().await;
    let mut endpoint = Endpoint::start(0).await;
    let _node = Node::start(control.address, 8).await;
    let mut session = control.session().await;
    session.welcome().await;
    session.lease(endpoint.lease(1)).await;
    endpoint.request().await;
    let lease_ids = vec![1, 99];
    session.send(ToNode::Revoke(Revoke { lease_ids })).await;
    endpoint.allow(1);
    assert!(is_ok(only(session.outcomes().await).result.as_ref()));
}

#[tokio::test]
async fn a_draining_node_finishes_what_runs_begins_nothing_and_waits_for_the_commit() {
    let mut control = ControlPlane::start().await;
    let mut endpoint = Endpoint::start(0).await;
    let node = Node::start(control.address, 8).await;
    let mut session = control.session().await;
    session.welcome().await;
    let _credit = session.receive().await;
    session.lease(endpoint.lease(1)).await;
    endpoint.request().await;
    node.shut_down();
    assert!(matches!(session.receive().await, FromNode::Drain(_)));
    assert!(node.get("/readyz").await.contains("not draining"));
    session.lease(endpoint.lease(2)).await;
    let refused = session.outcomes().await;
    let through = refused.sequence;
    assert!(is_not_started(
        only(refused).result.as_ref(),
        NotStartedReason::Drain
    ));
    session.commit(through).await;
    endpoint.allow(1);
    let finished = session.outcomes().await;
    let through = finished.sequence;
    assert!(is_ok(only(finished).result.as_ref()));
    // The outcome is not committed yet, and the stream is lost: the node comes back for it.
    drop(session);
    let mut session = control.session().await;
    assert_eq!(session.welcome().await.unacknowledged[0].sequence, through);
    assert!(matches!(session.receive().await, FromNode::Drain(_)));
    session.commit(through).await;
    session.until_ended().await;
    node.until_stopped().await;
    assert!(!endpoint.has_request());
}

#[tokio::test]
async fn a_node_without_a_control_plane_is_not_ready_and_stops_at_once() {
    let control = ControlPlane::start().await;
    let address = control.address;
    drop(control);
    let node = Node::start(address, 8).await;
    let answer = node.get("/readyz").await;
    assert!(
        answer.starts_with("HTTP/1.1 503") && answer.contains("session"),
        "{answer}"
    );
    node.shut_down();
    node.until_stopped().await;
}

#[tokio::test]
async fn a_node_with_a_session_is_ready_and_counts_its_attempts() {
    let mut control = ControlPlane::start().await;
    let endpoint = Endpoint::start(MANY).await;
    let node = Node::start(control.address, 8).await;
    let mut session = control.session().await;
    session.welcome().await;
    session.lease(endpoint.lease(1)).await;
    session.outcomes().await;
    assert!(node.get("/readyz").await.starts_with("HTTP/1.1 200"));
    let metrics = node.get("/metrics").await;
    for line in [
        "posthorn_node_attempts_total{result=\"2xx\"} 1\n",
        "posthorn_node_attempts_total{result=\"timeout\"} 0\n",
        "posthorn_node_attempt_seconds_count 1\n",
        "posthorn_node_connections_opened_total 1\n",
        "posthorn_node_session_up 1\n",
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
    assert!(!metrics.contains("phk_"), "the key is not shown");
}
