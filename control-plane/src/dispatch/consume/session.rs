//! A consumer's stream from its welcome to its end.
//!
//! Everything that may wait for the consumer to read runs beside the rest: a consumer that reads slowly loses the
//! handouts whose time is up, and holds up nobody else. When the stream ends, what it held goes back after a moment
//! without counting as attempts.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use posthorn::v1::{self, consume_response::Message as ToConsumer};
use tokio::sync::{Notify, mpsc, watch};
use tokio_stream::StreamExt as _;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{AnswerWithin, Consumer, Said, SaidStream, held::Held, unsettled::Unsettled};
use crate::{
    clock,
    dispatch::{Dispatch, lane::ServedBy, lost, sessions::Opened, stream},
    lock::{HELD, Lock, Locked},
    model::id::{EndpointId, NodeId},
};

/// How a stream ended.
pub(super) type StreamEnd = Result<(), Status>;

/// A stream that stands.
pub(super) struct Session {
    pub(super) dispatch: Dispatch,
    pub(super) consumer_id: NodeId,
    /// The handlers' names.
    pub(super) handlers: HashMap<EndpointId, String>,
    pub(super) answer_within: AnswerWithin,
    pub(super) held: Lock<Held, HELD>,
    /// There may be something to hand out, or credit for it.
    pub(super) bell: Arc<Notify>,
    pub(super) unsettled: Unsettled,
    /// Handouts that the consumer must hear are lost.
    pub(super) lost: mpsc::UnboundedSender<u64>,
    to_consumer: mpsc::Sender<Result<v1::ConsumeResponse, Status>>,
}

/// Ends what a stream has everywhere, however it ends.
struct Standing {
    dispatch: Dispatch,
    consumer_id: NodeId,
    number: u64,
    endpoints: Vec<EndpointId>,
}

/// Serves a consumer until its stream ends or `shutdown`.
pub(crate) async fn consume(
    dispatch: Dispatch,
    consumer: Consumer,
    shutdown: CancellationToken,
) -> Result<(), Status> {
    let consumer_id = NodeId::new(clock::now_ms(), &mut clock::rng());
    let opened = dispatch.0.consumers.open(consumer_id, consumer.key_id);
    dispatch.0.metrics.opened("consume", &opened);
    let opened = opened?;
    let group = consumer.group.clone();
    tracing::info!(%consumer_id, group, "consumer {consumer_id} of group {group} opened a stream");
    let standing = Standing {
        dispatch: dispatch.clone(),
        consumer_id,
        number: opened.number,
        endpoints: consumer.handlers.iter().map(|(id, _)| *id).collect(),
    };
    dispatch.count_consumers();
    let ended = stand(&standing, consumer, opened, shutdown).await;
    tracing::info!(%consumer_id, end = ?ended.as_ref().err().map(Status::code), "the stream of consumer {consumer_id} ended");
    ended
}

async fn stand(
    standing: &Standing,
    consumer: Consumer,
    mut opened: Opened,
    shutdown: CancellationToken,
) -> StreamEnd {
    let dispatch = &standing.dispatch;
    let (acknowledged, acknowledgements) = watch::channel(0);
    let (lost, lost_leases) = mpsc::unbounded_channel();
    let session = Session {
        dispatch: dispatch.clone(),
        consumer_id: standing.consumer_id,
        handlers: consumer.handlers.into_iter().collect(),
        answer_within: consumer.answer_within,
        held: Lock::default(),
        bell: Arc::new(Notify::new()),
        unsettled: Unsettled::default(),
        lost,
        to_consumer: consumer.to_consumer,
    };
    let welcome = v1::ConsumeWelcome {
        consumer_id: standing.consumer_id.to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    session.send(ToConsumer::Welcome(welcome)).await?;
    let (endpoints, bell) = (&standing.endpoints, &session.bell);
    dispatch
        .scheduler()
        .serve(consumer.shard, endpoints, standing.consumer_id, bell);
    let ended = tokio::select! {
        ended = session.listen(consumer.from_consumer, acknowledged) => ended,
        ended = session.hand(endpoints) => ended,
        ended = session.settle(acknowledgements) => ended,
        ended = session.tell_lost(lost_leases) => ended,
        () = session.take_back(&mut opened.revoked) => Ok(()),
        () = session.expire() => Ok(()),
        ended = session.check_handlers() => ended,
        end = stream::key_end(dispatch, consumer.key_id) => Err(end),
        () = shutdown.cancelled() => Err(stream::shutting_down()),
    };
    session.give_back_unsent();
    ended
}

impl Session {
    pub(super) fn held(&self) -> Locked<'_, Held> {
        self.held.lock()
    }

    pub(super) async fn send(&self, message: ToConsumer) -> StreamEnd {
        let response = v1::ConsumeResponse {
            message: Some(message),
        };
        let gone = |_| Status::cancelled("the consumer is gone");
        self.to_consumer.send(Ok(response)).await.map_err(gone)
    }

    /// Takes what the consumer says.
    async fn listen(
        &self,
        mut from_consumer: SaidStream,
        acknowledged: watch::Sender<u64>,
    ) -> StreamEnd {
        while let Some(said) = from_consumer.next().await.transpose()? {
            match said {
                Said::Credit(handouts) => {
                    self.held().add_credit(handouts);
                    self.bell.notify_one();
                }
                Said::Words(words) => self.take_words(words, &acknowledged).await?,
                Said::Extensions(extensions) => {
                    let now = self.dispatch.uptime_ms();
                    let mut held = self.held();
                    for (lease_id, by_ms) in extensions {
                        held.extend(lease_id, by_ms, now);
                    }
                }
            }
        }
        Ok(())
    }

    /// Ends the stream when one of its handlers is deleted: the next hello makes it anew.
    async fn check_handlers(&self) -> StreamEnd {
        loop {
            tokio::time::sleep(stream::CHECK_INTERVAL).await;
            let registry = self.dispatch.0.registry.snapshot();
            for (endpoint_id, name) in &self.handlers {
                if registry.endpoint(*endpoint_id).is_none() {
                    let message = format!("the handler `{name}` was deleted: open another stream");
                    return Err(Status::aborted(message));
                }
            }
        }
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        let (consumer_id, number) = (self.consumer_id, self.number);
        self.dispatch
            .scheduler()
            .leave(&self.endpoints, consumer_id);
        self.dispatch.0.consumers.close(consumer_id, number);
        self.dispatch.count_consumers();
        let dispatch = self.dispatch.clone();
        // Not waited for at a shutdown: the leases end with this process.
        tokio::spawn(async move {
            tokio::time::sleep(lost::GRACE).await;
            dispatch.0.consumers.give_up(consumer_id, number);
            let lost = dispatch.scheduler().lose(
                (consumer_id, ServedBy::Consumers),
                &HashSet::new(),
                clock::now_ms(),
            );
            if lost.count > 0 {
                let count = lost.count;
                tracing::info!(%consumer_id, count, "{count} handouts of consumer {consumer_id} are lost");
            }
            dispatch.bury(lost);
            dispatch.wake();
        });
    }
}
