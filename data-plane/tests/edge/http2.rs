//! HTTP/2: what the edge demands of requests, and what it does about floods. BH35 to BH38.

mod last_request;

use bytes::Bytes;
use http::Request;
use posthorn_data_plane::EdgeConfig;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::client::TlsStream;

use super::{OTHER_SOURCE, SOON, SOURCE, World, tls::Certificate};
use crate::support::{Answered, PATIENCE};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A connection whose frames the test writes itself.
struct Frames(TlsStream<TcpStream>);

#[derive(Debug)]
struct Frame {
    kind: u8,
    stream: u32,
    payload: Vec<u8>,
}

/// What became of a request or of the connection.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    /// Answered; the first byte of the head names the common statuses.
    Answered(u8),
    /// The stream or the connection was ended with this code; the connection without one.
    Ended(Option<u32>),
}

/// The byte that stands for `:status: 400`.
const STATUS_400: u8 = 0x8c;
const PROTOCOL_ERROR: u32 = 1;
const ENHANCE_YOUR_CALM: u32 = 11;

impl Frames {
    async fn open(world: &World, certificate: &Certificate) -> Self {
        let stream = certificate
            .connect(world.node.edge, &["h2"])
            .await
            .expect("TLS");
        let mut frames = Self(stream);
        frames.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        frames.write(&frame(SETTINGS, 0, 0, &[])).await;
        frames
    }

    /// Writes, unless the edge has closed.
    async fn write(&mut self, bytes: &[u8]) {
        let _closed = self.0.write_all(bytes).await;
        let _closed = self.0.flush().await;
    }

    async fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        let read = timeout(PATIENCE, self.0.read_exact(&mut head)).await;
        read.expect("something in time").ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        self.0.read_exact(&mut payload).await.ok()?;
        Some(Frame {
            kind: head[3],
            stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
            payload,
        })
    }

    /// What becomes of the first request.
    async fn fate(&mut self) -> Fate {
        let code = |payload: &[u8], at: usize| {
            let bytes = payload.get(at..at + 4).expect("a code");
            Fate::Ended(Some(u32::from_be_bytes(
                bytes.try_into().expect("four bytes"),
            )))
        };
        loop {
            match self.next().await {
                None => return Fate::Ended(None),
                Some(Frame {
                    kind: HEADERS,
                    stream: 1,
                    payload,
                }) => return Fate::Answered(payload[0]),
                Some(Frame {
                    kind: RST_STREAM,
                    payload,
                    ..
                }) => return code(&payload, 0),
                Some(Frame {
                    kind: GOAWAY,
                    payload,
                    ..
                }) => return code(&payload, 4),
                Some(_) => {}
            }
        }
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len())
        .expect("a short frame")
        .to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// Header fields, each written out.
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).expect("a short text"));
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// The fields of a good request, and more.
fn fields<'a>(path: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut fields = vec![
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", "e"),
        (":path", path),
    ];
    fields.extend_from_slice(more);
    fields
}

fn path() -> String {
    format!("/in/{SOURCE}")
}

async fn world() -> (World, Answered, Certificate) {
    let certificate = Certificate::new();
    let (world, requests) = World::answering(certificate.config()).await;
    (world, requests, certificate)
}

