//! Endpoints that speak HTTP/2, well or badly: frames written by hand where no server would write them.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use posthorn::node::v1::ErrorKind;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Barrier,
};
use tokio_rustls::server::TlsStream;

use super::{
    Node, hasty_lease, lease,
    tls::{Authority, tls_zoo, url},
    zoo::{Zoo, read_to_end},
};

/// A frame's head: length, type, flags, stream.
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).expect("a short frame");
    [&[0, 0, length, kind, flags, 0, 0, 0, stream][..], payload].concat()
}

fn settings() -> Vec<u8> {
    frame(4, 0, 0, &[])
}

fn goaway(last_stream: u8, code: u8) -> Vec<u8> {
    frame(7, 0, 0, &[0, 0, 0, last_stream, 0, 0, 0, code])
}

fn reset(stream: u8, code: u8) -> Vec<u8> {
    frame(3, 0, stream, &[0, 0, 0, code])
}

/// Reads until the request's header frame has come.
async fn read_headers(stream: &mut TlsStream<TcpStream>) {
    let mut preface = [0; 24];
    let _closed = stream.read_exact(&mut preface).await;
    loop {
        let mut head = [0; 9];
        if stream.read_exact(&mut head).await.is_err() {
            return;
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).expect("a length")];
        let _closed = stream.read_exact(&mut payload).await;
        if head[3] == 1 {
            return;
        }
    }
}

/// A server that writes `first` at once, then `again` after the request's head, as often as said.
async fn frames(authority: &Authority, first: Vec<u8>, again: Vec<u8>, times: usize) -> Zoo {
    let acceptor = authority.acceptor(&Authority::params(), &["h2"]);
    let script = Arc::new((first, again));
    tls_zoo(acceptor, move |mut stream, log| {
        let script = script.clone();
        async move {
            let mut written = stream.write_all(&script.0).await;
            read_headers(&mut stream).await;
            for _ in 0..times {
                if written.is_err() {
                    break;
                }
                written = stream.write_all(&script.1).await;
            }
            let _closed = stream.flush().await;
            read_to_end(&mut stream).await;
            log.close();
        }
    })
    .await
}

#[tokio::test]
async fn requests_at_one_time_share_a_connection() {
    let authority = Authority::new();
    let acceptor = authority.acceptor(&Authority::params(), &["h2", "http/1.1"]);
    // Answers the three at once only when all three are there.
    let together = Arc::new(Barrier::new(3));
    let first = Arc::new(tokio::sync::Mutex::new(true));
    let zoo = tls_zoo(acceptor, move |stream, _| {
        let (together, first) = (together.clone(), first.clone());
        async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let (together, first) = (together.clone(), first.clone());
                async move {
                    assert_eq!(request.headers()["content-length"], "7");
                    assert!(!request.headers().contains_key("host"));
                    assert_eq!(request.uri().path(), "/hook");
                    let alone = std::mem::take(&mut *first.lock().await);
                    if !alone {
                        together.wait().await;
                    }
                    Ok::<_, hyper::Error>(Response::new(Full::new(Bytes::from("hello"))))
                }
            });
            let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let _ended = builder
                .serve_connection(TokioIo::new(stream), service)
                .await;
        }
    })
    .await;
    let node = Node::trusting(authority.file.path());
    let url = url(&zoo);
    let answer = node.answer(lease(&url)).await;
    assert_eq!(
        (answer.status_code, &answer.excerpt[..]),
        (200, &b"hello"[..])
    );
    tokio::join!(
        node.answer(lease(&url)),
        node.answer(lease(&url)),
        node.answer(lease(&url))
    );
    assert_eq!(zoo.connections(), 1);
    assert_eq!(
        (
            node.metrics.connections_opened.get(),
            node.metrics.pool_hits.get()
        ),
        (1, 3)
    );
}

#[tokio::test]
async fn an_endpoint_that_goes_away_or_resets_is_an_error_of_http_2() {
    let authority = Authority::new();
    let node = Node::trusting(authority.file.path());
    for (what, first, again) in [
        (
            "goaway at once",
            [settings(), goaway(0, 0)].concat(),
            vec![],
        ),
        ("goaway with an error", settings(), goaway(0, 2)),
        ("reset", settings(), reset(1, 2)),
        ("refused", settings(), reset(1, 7)),
        ("garbage", b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![]),
        ("a frame of no stream", settings(), frame(0, 0, 9, b"data")),
    ] {
        let zoo = frames(&authority, first, again, 1).await;
        let error = node.error(lease(&url(&zoo))).await;
        assert_eq!(error, ErrorKind::Http2Error, "{what}");
    }
}

