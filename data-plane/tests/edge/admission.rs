//! What does not fit is refused at once, its body unread. BC28, BC29.

use posthorn_data_plane::EdgeConfig;

use super::{OTHER_SOURCE, SOURCE, World, head, patient, post};
use crate::support::{Answer, Client, answer};

/// What a request is told whose body never comes, so that it was not waited for.
async fn told_unread(world: &World, source: &str) -> Answer {
    let request = head("host: e\r\ncontent-length: 10\r\n").replace(SOURCE, source);
    world.ask(request).await
}

fn is_busy(answer: &Answer, status: u16) -> bool {
    answer.status == status && answer.header("retry-after") == Some("5")
}

#[tokio::test]
async fn bc29_requests_beyond_the_number_in_flight_are_told_to_come_again_before_their_body_is_read()
 {
    let config = EdgeConfig {
        requests_in_flight: 1,
        ..patient()
    };
    let (world, mut stream) = World::start(config).await;
    let mut first = world.client().await;
    first.send(post("a")).await;
    let request = stream.request().await;
    let told = told_unread(&world, OTHER_SOURCE).await;
    assert!(is_busy(&told, 503) && told.closes());
    // A body that has come already is passed over, and the connection kept.
    let mut second = world.client().await;
    second.send(post("b")).await;
    let told = second.answer().await;
    assert!(is_busy(&told, 503) && !told.closes());
    stream.answer(answer(request.number, 200, "")).await;
    assert_eq!(first.answer().await.status, 200);
    second.send(post("c")).await;
    let request = stream.request().await;
    assert_eq!(request.body, "c");
    stream.answer(answer(request.number, 200, "")).await;
    assert_eq!(second.answer().await.status, 200);
    assert_eq!(
        world
            .metric("posthorn_edge_refused_total{reason=\"requests_full\"}")
            .await,
        2
    );
}

#[tokio::test]
async fn one_source_has_at_most_a_quarter_of_the_requests_in_flight() {
    let config = EdgeConfig {
        requests_in_flight: 4,
        ..patient()
    };
    let (world, mut stream) = World::start(config).await;
    let mut first = world.client().await;
    first.send(post("a")).await;
    stream.request().await;
    assert!(is_busy(&told_unread(&world, SOURCE).await, 429));
    let mut other = world.client().await;
    other.send(post("b").replace(SOURCE, OTHER_SOURCE)).await;
    let request = stream.request().await;
    stream.answer(answer(request.number, 200, "")).await;
    assert_eq!(other.answer().await.status, 200);
}

#[tokio::test]
async fn bytes_beyond_the_budget_are_refused_and_what_they_took_is_given_back() {
    let config = EdgeConfig {
        bytes_in_flight: 1_000,
        ..patient()
    };
    let (world, mut requests) = World::answering(config).await;
    let told = world.ask(post(&"b".repeat(1_001))).await;
    assert!(is_busy(&told, 503));
    world.until_metric("posthorn_edge_bytes", 0).await;
    assert_eq!(world.ask(post(&"b".repeat(1_000))).await.status, 200);
    requests.request().await;
    assert!(!requests.has_request());
}

#[tokio::test]
async fn bc28_without_a_control_plane_requests_are_told_to_come_again_before_their_body_is_read() {
    let (world, stream) = World::start(patient()).await;
    let World { control, node } = world;
    // Nobody listens there any more, so the stream that breaks is the last one.
    control.stop().await;
    drop(stream);
    let client = async || {
        let mut client = Client::connect(node.edge).await;
        client
            .send(head(
                "host: e\r\nexpect: 100-continue\r\ncontent-length: 10\r\n",
            ))
            .await;
        client.answer().await
    };
    let told = loop {
        let told = client().await;
        if told.status != 100 {
            break told;
        }
    };
    assert!(is_busy(&told, 503) && told.closes());
}
