//! A consumer that the test moves by hand: it does nothing with what it is handed but what it is told.

use std::collections::{HashSet, VecDeque};

use posthorn::v1::{
    Ack, Acks, ConsumeCredit, ConsumeHello, ConsumeRequest, ConsumeResponse, Extension, Extensions,
    Handler, Handout, Nack, Nacks, consume_request::Message as FromConsumer,
    consume_response::Message as ToConsumer,
};
use posthorn_harness::Client;
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::{DEADLINE, time::millis};

/// What takes any handout, in bytes.
const MESSAGE_BYTES_MAX: usize = 26 * 1_024 * 1_024;

/// A consumer's stream. Dropped, it ends.
pub(crate) struct HandConsumer {
    requests: mpsc::Sender<ConsumeRequest>,
    responses: Streaming<ConsumeResponse>,
    /// What attempts of this stream are logged under.
    pub(crate) consumer_id: String,
    handouts: VecDeque<Handout>,
    settled: HashSet<u64>,
    lost: HashSet<u64>,
}

/// A handler that takes these events.
pub(crate) fn handler(name: &str, subscriptions: &[&str]) -> Handler {
    Handler {
        name: name.to_owned(),
        subscriptions: subscriptions.iter().map(|&text| text.to_owned()).collect(),
        ..Handler::default()
    }
}

/// The hello of a group with these handlers, for the client's tenant.
pub(crate) fn hello(client: &Client, group: &str, handlers: Vec<Handler>) -> ConsumeHello {
    ConsumeHello {
        tenant_id: client.tenant_id.clone(),
        group: group.to_owned(),
        handlers,
    }
}

impl HandConsumer {
    /// Opens a stream and sends nothing yet.
    pub(crate) async fn silent(client: &Client) -> Result<Self, Status> {
        let (requests, stream) = mpsc::channel(64);
        let responses = client
            .inbound()
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .consume(ReceiverStream::new(stream))
            .await?;
        Ok(Self {
            requests,
            responses: responses.into_inner(),
            consumer_id: String::new(),
            handouts: VecDeque::new(),
            settled: HashSet::new(),
            lost: HashSet::new(),
        })
    }

    /// Opens a stream, says hello and waits for the welcome.
    pub(crate) async fn join(client: &Client, hello: ConsumeHello) -> Result<Self, Status> {
        let mut consumer = Self::silent(client).await?;
        consumer.send(FromConsumer::Hello(hello)).await;
        match consumer.next().await? {
            ToConsumer::Welcome(welcome) => consumer.consumer_id = welcome.consumer_id,
            other => panic!("not a welcome: {other:?}"),
        }
        Ok(consumer)
    }

    /// Joins with these handlers, and with credit for so many handouts.
    pub(crate) async fn ready(
        client: &Client,
        group: &str,
        handlers: Vec<Handler>,
        credit: u32,
    ) -> Self {
        let mut consumer = Self::join(client, hello(client, group, handlers))
            .await
            .expect("a good hello is welcome");
        consumer.credit(credit).await;
        consumer
    }

    /// Sends any message. One that the control plane no longer reads is dropped.
    pub(crate) async fn send(&mut self, message: FromConsumer) {
        let request = ConsumeRequest {
            message: Some(message),
        };
        let _ = self.requests.send(request).await;
    }

    /// Grants credit for so many handouts.
    pub(crate) async fn credit(&mut self, handouts: u32) {
        self.send(FromConsumer::Credit(ConsumeCredit { handouts }))
            .await;
    }

    /// Acknowledges a handout and waits until that is durable.
    pub(crate) async fn ack(&mut self, handout: &Handout, effect: &str) {
        let ack = Ack {
            lease_id: handout.lease_id,
            effect: effect.to_owned(),
        };
        self.send(FromConsumer::Acks(Acks { acks: vec![ack] }))
            .await;
        self.settled(handout.lease_id).await;
    }

    /// Says that a handout failed, and waits until that is durable.
    pub(crate) async fn nack(&mut self, handout: &Handout, error: &str, permanent: bool) {
        let nack = Nack {
            lease_id: handout.lease_id,
            error: error.to_owned(),
            permanent,
        };
        self.send(FromConsumer::Nacks(Nacks { nacks: vec![nack] }))
            .await;
        self.settled(handout.lease_id).await;
    }

    /// Asks for so many milliseconds more.
    pub(crate) async fn extend(&mut self, handout: &Handout, by_ms: u64) {
        let extension = Extension {
            lease_id: handout.lease_id,
            by: Some(millis(by_ms)),
        };
        self.send(FromConsumer::Extensions(Extensions {
            extensions: vec![extension],
        }))
        .await;
    }

    /// The next handout.
    pub(crate) async fn handout(&mut self) -> Handout {
        while self.handouts.is_empty() {
            self.take().await.expect("the stream stands");
        }
        self.handouts.pop_front().expect("one came")
    }

    /// The next handouts, so many.
    pub(crate) async fn handouts(&mut self, count: usize) -> Vec<Handout> {
        let mut handouts = Vec::new();
        while handouts.len() < count {
            handouts.push(self.handout().await);
        }
        handouts
    }

    /// Waits until a handout is settled.
    pub(crate) async fn settled(&mut self, lease_id: u64) {
        while !self.settled.remove(&lease_id) {
            self.take().await.expect("the stream stands");
        }
    }

    /// Waits until a handout is lost.
    pub(crate) async fn lost(&mut self, lease_id: u64) {
        while !self.lost.remove(&lease_id) {
            self.take().await.expect("the stream stands");
        }
    }

    /// Whether a handout has come that nobody took.
    pub(crate) fn has_handouts(&self) -> bool {
        !self.handouts.is_empty()
    }

    /// The next message, or how the stream ended.
    pub(crate) async fn next(&mut self) -> Result<ToConsumer, Status> {
        let next = timeout(DEADLINE, self.responses.message())
            .await
            .expect("something comes");
        match next? {
            Some(response) => Ok(response.message.expect("a message is set")),
            None => Err(Status::ok("the stream ended")),
        }
    }

    /// Waits for the end of the stream.
    pub(crate) async fn end(mut self) -> Status {
        loop {
            if let Err(status) = self.next().await {
                return status;
            }
        }
    }

    /// Takes one message.
    async fn take(&mut self) -> Result<(), Status> {
        match self.next().await? {
            ToConsumer::Handouts(batch) => self.handouts.extend(batch.handouts),
            ToConsumer::Settled(settled) => self.settled.extend(settled.lease_ids),
            ToConsumer::Lost(lost) => self.lost.extend(lost.lease_ids),
            ToConsumer::Welcome(again) => panic!("welcome again: {again:?}"),
        }
        Ok(())
    }
}