#[tokio::test]
async fn a_request_is_forwarded_like_one_of_http_1() {
    let (world, mut requests, certificate) = world().await;
    let stream = certificate
        .connect(world.node.edge, &["h2"])
        .await
        .expect("TLS");
    let (mut sender, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
    let connection = tokio::spawn(connection);
    for (path, status) in [
        (format!("/in/{SOURCE}?a=b"), 200),
        (format!("/in/{OTHER_SOURCE}//"), 404),
    ] {
        let request = Request::post(format!("https://e{path}"))
            .header("x-a", "1")
            .header("x-a", "2");
        let request = request.body(()).expect("a request");
        sender = sender.ready().await.expect("a place");
        let (response, mut body) = sender.send_request(request, false).expect("it is sent");
        let _refused_before = body.send_data(Bytes::from_static(b"body"), true);
        let response = response.await.expect("an answer");
        assert_eq!(response.status(), status);
        assert!(response.headers().get("server").is_none());
    }
    let request = requests.request().await;
    assert_eq!(
        (request.path_query, request.body),
        (format!("/in/{SOURCE}?a=b"), "body".into())
    );
    let headers = request
        .headers
        .iter()
        .map(|field| (field.name.as_str(), field.value.as_ref()));
    let headers: Vec<_> = headers.collect();
    assert_eq!(headers, [("host", &b"e"[..]), ("x-a", b"1"), ("x-a", b"2")]);
    assert!(!requests.has_request());
    connection.abort();
}

#[tokio::test]
async fn bh35_streams_that_are_opened_and_reset_end_the_connection() {
    let (world, mut requests, certificate) = world().await;
    let mut frames = Frames::open(&world, &certificate).await;
    let head = block(&fields(&path(), &[]));
    let flood: Vec<u8> = (0..10_000_u32)
        .flat_map(|number| {
            let stream = 2 * number + 1;
            let mut both = frame(HEADERS, END_HEADERS, stream, &head);
            both.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
            both
        })
        .collect();
    frames.write(&flood).await;
    let fate = frames.fate().await;
    assert!(
        [Fate::Ended(Some(ENHANCE_YOUR_CALM)), Fate::Ended(None)].contains(&fate),
        "{fate:?}"
    );
    world.until_metric("posthorn_edge_requests", 0).await;
    assert!(!requests.has_request());
}

#[tokio::test]
async fn bh36_floods_of_frames_that_carry_nothing_end_the_connection_or_change_nothing() {
    let (world, mut requests, certificate) = world().await;
    let head = block(&fields(&path(), &[]));
    let mut continuations = frame(HEADERS, END_STREAM, 1, &head);
    for _ in 0..10_000 {
        continuations.extend(frame(CONTINUATION, 0, 1, &block(&[("x-a", "b")])));
    }
    let window = [
        frame(HEADERS, END_HEADERS, 1, &head),
        frame(WINDOW_UPDATE, 0, 1, &[0; 4]),
    ]
    .concat();
    for flood in [continuations, window] {
        let mut frames = Frames::open(&world, &certificate).await;
        frames.write(&flood).await;
        let fate = frames.fate().await;
        assert!(matches!(fate, Fate::Ended(_)), "{fate:?}");
    }
    for flood in [
        frame(PING, 0, 0, &[0; 8]).repeat(1_000),
        frame(SETTINGS, 0, 0, &[]).repeat(1_000),
        frame(DATA, 0, 1, &[]).repeat(1_000),
    ] {
        let mut frames = Frames::open(&world, &certificate).await;
        frames.write(&frame(HEADERS, END_HEADERS, 1, &head)).await;
        frames.write(&flood).await;
        frames.write(&frame(DATA, END_STREAM, 1, b"body")).await;
        if matches!(frames.fate().await, Fate::Answered(_)) {
            assert_eq!(requests.request().await.body, "body");
        }
    }
    assert!(!requests.has_request());
}

#[tokio::test]
async fn bh36_a_connection_that_sends_much_and_asks_nothing_is_told_to_go() {
    let (world, mut requests, certificate) = world().await;
    for flood in [frame(PING, 0, 0, &[0; 8]), frame(SETTINGS, 0, 0, &[])] {
        let mut frames = Frames::open(&world, &certificate).await;
        let mut sent = 0;
        'flood: loop {
            assert!(sent < 4 * 1024 * 1024, "nobody minds");
            frames.write(&flood.repeat(1_000)).await;
            sent += 1_000 * flood.len();
            for _ in 0..1_000 {
                let next = frames.next().await.expect("a farewell before the end");
                if next.kind == GOAWAY {
                    break 'flood;
                }
            }
        }
        assert!(sent > 1024 * 1024, "{sent} are borne");
    }
    assert!(!requests.has_request());
}

