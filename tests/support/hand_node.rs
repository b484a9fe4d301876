//! A node that the test moves by hand: it does nothing that it is not told, and sends no request to anyone.

use bytes::Bytes;
use posthorn::node::v1::{
    Credit, Drain, Hello, HttpAnswer, Lease, LeaseReference, NotStarted, NotStartedReason, Outcome,
    Outcomes, SessionRequest, SessionResponse, outcome, session_request::Message as FromNode,
    session_response::Message as ToNode,
};
use posthorn::v1::ErrorKind;
use posthorn_harness::Client;
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::DEADLINE;

/// A node's session.
pub(crate) struct HandNode {
    requests: mpsc::Sender<SessionRequest>,
    responses: Streaming<SessionResponse>,
    sequence: u64,
}

/// A good hello: node number `number` with room for `capacity` leases.
pub(crate) fn hello(number: u32, capacity: u32) -> Hello {
    Hello {
        protocol: 2,
        node_id: format!("node_01h455vb4pex5vsknk084sn{number:03}"),
        name: format!("by hand {number}"),
        version: "0.1.0".to_owned(),
        capacity,
        in_flight: Vec::new(),
        unacknowledged: Vec::new(),
        oldest_protocol: 0,
        listeners: Vec::new(),
    }
}

/// What a node says about a lease that it holds.
pub(crate) fn reference(lease: &Lease) -> LeaseReference {
    LeaseReference {
        lease_id: lease.lease_id,
        delivery_id: lease.delivery_id.clone(),
        attempt: lease.attempt,
        proof: lease.proof.clone(),
    }
}

/// The endpoint answered with this status.
pub(crate) fn answered(lease: &Lease, status_code: u32) -> Outcome {
    let answer = HttpAnswer {
        status_code,
        retry_after: String::new(),
        excerpt: Bytes::from_static(b"by hand"),
    };
    outcome(lease, outcome::Result::Answer(answer))
}

/// There was no answer.
pub(crate) fn failed(lease: &Lease, error: ErrorKind) -> Outcome {
    outcome(lease, outcome::Result::Error(error.into()))
}

/// The lease is given back.
pub(crate) fn not_started(lease: &Lease, reason: NotStartedReason) -> Outcome {
    let not_started = NotStarted {
        reason: reason.into(),
    };
    outcome(lease, outcome::Result::NotStarted(not_started))
}

fn outcome(lease: &Lease, result: outcome::Result) -> Outcome {
    Outcome {
        lease_id: lease.lease_id,
        delivery_id: lease.delivery_id.clone(),
        attempt: lease.attempt,
        result: Some(result),
        duration_ms: 5,
        age_ms: 6,
        proof: lease.proof.clone(),
        trace: None,
    }
}

impl HandNode {
    /// Opens a stream and sends nothing yet.
    pub(crate) async fn silent(client: &Client) -> Result<Self, Status> {
        let (requests, stream) = mpsc::channel(64);
        let responses = client
            .node()
            .session(ReceiverStream::new(stream))
            .await?
            .into_inner();
        Ok(Self {
            requests,
            responses,
            sequence: 0,
        })
    }

    /// Opens a session and waits for the welcome.
    pub(crate) async fn join(client: &Client, hello: Hello) -> Result<Self, Status> {
        let mut node = Self::silent(client).await?;
        node.sequence = hello
            .unacknowledged
            .iter()
            .map(|outcomes| outcomes.sequence)
            .max()
            .unwrap_or(0);
        node.send(FromNode::Hello(hello)).await;
        match node.next().await? {
            ToNode::Welcome(welcome) => assert_eq!(welcome.protocol, 2),
            other => panic!("not a welcome: {other:?}"),
        }
        Ok(node)
    }

    /// Joins as node `number` with this capacity, and with credit for all of it.
    pub(crate) async fn ready(client: &Client, number: u32, capacity: u32) -> Self {
        let mut node = Self::join(client, hello(number, capacity))
            .await
            .expect("a good hello is welcome");
        node.credit(capacity).await;
        node
    }

    /// Sends any message. One that the control plane no longer reads is dropped.
    pub(crate) async fn send(&mut self, message: FromNode) {
        let request = SessionRequest {
            message: Some(message),
        };
        let _ = self.requests.send(request).await;
    }

    /// Sends what only newer nodes have: a control plane of this version reads it as a message without content.
    pub(crate) async fn send_unknown(&mut self) {
        let _ = self.requests.send(SessionRequest { message: None }).await;
    }

    /// Grants credit for so many leases of any size.
    pub(crate) async fn credit(&mut self, deliveries: u32) {
        let bytes = 64 * 1024 * 1024;
        self.send(FromNode::Credit(Credit { deliveries, bytes }))
            .await;
    }

    /// Says that the node shuts down.
    pub(crate) async fn drain(&mut self) {
        self.send(FromNode::Drain(Drain {})).await;
    }

    /// Reports outcomes under the next sequence, which is returned.
    pub(crate) async fn report(&mut self, outcomes: Vec<Outcome>) -> u64 {
        self.sequence += 1;
        let sequence = self.sequence;
        self.send(FromNode::Outcomes(Outcomes { sequence, outcomes }))
            .await;
        sequence
    }

    /// Reports outcomes, and waits until they are committed or refused for good.
    pub(crate) async fn settle(&mut self, outcomes: Vec<Outcome>) {
        let sequence = self.report(outcomes).await;
        self.committed(sequence).await;
    }

    /// Waits until everything up to `sequence` is committed. Panics when leases come meanwhile.
    pub(crate) async fn committed(&mut self, sequence: u64) {
        loop {
            match self.next().await.expect("the session stands") {
                ToNode::OutcomesCommitted(committed) if committed.through >= sequence => return,
                ToNode::OutcomesCommitted(_) => {}
                other => panic!("not a commit: {other:?}"),
            }
        }
    }

    /// The next message, or how the stream ended.
    pub(crate) async fn next(&mut self) -> Result<ToNode, Status> {
        let next = timeout(DEADLINE, self.responses.message())
            .await
            .expect("something comes");
        match next? {
            Some(response) => Ok(response.message.expect("a message is set")),
            None => Err(Status::ok("the stream ended")),
        }
    }

    /// Waits for so many leases. Panics when more come, or anything else.
    pub(crate) async fn leases(&mut self, count: usize) -> Vec<Lease> {
        let mut leases = Vec::new();
        while leases.len() < count {
            match self.next().await.expect("the session stands") {
                ToNode::Leases(batch) => leases.extend(batch.leases),
                other => panic!("not a lease: {other:?}"),
            }
        }
        assert_eq!(leases.len(), count, "{leases:?}");
        leases
    }

    /// Waits for one lease.
    pub(crate) async fn lease(&mut self) -> Lease {
        self.leases(1).await.remove(0)
    }

    /// Waits for the end of the stream.
    pub(crate) async fn end(mut self) -> Status {
        loop {
            if let Err(status) = self.next().await {
                return status;
            }
        }
    }
}
