//! `NodeService`: the streams of a node, handed to the engine and to whatever takes what providers post.

use posthorn::node::v1::{
    ForwardRequest, ForwardResponse, SessionRequest, SessionResponse,
    node_service_server::NodeService,
};
use tokio::sync::mpsc;
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::{Caller, decode_status};
use crate::{
    dispatch::{Dispatch, SessionParts, converse},
    inbound::{ForwardParts, Inbound, forward},
};

/// How many messages to a node may wait for its stream.
const TO_NODE_MAX: usize = 8;

/// The service.
#[derive(Debug, Clone)]
pub(crate) struct Nodes {
    dispatch: Dispatch,
    inbound: Inbound,
    shutdown: CancellationToken,
}

impl Nodes {
    /// Serves the streams of nodes until `shutdown`.
    pub(crate) fn new(dispatch: Dispatch, inbound: Inbound, shutdown: CancellationToken) -> Self {
        Self {
            dispatch,
            inbound,
            shutdown,
        }
    }
}

#[tonic::async_trait]
impl NodeService for Nodes {
    type ForwardStream = ReceiverStream<Result<ForwardResponse, Status>>;

    async fn forward(
        &self,
        request: Request<Streaming<ForwardRequest>>,
    ) -> Result<Response<Self::ForwardStream>, Status> {
        let caller = Caller::of(&request)?;
        let (to_node, stream) = mpsc::channel(TO_NODE_MAX);
        let from_node = request
            .into_inner()
            .map(|message| message.map_err(decode_status));
        let parts = ForwardParts {
            from_node: Box::pin(from_node),
            to_node: to_node.clone(),
            key_id: caller.key_id(),
        };
        let forwarding = forward(self.inbound.clone(), parts, self.shutdown.clone());
        tokio::spawn(async move {
            if let Err(status) = forwarding.await {
                // The node may be gone already.
                let _ = to_node.send(Err(status)).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    type SessionStream = ReceiverStream<Result<SessionResponse, Status>>;

    async fn session(
        &self,
        request: Request<Streaming<SessionRequest>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let caller = Caller::of(&request)?;
        let (to_node, stream) = mpsc::channel(TO_NODE_MAX);
        let from_node = request
            .into_inner()
            .map(|message| message.map_err(decode_status));
        let parts = SessionParts {
            from_node: Box::pin(from_node),
            to_node: to_node.clone(),
            key_id: caller.key_id(),
        };
        let session = converse(self.dispatch.clone(), parts, self.shutdown.clone());
        tokio::spawn(async move {
            if let Err(status) = session.await {
                // The node may be gone already.
                let _ = to_node.send(Err(status)).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}