#[tokio::test]
async fn bh36_a_head_that_is_too_long_is_refused() {
    let (world, mut requests, certificate) = world().await;
    let stream = certificate
        .connect(world.node.edge, &["h2"])
        .await
        .expect("TLS");
    let (sender, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
    let connection = tokio::spawn(connection);
    let mut sender = sender.ready().await.expect("a place");
    let request =
        Request::post(format!("https://e{}", path())).header("x-long", "a".repeat(17 * 1024));
    let (response, _) = sender
        .send_request(request.body(()).expect("a request"), true)
        .expect("it is sent");
    assert_eq!(response.await.expect("an answer").status(), 431);
    assert!(!requests.has_request());
    connection.abort();
}

#[tokio::test]
async fn bh37_heads_that_are_none_are_refused() {
    let (world, mut requests, certificate) = world().await;
    let path = path();
    let no_method = [(":scheme", "https"), (":authority", "e"), (":path", &path)];
    for head in [
        fields(&path, &[("X-Upper", "a")]),
        fields(&path, &[(":path", &path)]),
        fields(&path, &[("te", "gzip")]),
        fields(&path, &[("connection", "close")]),
        fields(&path, &[("host", "f")]),
        no_method.to_vec(),
    ] {
        let mut frames = Frames::open(&world, &certificate).await;
        frames
            .write(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&head)))
            .await;
        let fate = frames.fate().await;
        let refused = [
            Fate::Ended(Some(PROTOCOL_ERROR)),
            Fate::Answered(STATUS_400),
        ];
        assert!(refused.contains(&fate), "{fate:?} {head:?}");
    }
    assert!(!requests.has_request());
}

#[tokio::test]
async fn bh38_a_body_of_another_length_than_announced_is_refused() {
    let (world, mut requests, certificate) = world().await;
    let path = path();
    for body in ["bod", "body and more"] {
        let head = block(&fields(&path, &[("content-length", "4")]));
        let mut frames = Frames::open(&world, &certificate).await;
        frames.write(&frame(HEADERS, END_HEADERS, 1, &head)).await;
        frames
            .write(&frame(DATA, END_STREAM, 1, body.as_bytes()))
            .await;
        assert_eq!(
            frames.fate().await,
            Fate::Ended(Some(PROTOCOL_ERROR)),
            "{body}"
        );
    }
    assert!(!requests.has_request());
}

#[tokio::test]
async fn connections_that_are_silent_idle_or_have_had_their_requests_take_no_more() {
    let certificate = Certificate::new();
    let quick = |config: EdgeConfig| async {
        let (world, _requests) = World::answering(config).await;
        let mut frames = Frames::open(&world, &certificate).await;
        let head = block(&fields(&path(), &[]));
        frames
            .write(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &head))
            .await;
        // The farewell may come before the answer, but the answer comes.
        let (mut answered, mut ended) = (false, false);
        while !(answered && ended) {
            match frames.fate().await {
                Fate::Answered(_) => answered = true,
                Fate::Ended(Some(0)) => ended = true,
                fate @ Fate::Ended(_) => panic!("{fate:?}"),
            }
        }
    };
    quick(EdgeConfig {
        idle_timeout: SOON,
        ..certificate.config()
    })
    .await;
    quick(EdgeConfig {
        connection_age: SOON,
        ..certificate.config()
    })
    .await;
    quick(EdgeConfig {
        requests_per_connection: 1,
        ..certificate.config()
    })
    .await;
    let config = EdgeConfig {
        head_timeout: SOON,
        ..certificate.config()
    };
    let (world, _requests) = World::answering(config).await;
    let mut frames = Frames::open(&world, &certificate).await;
    assert!(matches!(frames.fate().await, Fate::Ended(Some(0) | None)));
}
