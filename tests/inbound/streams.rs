//! What an edge may ask of its stream. An edge moved by hand goes beyond it.

use bytes::Bytes;
use posthorn::node::v1::{ForwardRequest, ForwardedRequest, Header};
use posthorn::v1::{Role, SourceSettings};
use posthorn_harness::StoreKind;
use tonic::Code;

use super::taking::World;
use crate::support::hand_edge::{HandEdge, posted};

on_both! {
    bodies_that_never_end_do_not_fill_a_stream,
    a_stream_that_breaks_its_limits_ends,
}

async fn bodies_that_never_end_do_not_fill_a_stream(store: StoreKind) {
    let settings = SourceSettings {
        body_bytes_max: 25 * 1_024 * 1_024,
        ..SourceSettings::default()
    };
    let mut world = World::start(store, settings).await;
    let part = Bytes::from(vec![b'x'; 256 * 1_024]);
    let mut numbers = Vec::new();
    for _ in 0..4 {
        let request = ForwardedRequest {
            more: true,
            ..posted(&world.source_id, &[], part.clone())
        };
        let number = world.edge.forward(request).await;
        numbers.push(number);
        for _ in 0..70 {
            world.edge.part(number, part.clone(), true).await;
        }
    }
    // The newest gives way; those before it and whatever is whole go on.
    assert_eq!(world.edge.answer(numbers[3]).await.status, 503);
    assert_eq!(
        world.edge.post(&world.provider, "msg_1", "{}").await.status,
        200
    );
    world.edge.part(numbers[0], Bytes::new(), false).await;
    assert_eq!(world.edge.answer(numbers[0]).await.status, 401);
}

async fn a_stream_that_breaks_its_limits_ends(store: StoreKind) {
    let world = World::start(store, SourceSettings::default()).await;
    let plain = posted(&world.source_id, &[], "{}");
    let field = Header {
        name: "a".to_owned(),
        value: Bytes::from_static(b"b"),
    };
    let broken = [
        ForwardedRequest {
            number: 1,
            headers: vec![field.clone(); 65],
            ..plain.clone()
        },
        ForwardedRequest {
            number: 1,
            path_query: "/".repeat(25 * 1_024),
            ..plain.clone()
        },
        ForwardedRequest {
            number: 1,
            body: Bytes::from(vec![0; 256 * 1_024 + 1]),
            ..plain.clone()
        },
        ForwardedRequest { number: 0, ..plain },
    ];
    for request in broken {
        let mut edge = HandEdge::open(&world.node).await;
        edge.send(ForwardRequest {
            requests: vec![request],
            ..ForwardRequest::default()
        })
        .await;
        assert_eq!(edge.end().await.code(), Code::InvalidArgument);
    }
    let operator = world.deployment.client(&[Role::Operator]).await;
    let refused = HandEdge::silent(&operator).await;
    let status = refused.err().expect("it is refused");
    assert_eq!(status.code(), Code::PermissionDenied);
}
