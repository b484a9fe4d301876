//! A control plane made by hand: it hands every session to the test.

use std::net::SocketAddr;

use posthorn::node::v1::{
    ForwardRequest, ForwardResponse, Hello, Lease, Leases, Outcomes, OutcomesCommitted,
    SessionRequest, SessionResponse, Welcome,
    node_service_server::{NodeService, NodeServiceServer},
    session_request::Message as FromNode,
    session_response::Message as ToNode,
};
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle, time::timeout};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming, transport::Server};

use super::{PATIENCE, forward::Forwarded};

/// A server of `NodeService` that hands every session to the test.
pub(crate) struct ControlPlane {
    pub(crate) address: SocketAddr,
    sessions: mpsc::Receiver<Session>,
    streams: mpsc::Receiver<Forwarded>,
    task: JoinHandle<()>,
}

/// A session as the control plane sees it. Dropping it ends it.
pub(crate) struct Session {
    pub(crate) authorization: String,
    inbound: Streaming<SessionRequest>,
    outbound: mpsc::Sender<Result<SessionResponse, Status>>,
}

struct Service {
    sessions: mpsc::Sender<Session>,
    streams: mpsc::Sender<Forwarded>,
}

#[tonic::async_trait]
impl NodeService for Service {
    type SessionStream = ReceiverStream<Result<SessionResponse, Status>>;
    type ForwardStream = ReceiverStream<Result<ForwardResponse, Status>>;

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
        let given = self.sessions.send(session).await;
        given.map_err(|_| Status::unavailable("the test is over"))?;
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn forward(
        &self,
        request: Request<Streaming<ForwardRequest>>,
    ) -> Result<Response<Self::ForwardStream>, Status> {
        let (forwarded, receiver) = Forwarded::open(request.into_inner()).await;
        let given = self.streams.send(forwarded).await;
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
        let (to_streams, streams) = mpsc::channel(8);
        let task = tokio::spawn(async move {
            let service = NodeServiceServer::new(Service {
                sessions: sender,
                streams: to_streams,
            });
            let server = Server::builder().add_service(service);
            server
                .serve_with_incoming(TcpListenerStream::new(listener))
                .await
                .expect("a server");
        });
        Self {
            address,
            sessions,
            streams,
            task,
        }
    }

    /// Stops listening. What is open is closed.
    pub(crate) async fn stop(mut self) {
        self.task.abort();
        let _aborted = (&mut self.task).await;
    }

    /// The next session that the node opens.
    pub(crate) async fn session(&mut self) -> Session {
        let session = timeout(PATIENCE, self.sessions.recv()).await;
        session.expect("a session in time").expect("a session")
    }

    /// The next stream of inbound requests that the node opens.
    pub(crate) async fn forwarded(&mut self) -> Forwarded {
        let stream = timeout(PATIENCE, self.streams.recv()).await;
        stream.expect("a stream in time").expect("a stream")
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
            protocol: 2,
            version,
            listeners: Vec::new(),
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