/// The head of an informational answer on stream 1, and that of a whole one: 103 and 200.
const INFORMATIONAL: &[u8] = &[0x08, 3, b'1', b'0', b'3'];
const OK: &[u8] = &[0x88];

/// A server that answers the first request with `answer`, writes `flood` without end, and reads all the while.
async fn flooding(authority: &Authority, answer: Vec<u8>, flood: Vec<u8>) -> Zoo {
    let acceptor = authority.acceptor(&Authority::params(), &["h2"]);
    let script = Arc::new((answer, flood.repeat(1_000)));
    tls_zoo(acceptor, move |mut stream, log| {
        let script = script.clone();
        async move {
            let _closed = stream.write_all(&settings()).await;
            read_headers(&mut stream).await;
            let _closed = stream.write_all(&script.0).await;
            let (mut reader, mut writer) = tokio::io::split(stream);
            let write = async { while writer.write_all(&script.1).await.is_ok() {} };
            let mut sink = tokio::io::sink();
            tokio::select! {
                () = write => {}
                _ = tokio::io::copy(&mut reader, &mut sink) => {}
            }
            log.close();
        }
    })
    .await
}

/// Frames that ask nothing, each of which costs the node an answer or some memory.
fn floods() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("ping", frame(6, 0, 0, &[0; 8])),
        ("settings", settings()),
        ("priority", frame(2, 0, 1, &[0, 0, 0, 3, 15])),
        ("window update", frame(8, 0, 0, &[0, 0, 0, 1])),
        ("unknown", frame(99, 0, 0, &[0; 8])),
    ]
}

#[tokio::test]
async fn s9_a_flood_before_the_answer_is_an_error_and_a_closed_connection() {
    let authority = Authority::new();
    let node = Node::trusting(authority.file.path());
    for (what, flood) in floods() {
        let zoo = flooding(&authority, vec![], flood).await;
        let error = node.error(lease(&url(&zoo))).await;
        assert_eq!(error, ErrorKind::Http2Error, "{what}");
        zoo.until_closed(1).await;
    }
}

#[tokio::test]
async fn s9_a_flood_on_a_kept_connection_closes_it_and_the_next_request_has_another() {
    let authority = Authority::new();
    let node = Node::trusting(authority.file.path());
    for (what, flood) in floods() {
        let zoo = flooding(&authority, frame(1, 5, 1, OK), flood).await;
        for connections in 1..=2 {
            let answer = node.answer(lease(&url(&zoo))).await;
            assert_eq!(answer.status_code, 200, "{what}");
            zoo.until_closed(connections).await;
            assert_eq!(zoo.connections(), connections, "{what}");
        }
    }
}

#[tokio::test]
async fn s9_informational_answers_are_counted_over_http_2_too() {
    let authority = Authority::new();
    let node = Node::trusting(authority.file.path());
    let informational = frame(1, 4, 1, INFORMATIONAL);
    let endless = flooding(&authority, vec![], informational.clone()).await;
    let error = node.error(lease(&url(&endless))).await;
    assert_eq!(error, ErrorKind::Http2Error);
    endless.until_closed(1).await;

    let few = [informational.repeat(8), frame(1, 5, 1, OK)].concat();
    let zoo = frames(&authority, settings(), few, 1).await;
    assert_eq!(node.answer(lease(&url(&zoo))).await.status_code, 200);
}

#[tokio::test]
async fn endless_continuations_are_an_error_and_a_closed_connection() {
    let authority = Authority::new();
    let node = Node::trusting(authority.file.path());
    let continuation = [frame(1, 0, 1, &[]), frame(9, 0, 1, &[]).repeat(100)].concat();
    let zoo = frames(&authority, settings(), continuation, 100_000).await;
    let error = node.error(hasty_lease(&url(&zoo))).await;
    let expected = [
        ErrorKind::Http2Error,
        ErrorKind::AnswerTimeout,
        ErrorKind::ConnectionReset,
    ];
    assert!(expected.contains(&error), "{error:?}");
    zoo.until_closed(1).await;
}

#[tokio::test]
async fn an_endpoint_that_never_answers_times_out_and_its_connection_is_not_used_again() {
    let authority = Authority::new();
    let zoo = frames(&authority, settings(), vec![], 0).await;
    let node = Node::trusting(authority.file.path());
    for connections in 1..=2 {
        assert_eq!(
            node.error(hasty_lease(&url(&zoo))).await,
            ErrorKind::AnswerTimeout
        );
        zoo.until_closed(connections).await;
    }
    assert_eq!(zoo.connections(), 2);
}
