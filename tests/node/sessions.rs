//! Sessions: how they begin, and what ends them.

use posthorn::node::v1::{
    Credit, Hello, HttpAnswer, Lease, Outcome, Outcomes, outcome::Result as OutcomeResult,
    session_request::Message as FromNode, session_response::Message as ToNode,
};
use posthorn::v1::{
    Attempt, CreateEndpointRequest, DeliveryState, EndpointSettings, ErrorKind, Role,
};
use posthorn_harness::{StoreKind, eventually};
use tonic::Code;

use super::Stage;
use crate::support::{
    DEADLINE,
    follow::{attempts_of, await_state},
    hand_node::{HandNode, answered, hello, reference},
    refusal::Refusal,
};

on_both! {
    a_session_begins_with_a_hello_that_is_within_its_limits,
    a_session_without_a_hello_is_ended,
    g3_a_node_is_told_where_the_control_plane_listens_and_tells_where_it_does,
    a_second_hello_ends_the_session,
    another_version_of_the_protocol_is_refused,
    a_newer_node_is_understood_as_far_as_it_can_be,
    a_message_out_of_its_limits_ends_the_session,
    a_second_session_of_a_node_ends_the_first,
    a_node_id_belongs_to_the_key_that_used_it,
    one_key_opens_a_bounded_number_of_sessions,
}

async fn a_session_begins_with_a_hello_that_is_within_its_limits(store: StoreKind) {
    let stage = Stage::start(store).await;
    let good = hello(1, 8);
    let cases = [
        (
            "no node id",
            Hello {
                node_id: String::new(),
                ..good.clone()
            },
        ),
        (
            "another prefix",
            Hello {
                node_id: good.node_id.replace("node", "evt"),
                ..good.clone()
            },
        ),
        (
            "no id at all",
            Hello {
                node_id: "node_1".to_owned(),
                ..good.clone()
            },
        ),
        (
            "a long name",
            Hello {
                name: "x".repeat(101),
                ..good.clone()
            },
        ),
        (
            "a name with a control",
            Hello {
                name: "a\nb".to_owned(),
                ..good.clone()
            },
        ),
        (
            "a long version",
            Hello {
                version: "x".repeat(65),
                ..good.clone()
            },
        ),
        (
            "a listener that is none",
            Hello {
                listeners: vec!["localhost:80".to_owned()],
                ..good.clone()
            },
        ),
        (
            "many listeners",
            Hello {
                listeners: vec!["10.0.0.1:80".to_owned(); 257],
                ..good.clone()
            },
        ),
        (
            "no capacity",
            Hello {
                capacity: 0,
                ..good.clone()
            },
        ),
        (
            "too much capacity",
            Hello {
                capacity: 8_193,
                ..good.clone()
            },
        ),
    ];
    for (what, hello) in cases {
        let client = stage.another_key().await;
        let ended = HandNode::join(&client, hello).await.err();
        let code = ended.as_ref().map(tonic::Status::code);
        assert_eq!(code, Some(Code::InvalidArgument), "{what}: {ended:?}");
    }
    for first in [
        FromNode::Credit(Credit::default()),
        FromNode::Outcomes(Outcomes::default()),
        FromNode::Drain(posthorn::node::v1::Drain {}),
    ] {
        let client = stage.another_key().await;
        let mut node = HandNode::silent(&client).await.expect("a stream opens");
        node.send(first).await;
        assert_eq!(node.end().await.code(), Code::InvalidArgument);
    }
    HandNode::join(&stage.node, good)
        .await
        .expect("a good hello is welcome");
}

