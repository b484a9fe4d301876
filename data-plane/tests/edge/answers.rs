//! What is forwarded, and what becomes of answers.

use posthorn::node::v1::{ForwardedAnswer, Header};

use super::{SOURCE, World, patient, post, say, with};
use crate::support::answer;

fn field(name: &str, value: &str) -> Header {
    Header {
        name: name.to_owned(),
        value: value.as_bytes().to_vec().into(),
    }
}

#[tokio::test]
async fn a_request_is_forwarded_as_it_came() {
    let (world, mut requests) = World::answering(patient()).await;
    let lines = "X-Twice: 1\r\nAccept: */*\r\nx-twice:  2 \r\nX-Empty:\r\n";
    let request = with("POST", lines, "{\"a\": 1}\n").replace(SOURCE, &format!("{SOURCE}?q=%20&r"));
    let answer = world.ask(request).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "taken"));
    assert_eq!(answer.header("x-from"), Some("control plane"));
    assert!(answer.header("date").is_some() && answer.header("server").is_none());
    let request = requests.request().await;
    assert_eq!(
        (request.source_id.as_str(), request.method.as_str()),
        (SOURCE, "POST")
    );
    assert_eq!(request.path_query, format!("/in/{SOURCE}?q=%20&r"));
    assert_eq!(request.body, "{\"a\": 1}\n");
    assert_eq!(request.remote_address, "127.0.0.1");
    let expected = [
        ("host", "edge"),
        ("content-length", "9"),
        ("x-twice", "1"),
        ("accept", "*/*"),
        ("x-twice", "2"),
        ("x-empty", ""),
    ];
    assert_eq!(
        request.headers,
        expected.map(|(name, value)| field(name, value))
    );
}

#[tokio::test]
async fn what_http_itself_sets_is_not_taken_from_an_answer() {
    let (world, mut stream) = World::start(patient()).await;
    let mut client = world.client().await;
    client.send(post("a")).await;
    let number = stream.request().await.number;
    let headers = [
        ("content-length", "100"),
        ("transfer-encoding", "chunked"),
        ("connection", "close"),
        ("server", "posthorn"),
        ("x-good", "yes"),
        ("x-split", "a\r\nb: c"),
        ("bad name", "d"),
    ]
    .map(|(name, value)| field(name, value))
    .to_vec();
    stream
        .answer(ForwardedAnswer {
            number,
            status: 201,
            headers,
            body: "made".into(),
        })
        .await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.body.as_str()), (201, "made"));
    assert_eq!(answer.header("x-good"), Some("yes"));
    assert!(!answer.closes() && answer.header("x-split").is_none());
    assert!(!answer.head.contains("server: posthorn") && !answer.head.contains("bad name"));
}

#[tokio::test]
async fn an_answer_that_is_none_is_answered_503() {
    let (world, mut stream) = World::start(patient()).await;
    for status in [0, 100, 101, 199, 600, 70_000] {
        let mut client = world.client().await;
        client.send(post("a")).await;
        let number = stream.request().await.number;
        stream.answer(answer(number, status, "")).await;
        assert_eq!(client.answer().await.status, 503, "{status}");
    }
}

#[tokio::test]
async fn e2_an_answer_that_does_not_come_in_time_is_503_and_the_control_plane_is_told() {
    let (world, mut stream) = World::start(patient()).await;
    say(&stream, 10, 50).await;
    world.until_takes(11, false).await;
    let mut client = world.client().await;
    client.send(post("a")).await;
    let number = stream.request().await.number;
    let told = client.answer().await;
    assert_eq!((told.status, told.header("retry-after")), (503, Some("5")));
    assert_eq!(stream.message().await.abandoned, [number]);
    // Too late, and for nobody.
    stream.answer(answer(number, 200, "late")).await;
    client.send(post("b")).await;
    let next = stream.request().await;
    assert!(next.number > number);
    stream.answer(answer(next.number, 200, "in time")).await;
    assert_eq!(client.answer().await.body, "in time");
}

#[tokio::test]
async fn everyone_who_waits_on_a_stream_that_breaks_is_answered_503() {
    let (mut world, mut stream) = World::start(patient()).await;
    let mut clients = [world.client().await, world.client().await];
    for client in &mut clients {
        client.send(post("a")).await;
        stream.request().await;
    }
    drop(stream);
    for client in &mut clients {
        let told = client.answer().await;
        assert_eq!((told.status, told.header("retry-after")), (503, Some("5")));
        assert!(!told.closes());
    }
    // The next stream has nothing of it.
    let mut stream = world.control.forwarded().await;
    world.until_stream(true).await;
    clients[0].send(post("b")).await;
    let request = stream.request().await;
    assert_eq!(request.body, "b");
    stream.answer(answer(request.number, 200, "")).await;
    assert_eq!(clients[0].answer().await.status, 200);
}

#[tokio::test]
async fn answers_find_their_requests_in_any_order() {
    let (world, mut stream) = World::start(patient()).await;
    let mut waiting = Vec::new();
    for _ in 0..3 {
        let mut client = world.client().await;
        client.send(post("a")).await;
        waiting.push((client, stream.request().await.number));
    }
    let bodies = ["first", "second", "third"];
    for place in [2, 0, 1] {
        stream
            .answer(answer(waiting[place].1, 200, bodies[place]))
            .await;
    }
    for (place, (client, _)) in waiting.iter_mut().enumerate() {
        assert_eq!(client.answer().await.body, bodies[place]);
    }
    assert_eq!(
        world
            .metric("posthorn_edge_answers_total{status=\"2xx\"}")
            .await,
        3
    );
    assert_eq!(world.metric("posthorn_edge_answer_seconds_count").await, 3);
    assert_eq!(world.metric("posthorn_edge_requests").await, 0);
}
