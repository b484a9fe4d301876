//! `InboundService.Consume`: a consumer's stream, read at the edge and handed to the engine.
//!
//! The first message says who consumes what: its handlers are registered before the stream stands. What comes after it
//! is read into what the engine takes; what is out of its limits ends the stream.

mod answers;
mod hello;
mod register;
mod said;

use std::sync::Arc;

use posthorn::v1::{self, consume_request::Message as FromConsumer};
use tokio::sync::mpsc;
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use self::{answers::Answers, hello::Hello};
use super::{Caller, decode_status};
use crate::{
    core::Core,
    dispatch::{
        Dispatch,
        consumer::{ConsumerParts, consume},
        stream,
    },
    inbound::Inbound,
};

/// How many messages to a consumer may wait for its stream.
const TO_CONSUMER_MAX: usize = 4;

/// What a consumer's stream is told.
pub(super) type ConsumeStream = ReceiverStream<Result<v1::ConsumeResponse, Status>>;

/// Serves consumers.
#[derive(Clone)]
pub(crate) struct Consumers {
    core: Core,
    dispatch: Dispatch,
    inbound: Inbound,
    shutdown: CancellationToken,
}

impl Consumers {
    /// Serves streams until `shutdown`. Computed answers go to `inbound`.
    pub(crate) fn new(
        core: Core,
        dispatch: Dispatch,
        inbound: Inbound,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            core,
            dispatch,
            inbound,
            shutdown,
        }
    }

    /// Opens a consumer's stream.
    pub(super) fn open(
        &self,
        request: Request<Streaming<v1::ConsumeRequest>>,
    ) -> Result<Response<ConsumeStream>, Status> {
        let caller = Caller::of(&request)?;
        let (to_consumer, stream) = mpsc::channel(TO_CONSUMER_MAX);
        let (consumers, requests) = (self.clone(), request.into_inner());
        tokio::spawn(async move {
            let served = consumers.serve(caller, requests, to_consumer.clone());
            if let Err(status) = served.await {
                // The consumer may be gone already.
                let _ = to_consumer.send(Err(status)).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn serve(
        self,
        caller: Caller,
        requests: Streaming<v1::ConsumeRequest>,
        to_consumer: mpsc::Sender<Result<v1::ConsumeResponse, Status>>,
    ) -> Result<(), Status> {
        let mut requests = requests.map(|request| request.map_err(decode_status));
        let first = stream::first(&mut requests).await?;
        let Some(FromConsumer::Hello(hello)) = first.and_then(|request| request.message) else {
            return Err(stream::no_hello());
        };
        let tenant = caller.tenant(&self.core.registry.snapshot(), &hello.tenant_id)?;
        let hello = Hello::read(&hello)?;
        let handlers = self.register(&caller, &tenant, &hello).await?;
        let answers = Arc::new(Answers::new(self.inbound));
        let given = Arc::clone(&answers);
        let from_consumer = requests
            .map(move |request| said::read(request?.message, |id, answer| given.give(id, answer)))
            .filter_map(Result::transpose);
        let consumer = ConsumerParts {
            key_id: caller.key_id(),
            tenant_id: tenant.tenant.id,
            shard: tenant.shard,
            group: hello.group,
            handlers,
            answer_within: Arc::new(move |id| answers.within_ms(id)),
            from_consumer: Box::pin(from_consumer),
            to_consumer,
        };
        consume(self.dispatch, consumer, self.shutdown).await
    }
}