async fn g3_a_node_is_told_where_the_control_plane_listens_and_tells_where_it_does(
    store: StoreKind,
) {
    let stage = Stage::start(store).await;
    let create = async || {
        let settings = EndpointSettings {
            url: "http://127.0.0.1:18080/".to_owned(),
            subscriptions: vec!["*".to_owned()],
            ..EndpointSettings::default()
        };
        let request = CreateEndpointRequest {
            tenant_id: stage.deployment.admin.tenant_id.clone(),
            settings: Some(settings),
            ..CreateEndpointRequest::default()
        };
        stage
            .deployment
            .admin
            .endpoints()
            .create_endpoint(request)
            .await
    };
    let mut node = HandNode::silent(&stage.node).await.expect("a stream");
    let listeners = ["127.0.0.1:18080", "8.8.8.8:443"]
        .map(str::to_owned)
        .to_vec();
    let hello = Hello {
        listeners,
        ..hello(1, 8)
    };
    node.send(FromNode::Hello(hello)).await;
    let Ok(ToNode::Welcome(welcome)) = node.next().await else {
        panic!("no welcome");
    };
    for listener in [
        stage.deployment.control.grpc,
        stage.deployment.control.metrics,
    ] {
        assert!(
            welcome.listeners.contains(&listener.to_string()),
            "{welcome:?}"
        );
    }
    assert!(create().await.is_err(), "the node listens there");
    drop(node);
    eventually("the node is forgotten", DEADLINE, async || {
        create().await.is_ok()
    })
    .await;
}

async fn a_session_without_a_hello_is_ended(store: StoreKind) {
    let stage = Stage::start(store).await;
    let ended = match HandNode::silent(&stage.node).await {
        Ok(node) => node.end().await,
        Err(status) => status,
    };
    assert_eq!(ended.code(), Code::DeadlineExceeded, "{ended:?}");
}

async fn a_second_hello_ends_the_session(store: StoreKind) {
    let stage = Stage::start(store).await;
    let mut node = HandNode::ready(&stage.node, 1, 8).await;
    node.send(FromNode::Hello(hello(1, 8))).await;
    assert_eq!(node.end().await.code(), Code::InvalidArgument);
}

async fn another_version_of_the_protocol_is_refused(store: StoreKind) {
    let stage = Stage::start(store).await;
    for protocol in [0, 1, 3, u32::MAX] {
        let hello = Hello {
            protocol,
            ..hello(1, 8)
        };
        let ended = HandNode::join(&stage.node, hello).await.err();
        let refusal = Refusal::from(ended.expect("it is refused"));
        assert_eq!(refusal.code, Code::FailedPrecondition, "{refusal:?}");
        assert!(
            refusal.message.contains('2'),
            "it says what is spoken: {refusal:?}"
        );
    }
}

async fn a_newer_node_is_understood_as_far_as_it_can_be(store: StoreKind) {
    let stage = Stage::start(store).await;
    stage.endpoint("a.b", 2).await;
    let newer = Hello {
        protocol: 3,
        oldest_protocol: 2,
        ..hello(1, 1)
    };
    let mut node = HandNode::join(&stage.node, newer)
        .await
        .expect("both speak 2");
    node.credit(1).await;
    node.send_unknown().await;
    let event = stage.emit("a.b").await;
    // An error of a kind, and a result, that are not known here.
    let unknown_kind = |lease: &Lease| Outcome {
        result: Some(OutcomeResult::Error(999)),
        ..answered(lease, 200)
    };
    let unknown_result = |lease: &Lease| Outcome {
        result: None,
        ..answered(lease, 200)
    };
    let lease = node.lease().await;
    node.settle(vec![unknown_kind(&lease)]).await;
    node.credit(1).await;
    let lease = node.lease().await;
    node.settle(vec![unknown_result(&lease)]).await;
    node.credit(1).await;
    let lease = node.lease().await;
    node.settle(vec![answered(&lease, 200)]).await;
    let admin = &stage.deployment.admin;
    let delivery = await_state(admin, &event, DeliveryState::Delivered).await;
    let attempts = attempts_of(admin, &delivery.delivery_id).await;
    let kinds = attempts.iter().map(Attempt::error_kind).collect::<Vec<_>>();
    let (other, success) = (ErrorKind::Other, ErrorKind::Unspecified);
    assert_eq!(kinds, [other, other, success], "{attempts:?}");
}

