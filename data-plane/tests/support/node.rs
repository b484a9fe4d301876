//! A node under test, in the test's own process.

use std::net::SocketAddr;

use posthorn_data_plane::{Config, DataPlane, EdgeConfig, Error};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::PATIENCE;

/// A node under test.
pub(crate) struct Node {
    pub(crate) metrics: SocketAddr,
    pub(crate) edge: SocketAddr,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), Error>>,
}

impl Node {
    /// Starts one with room for so many leases.
    pub(crate) async fn start(control_plane: SocketAddr, capacity: u32) -> Self {
        Self::start_with_edge(control_plane, capacity, EdgeConfig::default()).await
    }

    /// The same with settings of the edge; the port is any.
    pub(crate) async fn start_with_edge(
        control_plane: SocketAddr,
        capacity: u32,
        mut edge: EdgeConfig,
    ) -> Self {
        edge.listen.set_port(0);
        let config = Config {
            control_plane: format!("http://{control_plane}"),
            node_key: Some("phk_test_key".to_owned().into()),
            capacity,
            allow_target: vec!["127.0.0.0/8".parse().expect("a list")],
            metrics_listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            name: Some("node under test".to_owned()),
            edge,
            ..Config::default()
        };
        let node = DataPlane::bind(config).await.expect("a node");
        let shutdown = CancellationToken::new();
        Self {
            metrics: node.metrics_addr(),
            edge: node.edge_addr(),
            task: tokio::spawn(node.serve(shutdown.clone())),
            shutdown,
        }
    }

    /// Asks it to drain.
    pub(crate) fn shut_down(&self) {
        self.shutdown.cancel();
    }

    /// Waits until it has stopped.
    pub(crate) async fn until_stopped(self) {
        let stopped = timeout(PATIENCE, self.task).await.expect("an end in time");
        stopped.expect("no panic").expect("no error");
    }

    /// What it answers at a path of its operations listener.
    pub(crate) async fn get(&self, path: &str) -> String {
        let mut stream = connect(self.metrics).await;
        let request = format!("GET {path} HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n");
        stream
            .write_all(request.as_bytes())
            .await
            .expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        answer
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test asks the node on loopback"
)]
pub(crate) async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.expect("a connection")
}
