//! A control plane made by hand, and an endpoint: what a node needs around it.

#![expect(clippy::panic, reason = "what fails here is a test")]

use std::{net::SocketAddr, time::Duration};

use posthorn::v1::{
    Hello, Lease, Leases, Outcome, Outcomes, OutcomesCommitted, SessionRequest, SessionResponse,
    Welcome,
    node_service_server::{NodeService, NodeServiceServer},
    session_request::Message as FromNode,
    session_response::Message as ToNode,
};
use posthorn_data_plane::{Config, DataPlane, Error};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
    task::JoinHandle,
    time::timeout,
};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming, transport::Server};

/// Long enough for everything that is meant to happen; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server of `NodeService` that hands every session to the test.
pub(crate) struct ControlPlane {
    pub(crate) address: SocketAddr,
    sessions: mpsc::Receiver<Session>,
    task: JoinHandle<()>,
}

/// A session as the control plane sees it. Dropping it ends it.
pub(crate) struct Session {
    pub(crate) authorization: String,
    inbound: Streaming<SessionRequest>,
    outbound: mpsc::Sender<Result<SessionResponse, Status>>,
}

struct Service(mpsc::Sender<Session>);

#[tonic::async_trait]
impl NodeService for Service {
    type SessionStream = ReceiverStream<Result<SessionResponse, Status>>;

    async fn session(
        &self,
        request: Request<Streaming<SessionRequest>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let authorization = request.metadata().get("authorization").expect("a key");
        let authorization = authorization.to_str().expect("a text").to_owned();
        let (outbound, receiver) = mpsc::channel(64);
        let session = Session {
            authorization,
            inbound: request.into_inner(),
            outbound,
        };
        let given = self.0.send(session).await;
        given.map_err(|_| Status::unavailable("the test is over"))?;
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

impl ControlPlane {
    /// Starts one.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("an address");
        let (sender, sessions) = mpsc::channel(8);
        let task = tokio::spawn(async move {
            let service = NodeServiceServer::new(Service(sender));
            let server = Server::builder().add_service(service);
            server
                .serve_with_incoming(TcpListenerStream::new(listener))
                .await
                .expect("a server");
        });
        Self {
            address,
            sessions,
            task,
        }
    }

    /// The next session that the node opens.
    pub(crate) async fn session(&mut self) -> Session {
        let session = timeout(PATIENCE, self.sessions.recv()).await;
        session.expect("a session in time").expect("a session")
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Session {
    /// The next message of the node.
    pub(crate) async fn receive(&mut self) -> FromNode {
        let message = timeout(PATIENCE, self.inbound.message())
            .await
            .expect("a message in time");
        message
            .expect("no error")
            .expect("a message")
            .message
            .expect("content")
    }

    /// The `Hello`, and the `Welcome` for it.
    pub(crate) async fn welcome(&mut self) -> Hello {
        let FromNode::Hello(hello) = self.receive().await else {
            panic!("something before hello");
        };
        let version = "test".to_owned();
        self.send(ToNode::Welcome(Welcome {
            protocol: 1,
            version,
        }))
        .await;
        hello
    }

    /// The next outcomes; credit is passed over.
    pub(crate) async fn outcomes(&mut self) -> Outcomes {
        loop {
            match self.receive().await {
                FromNode::Outcomes(outcomes) => return outcomes,
                FromNode::Credit(_) => {}
                other => panic!("{other:?} instead of outcomes"),
            }
        }
    }

    /// Sends a lease.
    pub(crate) async fn lease(&mut self, lease: Lease) {
        let leases = vec![lease];
        self.send(ToNode::Leases(Leases { leases })).await;
    }

    /// Says that all outcomes up to the sequence are committed.
    pub(crate) async fn commit(&mut self, through: u64) {
        self.send(ToNode::OutcomesCommitted(OutcomesCommitted { through }))
            .await;
    }

    /// Sends a message.
    pub(crate) async fn send(&mut self, message: ToNode) {
        let message = Some(message);
        let sent = self.outbound.send(Ok(SessionResponse { message })).await;
        sent.expect("an open session");
    }

    /// Waits until the node ends the stream.
    pub(crate) async fn until_ended(mut self) {
        let message = timeout(PATIENCE, self.inbound.message())
            .await
            .expect("an end in time");
        assert!(matches!(message, Ok(None) | Err(_)), "{message:?}");
    }
}

/// A node under test.
pub(crate) struct Node {
    pub(crate) metrics: SocketAddr,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), Error>>,
}

impl Node {
    /// Starts one with room for so many leases.
    pub(crate) async fn start(control_plane: SocketAddr, capacity: u32) -> Self {
        let config = Config {
            control_plane: format!("http://{control_plane}"),
            node_key: Some("phk_test_key".to_owned().into()),
            capacity,
            allow_target: vec!["127.0.0.0/8".parse().expect("a list")],
            metrics_listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            name: Some("node under test".to_owned()),
            ..Config::default()
        };
        let node = DataPlane::bind(config).await.expect("a node");
        let shutdown = CancellationToken::new();
        Self {
            metrics: node.metrics_addr(),
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
async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.expect("a connection")
}

/// An endpoint that answers 200 to each request once the test lets it.
pub(crate) struct Endpoint {
    address: SocketAddr,
    requests: mpsc::UnboundedReceiver<String>,
    answers: std::sync::Arc<Semaphore>,
    task: JoinHandle<()>,
}

impl Endpoint {
    /// Starts one that may answer so many requests.
    pub(crate) async fn start(answers: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("an address");
        let answers = std::sync::Arc::new(Semaphore::new(answers));
        let (log, requests) = mpsc::unbounded_channel();
        let permits = answers.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, log.clone(), permits.clone()));
            }
        });
        Self {
            address,
            requests,
            answers,
            task,
        }
    }

    /// Lets it answer so many more.
    pub(crate) fn allow(&self, answers: usize) {
        self.answers.add_permits(answers);
    }

    /// The next request that it has read.
    pub(crate) async fn request(&mut self) -> String {
        let request = timeout(PATIENCE, self.requests.recv()).await;
        request.expect("a request in time").expect("a request")
    }

    /// Whether there was another request.
    pub(crate) fn has_request(&mut self) -> bool {
        self.requests.try_recv().is_ok()
    }

    /// A lease of a request to it.
    pub(crate) fn lease(&self, lease_id: u64) -> Lease {
        Lease {
            lease_id,
            delivery_id: format!("dlv_{lease_id}"),
            endpoint_id: "ep_1".to_owned(),
            endpoint_version: 1,
            attempt: 3,
            url: format!("http://{}/{lease_id}", self.address),
            headers: Vec::new(),
            body: format!("body {lease_id}").into(),
            connect_timeout_ms: 10_000,
            timeout_ms: 20_000,
            hold_ms: 30_000,
        }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Reads requests whose bodies end in the lease's number, and answers as permitted.
async fn answer(
    mut stream: TcpStream,
    log: mpsc::UnboundedSender<String>,
    permits: std::sync::Arc<Semaphore>,
) {
    let mut bytes = Vec::new();
    while stream
        .read_buf(&mut bytes)
        .await
        .is_ok_and(|count| count > 0)
    {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if !text.contains("\r\n\r\nbody ") {
            continue;
        }
        bytes.clear();
        let _over = log.send(text);
        permits.acquire().await.expect("a permit").forget();
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        if stream.write_all(answer).await.is_err() {
            return;
        }
    }
}

/// The only outcome of a message.
pub(crate) fn only(outcomes: Outcomes) -> Outcome {
    let [outcome]: [Outcome; 1] = outcomes.outcomes.try_into().expect("one outcome");
    outcome
}