async fn a_message_out_of_its_limits_ends_the_session(store: StoreKind) {
    let stage = Stage::start(store).await;
    stage.endpoint("a.b", 0).await;
    for (number, what) in (10..).zip([
        "status 0",
        "status 99",
        "status 600",
        "excerpt",
        "retry-after",
    ]) {
        let client = stage.another_key().await;
        let mut node = HandNode::ready(&client, number, 1).await;
        stage.emit("a.b").await;
        let lease = node.lease().await;
        let good = answered(&lease, 200);
        let mut answer = HttpAnswer {
            status_code: 200,
            ..HttpAnswer::default()
        };
        match what {
            "status 0" => answer.status_code = 0,
            "status 99" => answer.status_code = 99,
            "status 600" => answer.status_code = 600,
            "excerpt" => answer.excerpt = vec![b'x'; 4_097].into(),
            _ => answer.retry_after = "x".repeat(65),
        }
        let bad = Outcome {
            result: Some(OutcomeResult::Answer(answer)),
            ..good.clone()
        };
        node.report(vec![bad]).await;
        let ended = node.end().await;
        assert_eq!(ended.code(), Code::InvalidArgument, "{what}: {ended:?}");
        // The lease is still the node's, which comes back and says what is true.
        let back = Hello {
            in_flight: vec![reference(&lease)],
            ..hello(number, 1)
        };
        let mut node = HandNode::join(&client, back).await.expect("it is welcome");
        node.settle(vec![good]).await;
    }
    let mut node = HandNode::ready(&stage.node, 99, 1).await;
    stage.emit("a.b").await;
    let lease = node.lease().await;
    node.report(vec![answered(&lease, 200); 1_025]).await;
    assert_eq!(
        node.end().await.code(),
        Code::InvalidArgument,
        "too many outcomes"
    );
}

async fn a_second_session_of_a_node_ends_the_first(store: StoreKind) {
    let stage = Stage::start(store).await;
    stage.endpoint("a.b", 0).await;
    let mut first = HandNode::ready(&stage.node, 1, 1).await;
    stage.emit("a.b").await;
    let lease = first.lease().await;
    let again = Hello {
        in_flight: vec![reference(&lease)],
        ..hello(1, 1)
    };
    let mut second = HandNode::join(&stage.node, again)
        .await
        .expect("it is welcome");
    assert_eq!(first.end().await.code(), Code::Aborted);
    second.settle(vec![answered(&lease, 200)]).await;
}

async fn a_node_id_belongs_to_the_key_that_used_it(store: StoreKind) {
    let stage = Stage::start(store).await;
    let _first = HandNode::ready(&stage.node, 1, 8).await;
    let installation = stage.deployment.admin.for_tenant("");
    let other = installation.create_key(&[Role::Node]).await;
    let other = stage.node.with_key(&other);
    let ended = HandNode::join(&other, hello(1, 8)).await.err();
    let code = ended.as_ref().map(tonic::Status::code);
    assert_eq!(code, Some(Code::PermissionDenied), "{ended:?}");
    HandNode::join(&other, hello(2, 8))
        .await
        .expect("an id of its own");
}

async fn one_key_opens_a_bounded_number_of_sessions(store: StoreKind) {
    let stage = Stage::start(store).await;
    let mut open = Vec::new();
    let mut refused = None;
    for number in 0..=64 {
        match HandNode::join(&stage.node, hello(number, 1)).await {
            Ok(node) => open.push(node),
            Err(status) => {
                refused = Some(status);
                break;
            }
        }
    }
    assert_eq!(open.len(), 64, "{refused:?}");
    let refusal = Refusal::from(refused.expect("the sixty-fifth is refused"));
    assert_eq!(refusal.code, Code::ResourceExhausted, "{refusal:?}");
}
