//! How long connections last and how many there may be. BH34.

use std::time::Duration;

use posthorn_data_plane::EdgeConfig;

use super::{SOON, World, patient, post, with};
use crate::support::answer;

#[tokio::test]
async fn bh34_a_thousand_pipelined_posts_are_answered_in_order_one_after_the_other() {
    let config = EdgeConfig {
        requests_per_connection: 1_000,
        ..patient()
    };
    let (world, mut stream) = World::start(config).await;
    let mut client = world.client().await;
    let all: String = (0..1_000).map(|number| post(&number.to_string())).collect();
    let answers = async {
        client.send(&all).await;
        for number in 0..1_000 {
            let answer = client.answer().await;
            assert_eq!((answer.status, answer.body.as_str()), (200, "ok"));
            assert_eq!(answer.closes(), number == 999);
        }
    };
    let requests = async {
        for number in 0..1_000 {
            // There is never another one beside it.
            let request = stream.request().await;
            assert_eq!(request.body, number.to_string());
            stream.answer(answer(request.number, 200, "ok")).await;
        }
    };
    tokio::join!(answers, requests);
}

#[tokio::test]
async fn a_connection_is_closed_after_its_requests() {
    let config = EdgeConfig {
        requests_per_connection: 3,
        ..patient()
    };
    let (world, _requests) = World::answering(config).await;
    let mut client = world.client().await;
    for number in 1..=3 {
        client.send(post("a")).await;
        assert_eq!(client.answer().await.closes(), number == 3);
    }
    client.closed().await;
}

#[tokio::test]
async fn a_connection_is_closed_after_its_time() {
    let config = EdgeConfig {
        connection_age: SOON,
        requests_per_connection: 1_000_000,
        ..patient()
    };
    let (world, _requests) = World::answering(config).await;
    let mut client = world.client().await;
    loop {
        client.send(post("a")).await;
        if client.answer().await.closes() {
            break;
        }
    }
    client.closed().await;
}

#[tokio::test]
async fn a_client_that_wants_to_close_or_speaks_http_1_0_is_answered_and_closed() {
    let (world, _requests) = World::answering(patient()).await;
    for request in [
        with("POST", "connection: close\r\n", "a"),
        with("POST", "connection: keep-alive, Close\r\n", "a"),
        post("a").replace("1.1", "1.0"),
    ] {
        let mut client = world.client().await;
        client.send(request).await;
        let answer = client.answer().await;
        assert!(answer.status == 200 && answer.closes());
        client.closed().await;
    }
}

#[tokio::test]
async fn an_address_has_so_many_connections_and_more_are_closed_at_once() {
    let config = EdgeConfig {
        connections_per_address: 2,
        ..patient()
    };
    let (world, _requests) = World::answering(config).await;
    let mut kept = [world.client().await, world.client().await];
    for client in &mut kept {
        client.send(post("a")).await;
        assert_eq!(client.answer().await.status, 200);
    }
    world.client().await.closed().await;
    drop(kept);
    world.until_metric("posthorn_edge_connections", 0).await;
    assert_eq!(world.ask(post("a")).await.status, 200);
}

#[tokio::test]
async fn s10_for_a_connection_beyond_their_number_the_one_goes_that_is_idle_for_the_longest() {
    let config = EdgeConfig {
        connections: 2,
        ..patient()
    };
    let (world, _requests) = World::answering(config).await;
    let mut first = world.client().await;
    first.send(post("a")).await;
    assert_eq!(first.answer().await.status, 200);
    let mut second = world.client().await;
    second.send(post("a")).await;
    assert_eq!(second.answer().await.status, 200);
    let mut third = world.client().await;
    third.send(post("a")).await;
    first.closed().await;
    assert_eq!(third.answer().await.status, 200);
    second.send(post("a")).await;
    assert_eq!(second.answer().await.status, 200);
}

#[tokio::test]
async fn connections_beyond_the_listeners_number_wait_while_all_others_have_a_request_under_way() {
    let config = EdgeConfig {
        connections: 1,
        ..patient()
    };
    let (world, mut stream) = World::start(config).await;
    let mut first = world.client().await;
    first.send(post("a")).await;
    let request = stream.request().await;
    let mut second = world.client().await;
    second.send(post("b")).await;
    stream.answer(answer(request.number, 200, "ok")).await;
    assert_eq!(first.answer().await.status, 200);
    // Now the first is idle, and gives way.
    let request = stream.request().await;
    assert_eq!(request.body, "b");
    stream.answer(answer(request.number, 200, "ok")).await;
    assert_eq!(second.answer().await.status, 200);
    first.closed().await;
}

/// What proxies keep idle for 60 s is not closed before them.
#[test]
fn case_12_an_idle_connection_outlives_what_load_balancers_keep() {
    let defaults = EdgeConfig::default();
    assert!(defaults.idle_timeout >= Duration::from_secs(65));
    assert!(defaults.connection_age >= Duration::from_mins(30));
    assert!(defaults.requests_per_connection >= 1_000);
}

#[tokio::test]
async fn a_draining_edge_answers_what_is_under_way_closes_the_rest_and_accepts_no_more() {
    let (world, mut stream) = World::start(patient()).await;
    let mut idle = world.client().await;
    let mut busy = world.client().await;
    busy.send(post("a")).await;
    let request = stream.request().await;
    world.node.shut_down();
    idle.closed().await;
    stream.answer(answer(request.number, 200, "ok")).await;
    let answer = busy.answer().await;
    assert!(answer.status == 200 && answer.closes());
    busy.closed().await;
    drop(stream);
    world.node.until_stopped().await;
}
