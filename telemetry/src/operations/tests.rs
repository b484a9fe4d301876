//! The listener as a client sees it: bytes over a real socket.

use prometheus_client::metrics::counter::Counter;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    task::JoinHandle,
};

use super::*;

struct Running {
    addr: SocketAddr,
    readiness: Readiness,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

async fn start() -> Running {
    let operations = Operations::bind(([127, 0, 0, 1], 0).into())
        .await
        .expect("a free port exists");
    let addr = operations.addr();
    let deliveries = Counter::<u64>::default();
    deliveries.inc_by(7);
    let mut metrics = Registry::default();
    metrics.register("deliveries", "Deliveries made", deliveries);
    let readiness = Readiness::new();
    let shutdown = CancellationToken::new();
    let task =
        tokio::spawn(operations.serve(Arc::new(metrics), readiness.clone(), shutdown.clone()));
    Running {
        addr,
        readiness,
        shutdown,
        task,
    }
}

impl Running {
    #[expect(
        clippy::disallowed_methods,
        reason = "the client's side of the listener under test"
    )]
    async fn open(&self) -> TcpStream {
        TcpStream::connect(self.addr).await.expect("it listens")
    }

    /// Sends the request line with a host, and returns all that comes back.
    async fn ask(&self, request_line: &str) -> String {
        let mut stream = self.open().await;
        let request = format!("{request_line} HTTP/1.1\r\nhost: x\r\n\r\n");
        stream
            .write_all(request.as_bytes())
            .await
            .expect("it reads");
        let mut answer = String::new();
        stream
            .read_to_string(&mut answer)
            .await
            .expect("it answers");
        answer
    }
}

fn assert_answer(answer: &str, status: u16, body: &str) {
    assert!(
        answer.starts_with(&format!("HTTP/1.1 {status} ")),
        "{answer}"
    );
    assert!(answer.ends_with(&format!("\r\n\r\n{body}")), "{answer}");
}

#[tokio::test]
async fn health_is_ok_whether_ready_or_not() {
    let running = start().await;
    assert_answer(&running.ask("GET /healthz").await, 200, "ok\n");
}

#[tokio::test]
async fn readiness_names_what_is_missing_line_by_line() {
    let running = start().await;
    assert_answer(&running.ask("GET /readyz").await, 503, "\n");
    running.readiness.set("store", false);
    running.readiness.set("session", false);
    assert_answer(&running.ask("GET /readyz").await, 503, "session\nstore\n");
    running.readiness.set("store", true);
    running.readiness.set("session", true);
    assert_answer(&running.ask("GET /readyz").await, 200, "ready\n");
}

#[tokio::test]
async fn metrics_are_open_metrics_text() {
    let running = start().await;
    let answer = running.ask("GET /metrics").await;
    assert!(
        answer.contains("content-type: application/openmetrics-text; version=1.0.0"),
        "{answer}"
    );
    assert!(answer.contains("deliveries_total 7\n"), "{answer}");
    assert!(answer.ends_with("# EOF\n"), "{answer}");
}

#[tokio::test]
async fn everything_else_is_refused() {
    let running = start().await;
    assert_answer(&running.ask("GET /").await, 404, "not found\n");
    assert_answer(&running.ask("GET /metrics/").await, 404, "not found\n");
    let answer = running.ask("POST /metrics").await;
    assert_answer(&answer, 405, "only GET\n");
    assert!(answer.contains("allow: GET\r\n"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_nothing_is_cut_off() {
    let running = start().await;
    let mut stream = running.open().await;
    let mut answer = Vec::new();
    // Either an end or a reset will do; what matters is that it comes.
    let _ = stream.read_to_end(&mut answer).await;
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 408 "));
}

#[tokio::test(start_paused = true)]
async fn clients_that_hold_every_place_are_cut_off_in_favour_of_those_who_ask() {
    let running = start().await;
    let mut idle = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        idle.push(running.open().await);
    }
    assert_answer(&running.ask("GET /healthz").await, 200, "ok\n");
}

#[tokio::test]
async fn a_cancelled_listener_ends_and_frees_its_port() {
    let running = start().await;
    running.ask("GET /healthz").await;
    running.shutdown.cancel();
    running.task.await.expect("it ends without a panic");
    TcpListener::bind(running.addr)
        .await
        .expect("the port is free again");
}
