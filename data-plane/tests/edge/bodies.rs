//! How long bodies may be, and how they travel. BH28 to BH30.

use super::{OTHER_SOURCE, SOURCE, World, head, patient, post, say, with};
use crate::support::answer;

const MIB: usize = 1024 * 1024;

#[tokio::test]
async fn bh28_a_client_that_goes_before_its_body_is_complete_is_counted_and_not_forwarded() {
    let (world, mut requests) = World::answering(patient()).await;
    let mut client = world.client().await;
    client
        .send(&post("whole body")[..post("whole body").len() - 1])
        .await;
    drop(client);
    world.until_metric("posthorn_edge_gone_total", 1).await;
    world.until_metric("posthorn_edge_bytes", 0).await;
    assert!(!requests.has_request());
}

#[tokio::test]
async fn bh28_a_client_that_goes_in_a_long_body_leaves_no_request_behind() {
    let (world, mut stream) = World::start(patient()).await;
    let mut client = world.client().await;
    let whole = post(&"b".repeat(MIB));
    client.send(&whole[..whole.len() / 2]).await;
    let message = stream.message().await;
    let number = message.requests[0].number;
    assert!(message.requests[0].more);
    drop(client);
    while !stream.message().await.abandoned.contains(&number) {}
    world.until_metric("posthorn_edge_requests", 0).await;
    world.until_metric("posthorn_edge_bytes", 0).await;
}

#[tokio::test]
async fn bh29_a_body_that_is_announced_as_too_long_is_refused_unread() {
    let (world, mut requests) = World::answering(patient()).await;
    let mut client = world.client().await;
    client
        .send(head(&format!("host: e\r\ncontent-length: {}\r\n", MIB + 1)))
        .await;
    let answer = client.answer().await;
    assert!(answer.status == 413 && answer.closes());
    client.closed().await;
    assert!(!requests.has_request());
}

#[tokio::test]
async fn bh29_a_chunked_body_is_refused_when_it_gets_too_long() {
    let (world, stream) = World::start(patient()).await;
    let _requests = stream.answer_all();
    let mut client = world.client().await;
    client
        .send(head("host: e\r\ntransfer-encoding: chunked\r\n"))
        .await;
    let chunk = format!("10000\r\n{}\r\n", "b".repeat(0x10000));
    for _ in 0..17 {
        client.send(&chunk).await;
    }
    let answer = client.answer().await;
    assert!(answer.status == 413 && answer.closes());
    client.closed().await;
    world.until_metric("posthorn_edge_bytes", 0).await;
}

#[tokio::test]
async fn bh30_a_client_that_waits_to_go_on_is_told_so_only_when_its_body_will_be_read() {
    let (world, mut requests) = World::answering(patient()).await;
    let mut client = world.client().await;
    let lines =
        |length: usize| format!("host: e\r\nexpect: 100-Continue\r\ncontent-length: {length}\r\n");
    client.send(head(&lines(4))).await;
    assert_eq!(client.answer().await.status, 100);
    client.send("body").await;
    assert_eq!(client.answer().await.status, 200);
    assert_eq!(requests.request().await.body, "body");
    // A client that does not wait is not told.
    client
        .send(with("POST", "expect: 100-continue\r\n", "body"))
        .await;
    assert_eq!(client.answer().await.status, 200);
    client.send(head(&lines(MIB + 1))).await;
    assert_eq!(client.answer().await.status, 413);
    client.closed().await;
}

#[tokio::test]
async fn long_bodies_travel_in_parts_and_arrive_whole() {
    let (world, mut stream) = World::start(patient()).await;
    for bytes in [256 * 1024, 256 * 1024 + 1, 400_000, MIB] {
        let body: String = ('a'..='z').cycle().take(bytes).collect();
        let mut client = world.client().await;
        let request = async {
            client.send(post(&body)).await;
        };
        let ((), request) = tokio::join!(request, stream.request());
        assert!(request.body == body, "{bytes} bytes");
        stream.answer(answer(request.number, 202, "")).await;
        assert_eq!(client.answer().await.status, 202);
    }
    world.until_metric("posthorn_edge_bytes", 0).await;
}

#[tokio::test]
async fn short_requests_pass_a_long_body_that_does_not_go_on() {
    let (world, mut stream) = World::start(patient()).await;
    let mut long = world.client().await;
    let whole = post(&"b".repeat(MIB));
    long.send(&whole[..whole.len() / 2]).await;
    assert!(stream.message().await.requests[0].more);
    let mut short = world.client().await;
    short.send(post("short")).await;
    let number = loop {
        let message = stream.message().await;
        if let Some(request) = message.requests.first() {
            break request.number;
        }
    };
    stream.answer(answer(number, 200, "")).await;
    assert_eq!(short.answer().await.status, 200);
}

#[tokio::test]
async fn an_answer_before_the_end_of_a_long_body_is_the_answer() {
    let (world, mut stream) = World::start(patient()).await;
    let mut client = world.client().await;
    let whole = post(&"b".repeat(MIB));
    client.send(&whole[..whole.len() / 2]).await;
    let number = stream.message().await.requests[0].number;
    stream.answer(answer(number, 401, "")).await;
    let answer = client.answer().await;
    assert!(answer.status == 401 && answer.closes());
    client.closed().await;
}

#[tokio::test]
async fn a_source_has_the_limits_that_the_control_plane_says_and_others_keep_theirs() {
    let (world, mut stream) = World::start(patient()).await;
    say(&stream, 10, 0).await;
    world.until_takes(11, false).await;
    world.until_takes(10, true).await;
    let mut client = world.client().await;
    client
        .send(post("12345678901").replace(SOURCE, OTHER_SOURCE))
        .await;
    let request = stream.request().await;
    assert_eq!(request.source_id, OTHER_SOURCE);
    stream.answer(answer(request.number, 200, "")).await;
    assert_eq!(client.answer().await.status, 200);
    say(&stream, 2 * 1024 * 1024, 0).await;
    world.until_takes(2 * MIB, true).await;
    world.until_takes(2 * MIB + 1, false).await;
}
