//! Bare POST loop: a client that does nothing but send the payload to the receiver of the benchmark.
//!
//! It uses hyper's own connections, without a pool, and sends a head as long as a delivery's, so that the difference to
//! Posthorn is all that Posthorn does. The rate depends on what else runs on the machine; the CPU time less so.

use std::{
    net::SocketAddr,
    process,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::JoinSet};

use crate::{
    payload::Payloads,
    sink::Sink,
    usage::{float, rate},
};
use posthorn_harness::cpu_time;

const CONNECTIONS: usize = 64;

const DURATION: Duration = Duration::from_secs(3);

/// The headers that a delivery has besides `host` and `content-length`, with values of their usual lengths.
const HEAD: [(&str, &str); 7] = [
    ("content-type", "application/json"),
    ("user-agent", "Posthorn/0.1.0"),
    ("webhook-id", "evt_01k0000000000000000000000"),
    ("webhook-timestamp", "1700000000"),
    ("webhook-attempt", "1"),
    ("webhook-event-type", "bench.group0"),
    (
        "webhook-signature",
        "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    ),
];

/// What the bare loop reached.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Posts {
    /// Requests answered per second.
    pub(crate) per_second: f64,
    /// CPU time per request of client and receiver together, in microseconds.
    pub(crate) cpu_micros: f64,
}

/// Posts over 64 kept connections, each with one request under way.
pub(crate) async fn posts(payload_bytes: u32) -> Posts {
    let sink = Sink::start(|_| ()).await;
    let payload = Payloads::of_size(payload_bytes).numbered(0);
    let (cpu_before, start) = (cpu_time(process::id()), Instant::now());
    let mut loops = JoinSet::new();
    for _ in 0..CONNECTIONS {
        loops.spawn(post_until(
            start + DURATION,
            sink.receiver().addr(),
            payload.clone(),
        ));
    }
    let answered: u64 = loops.join_all().await.into_iter().sum();
    let took = start.elapsed();
    let cpu = cpu_time(process::id()).saturating_sub(cpu_before);
    Posts {
        per_second: rate(answered, took),
        cpu_micros: cpu.as_secs_f64() * 1e6 / float(answered),
    }
}

async fn post_until(end: Instant, addr: SocketAddr, payload: Bytes) -> u64 {
    let stream = TcpStream::connect(addr)
        .await
        .expect("the receiver accepts connections");
    stream.set_nodelay(true).expect("a stream takes the option");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .expect("the connection is fresh");
    let connection = tokio::spawn(connection);
    let mut answered = 0;
    while Instant::now() < end {
        let request = request(payload.clone());
        let response = sender
            .send_request(request)
            .await
            .expect("the receiver answers");
        response
            .into_body()
            .collect()
            .await
            .expect("the answer is whole");
        answered += 1;
    }
    connection.abort();
    answered
}

fn request(payload: Bytes) -> Request<Full<Bytes>> {
    let request = Request::post("/bare").header(header::HOST, "127.0.0.1");
    HEAD.iter()
        .fold(request, |request, (name, value)| {
            request.header(*name, *value)
        })
        .body(Full::new(payload))
        .expect("the request is well formed")
}
