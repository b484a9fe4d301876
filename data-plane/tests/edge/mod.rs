//! The edge, over real sockets, before a control plane made by hand that answers 200 to everything it gets.
//!
//! Rows are of the kind "these bytes, that answer", and what is refused is never forwarded. Times are set so short that
//! waiting for them is no matter, or so long that they cannot come.

mod admission;
mod answers;
mod bodies;
mod connections;
mod framing;
mod heads;
mod http2;
mod slow;
mod tls;

use std::time::Duration;

use posthorn::node::v1::{EdgeSettings, EdgeSource};
use posthorn_data_plane::EdgeConfig;

use crate::support::{Answer, Answered, Client, ControlPlane, Forwarded, Node};

/// A source. The control plane of these tests knows none by name.
const SOURCE: &str = "src_01hzy3v7gq8ye9p0abcdefghjk";
const OTHER_SOURCE: &str = "src_7zzzzzzzzzzzzzzzzzzzzzzzzz";
/// A time that does not come while a test runs.
const NEVER: Duration = Duration::from_mins(10);
/// A time that comes at once.
const SOON: Duration = Duration::from_millis(100);

/// A node whose stream stands, and the control plane that it was opened to.
struct World {
    control: ControlPlane,
    node: Node,
}

impl World {
    /// Starts both. The test answers.
    async fn start(config: EdgeConfig) -> (Self, Forwarded) {
        let mut control = ControlPlane::start().await;
        let node = Node::start_with_edge(control.address, 8, config).await;
        let stream = control.forwarded().await;
        let world = Self { control, node };
        world.until_stream(true).await;
        (world, stream)
    }

    /// Starts both. Everything is answered 200.
    async fn answering(config: EdgeConfig) -> (Self, Answered) {
        let (world, stream) = Self::start(config).await;
        (world, stream.answer_all())
    }

    /// Waits until the node knows whether its stream stands.
    async fn until_stream(&self, stands: bool) {
        while self
            .node
            .get("/readyz")
            .await
            .contains("stream for inbound")
            == stands
        {}
    }

    /// A new connection to the edge.
    async fn client(&self) -> Client {
        Client::connect(self.node.edge).await
    }

    /// The answer to the only request of a connection.
    async fn ask(&self, bytes: impl AsRef<[u8]>) -> Answer {
        let mut client = self.client().await;
        client.send(bytes).await;
        client.answer().await
    }

    /// Waits until the edge goes on to read a body of so many bytes, or refuses to: then it knows its settings.
    async fn until_takes(&self, bytes: usize, takes: bool) {
        let lines = format!("expect: 100-continue\r\nhost: e\r\ncontent-length: {bytes}\r\n");
        while (self.ask(head(&lines)).await.status == 100) != takes {}
    }

    /// The value of a metric, by the start of its line.
    async fn metric(&self, name: &str) -> u64 {
        let page = self.node.get("/metrics").await;
        let lines = page.lines().filter_map(|line| line.split_once(' '));
        let mut values = lines.filter(|(metric, _)| *metric == name);
        let (_, value) = values
            .next()
            .unwrap_or_else(|| panic!("no {name} in {page}"));
        value.parse().expect("a number")
    }

    /// Waits until a metric has a value.
    async fn until_metric(&self, name: &str, value: u64) {
        while self.metric(name).await != value {}
    }
}

/// Says how the source is treated.
async fn say(stream: &Forwarded, body_bytes_max: u32, answer_within_ms: u32) {
    let source = EdgeSource {
        source_id: SOURCE.to_owned(),
        body_bytes_max,
        answer_within_ms,
    };
    let sources = vec![source];
    stream
        .settings(EdgeSettings {
            sources,
            ..EdgeSettings::default()
        })
        .await;
}

/// Settings under which nothing is slow.
fn patient() -> EdgeConfig {
    EdgeConfig {
        head_timeout: NEVER,
        body_timeout: NEVER,
        body_bytes_per_second: 0,
        idle_timeout: NEVER,
        ..EdgeConfig::default()
    }
}

/// A request with a body.
fn post(body: &str) -> String {
    with("POST", "", body)
}

/// A request with further header lines, each with its end.
fn with(method: &str, lines: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{method} /in/{SOURCE} HTTP/1.1\r\nhost: edge\r\ncontent-length: {length}\r\n{lines}\r\n{body}"
    )
}

/// A head whose lines after the first are given, each with its end.
fn head(lines: &str) -> String {
    format!("POST /in/{SOURCE} HTTP/1.1\r\n{lines}\r\n")
}

/// What is expected of the connection after an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Closes,
    Stays,
}

/// Sends each on a connection of its own, and checks that it is answered so and not forwarded.
async fn refuses(then: Then, status: u16, rows: &[&[u8]]) {
    let (world, mut requests) = World::answering(patient()).await;
    for row in rows {
        let text = String::from_utf8_lossy(&row[..row.len().min(200)]);
        let mut client = world.client().await;
        client.send(row).await;
        let answer = client.answer().await;
        assert_eq!(answer.status, status, "{text}");
        assert!(
            !answer.body.is_empty() && answer.header("server").is_none(),
            "{text}"
        );
        assert_eq!(answer.closes(), then == Then::Closes, "{text}");
        if then == Then::Closes {
            client.closed().await;
        } else {
            client.send(post("next")).await;
            assert_eq!(client.answer().await.status, 200, "{text}");
            assert_eq!(requests.request().await.body, "next", "{text}");
        }
        assert!(!requests.has_request(), "{text}");
    }
}
