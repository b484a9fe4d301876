//! Clients that are slow or silent: each is closed in its time. BH27 and BH32.

use std::time::Duration;

use posthorn_data_plane::EdgeConfig;
use posthorn_harness::{Dribble, Dribbled};
use tokio::time::timeout;

use super::{NEVER, SOON, SOURCE, World, head, patient, post};
use crate::support::PATIENCE;

const BYTE: Duration = Duration::from_millis(5);

/// How slow clients end.
async fn closed(dribble: &Dribble, connections: usize) -> Vec<Dribbled> {
    let dribblers = dribble.open(connections).await.expect("connections");
    let all = timeout(PATIENCE, dribblers.closed()).await;
    all.expect("all are closed in time")
}

#[tokio::test]
async fn bh27_a_body_that_does_not_come_is_answered_408() {
    let config = EdgeConfig {
        body_timeout: SOON,
        ..patient()
    };
    let (world, mut requests) = World::answering(config).await;
    for start in [
        head("host: e\r\ncontent-length: 10\r\n"),
        head("host: e\r\ncontent-length: 10\r\n") + "123456789",
        head("host: e\r\ntransfer-encoding: chunked\r\n") + "5\r\nhello\r\n",
    ] {
        let answer = world.ask(start).await;
        assert!(answer.status == 408 && answer.closes());
    }
    assert!(!requests.has_request());
}

#[tokio::test]
async fn bh32_silence_and_slow_heads_are_closed_without_an_answer() {
    let config = EdgeConfig {
        head_timeout: SOON,
        ..patient()
    };
    let (world, mut requests) = World::answering(config).await;
    for start in ["", "POST", "POST / HTTP/1.1\r\nhost: e\r\n"] {
        let mut client = world.client().await;
        client.send(start).await;
        client.closed().await;
    }
    assert!(!requests.has_request());
}

#[tokio::test]
async fn an_idle_connection_is_closed_without_an_answer() {
    let config = EdgeConfig {
        idle_timeout: SOON,
        ..patient()
    };
    let (world, _requests) = World::answering(config).await;
    let mut client = world.client().await;
    client.send(post("a")).await;
    assert_eq!(client.answer().await.status, 200);
    client.closed().await;
}

#[tokio::test]
async fn e3_dribblers_of_heads_are_closed_however_many_bytes_they_send() {
    let config = EdgeConfig {
        head_timeout: SOON,
        connections_per_address: 100,
        ..patient()
    };
    let (world, mut requests) = World::answering(config).await;
    for dribbled in closed(&Dribble::heads(world.node.edge, BYTE), 50).await {
        assert_eq!(dribbled.told, "");
    }
    assert!(!requests.has_request());
    world.until_metric("posthorn_edge_connections", 0).await;
}

#[tokio::test]
async fn e3_dribblers_of_bodies_are_told_that_they_are_too_slow_while_others_are_answered() {
    let config = EdgeConfig {
        body_timeout: Duration::from_millis(500),
        connections_per_address: 100,
        ..patient()
    };
    let (world, _requests) = World::answering(config).await;
    let dribble = Dribble::bodies(world.node.edge, SOURCE, BYTE);
    let dribblers = closed(&dribble, 50);
    let honest = async {
        let mut client = world.client().await;
        for _ in 0..20 {
            client.send(post("a")).await;
            assert_eq!(client.answer().await.status, 200);
        }
    };
    let (dribbled, ()) = tokio::join!(dribblers, honest);
    for Dribbled { told, .. } in dribbled {
        assert!(told.starts_with("HTTP/1.1 408 "), "{told}");
    }
    world.until_metric("posthorn_edge_bytes", 0).await;
    world
        .until_metric("posthorn_edge_refused_total{reason=\"body_too_slow\"}", 50)
        .await;
}

#[tokio::test]
async fn a_body_must_come_at_its_least_speed_even_where_it_has_time() {
    let config = EdgeConfig {
        body_timeout: NEVER,
        body_bytes_per_second: 1_000_000,
        ..patient()
    };
    let (world, _requests) = World::answering(config).await;
    let dribble = Dribble::bodies(world.node.edge, SOURCE, BYTE);
    for Dribbled { told, .. } in closed(&dribble, 2).await {
        assert!(told.starts_with("HTTP/1.1 408 "), "{told}");
    }
}
