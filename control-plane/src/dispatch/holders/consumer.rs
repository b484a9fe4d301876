//! A consumer: an internal service that takes deliveries over a stream of its own instead of getting them posted.
//!
//! A handler of a consumer group is an endpoint. Its lane is served by the group's streams: each takes what its credit
//! covers, and what becomes of a delivery is an attempt like a node's. A delivery has a time; one about which a stream says
//! nothing in time goes to others, and holds up nobody else. When the stream ends, what it held goes back after a moment
//! without counting as attempts.
//!
//! Nothing here reads the contract's messages: that is done at the edge, which hands over [`Said`].

mod attempt;
mod handout;
mod unsettled;

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use posthorn::v1::{self, consume_response::Message as ToConsumer};
use prost::Message as _;
use tokio::sync::{Notify, mpsc, watch};
use tokio_stream::{Stream, StreamExt as _};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use self::{
    attempt::{attempted, unheard},
    unsettled::Unsettled,
};
use super::{
    Holder, Outgoing, Protocol, StreamEnd,
    held::{Ended, Expired, Held},
    holder::Bounds,
    stream,
    table::About,
};
use crate::{
    dispatch::{
        Dispatch,
        schedule::{Grant, Schedule, Served},
    },
    model::{
        delivery::AttemptResult,
        endpoint::LiveEndpoint,
        event::Event,
        id::{ConsumerId, EndpointId, InboundId, KeyId, Shard, TenantId},
        lease::{HolderId, LeaseKey},
    },
};

/// How many deliveries a stream can hold.
const HELD_MAX: u32 = 1_024;
/// How many deliveries are taken at one time: what one stream takes, its group's other streams cannot.
const TAKE_MAX: usize = 64;
/// How many of them are read from the database at one time: payloads may be large.
const LOAD_MAX: usize = 8;
/// How long a delivery may wait to be sent before it goes to others, in milliseconds.
const UNSENT_MAX_MS: u64 = 10_000;
/// How many leases one message to the consumer names.
const LEASES_PER_MESSAGE: usize = 1_024;
/// How long deadlines are left alone at the most: no delivery is given less time than this.
const EXPIRY_PAUSE_MAX: Duration = Duration::from_secs(1);

/// What a consumer says once its stream stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    /// It can take so many more.
    Credit(u32),
    /// It is done with deliveries.
    Results(Vec<HandlerResult>),
    /// It needs so many milliseconds more, from now, for these leases.
    Extensions(Vec<(u64, u64)>),
}

/// What a handler says of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HandlerResult {
    /// The lease.
    pub lease_id: u64,
    /// What came of it.
    pub result: AttemptResult,
    /// What the handler did, or what went wrong.
    pub text: String,
}

/// What a consumer says, as it comes.
pub(crate) type SaidStream = Pin<Box<dyn Stream<Item = Result<Said, Status>> + Send>>;

/// For how many milliseconds a provider still waits for the answer to a request.
pub(crate) type AnswerWithin = Arc<dyn Fn(InboundId) -> u32 + Send + Sync>;

/// A consumer whose handlers are registered.
pub(crate) struct ConsumerParts {
    /// The key that it came with.
    pub key_id: KeyId,
    /// Whose events it takes.
    pub tenant_id: TenantId,
    /// Where the data of its tenant are.
    pub shard: Shard,
    /// Its group.
    pub group: String,
    /// Its handlers: their endpoints and names.
    pub handlers: Vec<(EndpointId, String)>,
    /// How long providers wait.
    pub answer_within: AnswerWithin,
    /// What it says.
    pub from_consumer: SaidStream,
    /// What it is told.
    pub to_consumer: mpsc::Sender<Result<v1::ConsumeResponse, Status>>,
}

/// Serves a consumer until its stream ends or `shutdown`.
pub(crate) async fn consume(
    dispatch: Dispatch,
    parts: ConsumerParts,
    shutdown: CancellationToken,
) -> StreamEnd {
    let core = &dispatch.0.core;
    let consumer_id = ConsumerId::new(core.clock.now_ms(), &mut core.rng());
    let of = (HolderId::Consumer(consumer_id), parts.key_id);
    let group = parts.group;
    let about = About::Consumer {
        tenant_id: parts.tenant_id,
        group: group.clone(),
        handlers: parts
            .handlers
            .iter()
            .map(|(_, name)| name.clone())
            .collect(),
    };
    let mut opened = dispatch.open::<Consumer>(of.0, of.1, about)?;
    tracing::info!(%consumer_id, group, "consumer {consumer_id} of group {group} opened a stream");
    let (acknowledged, acknowledgements) = watch::channel(0);
    let (lost, lost_leases) = mpsc::unbounded_channel();
    let consumer = Consumer {
        served: Served {
            shard: parts.shard,
            endpoints: parts.handlers.iter().map(|(id, _)| *id).collect(),
        },
        turn: AtomicUsize::new(0),
        handlers: parts.handlers.into_iter().collect(),
        answer_within: parts.answer_within,
        unsettled: Unsettled::default(),
        lost,
    };
    let held = Held::new(HELD_MAX, false);
    let holder = Holder::new(&dispatch, of, &opened, held, consumer, parts.to_consumer);
    let welcome = v1::ConsumeWelcome {
        consumer_id: consumer_id.to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let ended = async {
        holder.send(told(ToConsumer::Welcome(welcome))).await?;
        let attend = holder.attend(parts.from_consumer, acknowledged, lost_leases);
        let standing = holder.stand(&mut opened, acknowledgements, attend, &shutdown);
        standing.await
    };
    let ended = ended.await;
    tracing::info!(%consumer_id, end = ?ended.as_ref().err().map(Status::code), "the stream of consumer {consumer_id} ended");
    ended
}

/// What tells consumers from other holders.
struct Consumer {
    served: Served,
    /// The handler whose turn it is to be first.
    turn: AtomicUsize,
    /// The handlers' names.
    handlers: HashMap<EndpointId, String>,
    answer_within: AnswerWithin,
    unsettled: Unsettled,
    /// Deliveries that the consumer must hear are lost.
    lost: mpsc::UnboundedSender<u64>,
}

impl Protocol for Consumer {
    type ToHolder = v1::ConsumeResponse;
    type Delivery = v1::Handout;

    const STREAM: &'static str = "consume";
    const BOUNDS: Bounds = Bounds {
        take: TAKE_MAX,
        load: LOAD_MAX,
        unsent_ms: Some(UNSENT_MAX_MS),
    };

    fn join(&self, schedule: &Schedule, holder: HolderId, waker: &Arc<Notify>) {
        schedule.serve(&self.served, holder, waker);
    }

    fn leave(&self, schedule: &Schedule, holder: HolderId) {
        schedule.leave(&self.served, holder);
    }

    fn take(
        &self,
        schedule: &Schedule,
        holder: HolderId,
        room: usize,
        suspects: usize,
    ) -> Vec<Grant> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        schedule.take_from(&self.served, turn, (room, suspects), holder)
    }

    fn write(
        &self,
        _: &Dispatch,
        live: &LiveEndpoint,
        event: &Arc<Event>,
        grant: &Grant,
    ) -> Option<Outgoing<v1::Handout>> {
        let handout = handout::handout(live.handler()?, event, grant, &self.answer_within);
        Some(Outgoing {
            key: grant.key,
            message_bytes: handout.encoded_len(),
            body_bytes: 0,
            within_ms: Some(live.endpoint.settings.timeout_ms.into()),
            delivery: handout,
        })
    }

    fn deliveries(handouts: Vec<v1::Handout>) -> v1::ConsumeResponse {
        told(ToConsumer::Handouts(v1::Handouts { handouts }))
    }

    fn committed(&self, through: u64) -> Vec<v1::ConsumeResponse> {
        let lease_ids = self.unsettled.take(through);
        let messages = lease_ids.chunks(LEASES_PER_MESSAGE).map(|lease_ids| {
            told(ToConsumer::Settled(v1::HandoutsSettled {
                lease_ids: lease_ids.to_vec(),
            }))
        });
        messages.collect()
    }

    fn revoke(holder: &Holder<Self>, lease_ids: Vec<u64>) -> Option<v1::ConsumeResponse> {
        let given_up = lease_ids.into_iter();
        let given_up = given_up.filter_map(|lease_id| holder.held().give_up(lease_id));
        let given_up = given_up.collect::<Vec<_>>();
        holder.release(given_up.iter().map(|(key, _)| *key).collect());
        holder.wake();
        let sent = given_up.iter().filter(|(_, was_sent)| *was_sent);
        let lease_ids = sent.map(|(key, _)| key.lease_id).collect::<Vec<_>>();
        (!lease_ids.is_empty()).then(|| told(ToConsumer::Lost(v1::HandoutsLost { lease_ids })))
    }
}

fn told(message: ToConsumer) -> v1::ConsumeResponse {
    v1::ConsumeResponse {
        message: Some(message),
    }
}

impl Holder<Consumer> {
    /// What a consumer's stream does beside what every holder's does.
    async fn attend(
        &self,
        from_consumer: SaidStream,
        acknowledged: watch::Sender<u64>,
        lost: mpsc::UnboundedReceiver<u64>,
    ) -> StreamEnd {
        tokio::select! {
            ended = self.listen(from_consumer, acknowledged) => ended,
            ended = self.tell_lost(lost) => ended,
            () = self.expire() => Ok(()),
            ended = self.check_handlers() => ended,
        }
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
                    self.held().add_credit(handouts, 0);
                    self.wake();
                }
                Said::Results(results) => self.take_results(results, &acknowledged).await?,
                Said::Extensions(extensions) => {
                    let now = self.dispatch.0.schedule.uptime_ms();
                    let mut held = self.held();
                    for (lease_id, by_ms) in extensions {
                        held.extend(lease_id, by_ms, now);
                    }
                }
            }
        }
        Ok(())
    }

    /// Takes results on deliveries. A result of what the stream never held is settled at once and changes nothing.
    async fn take_results(
        &self,
        results: Vec<HandlerResult>,
        acknowledged: &watch::Sender<u64>,
    ) -> StreamEnd {
        let now = self.dispatch.0.schedule.uptime_ms();
        let lease_ids = results.iter().map(|one| one.lease_id).collect();
        let mut reports = Vec::with_capacity(results.len());
        for one in results {
            let ended = self.held().end(one.lease_id, now);
            if let Some((lease, held_ms)) = ended.map(|ended| self.reportable(ended)) {
                reports.push(attempted(lease, one.result, one.text, held_ms));
            }
        }
        self.wake();
        let number = self.protocol.unsettled.push(lease_ids);
        self.report(reports, number, acknowledged).await
    }

    /// The lease to report under. An attempt that is logged as silence is logged once more, as late, under a lease of
    /// its own.
    fn reportable(&self, ended: Ended) -> (LeaseKey, u64) {
        match ended {
            Ended::Held(lease, held_ms) | Ended::Revoked(lease, held_ms) => (lease, held_ms),
            Ended::Logged(lease, held_ms) => {
                let lease_id = self.dispatch.0.schedule.late_lease_id();
                (LeaseKey { lease_id, ..lease }, held_ms)
            }
        }
    }

    /// Tells the consumer what it lost.
    async fn tell_lost(&self, mut lost: mpsc::UnboundedReceiver<u64>) -> StreamEnd {
        let mut lease_ids = Vec::new();
        while lost.recv_many(&mut lease_ids, LEASES_PER_MESSAGE).await > 0 {
            let lease_ids = std::mem::take(&mut lease_ids);
            self.send(told(ToConsumer::Lost(v1::HandoutsLost { lease_ids })))
                .await?;
        }
        std::future::pending().await
    }

    /// Ends deliveries whose time is up: an attempt each, which failed.
    async fn expire(&self) {
        let schedule = &self.dispatch.0.schedule;
        loop {
            let next = self.held().next_deadline();
            let pause = next.map_or(EXPIRY_PAUSE_MAX, |at| {
                Duration::from_millis(at.saturating_sub(schedule.uptime_ms()))
            });
            tokio::time::sleep(pause.min(EXPIRY_PAUSE_MAX)).await;
            let expired = self.held().expire(schedule.uptime_ms());
            if !expired.is_empty() {
                self.report_silence(expired).await;
            }
        }
    }

    async fn report_silence(&self, expired: Vec<Expired>) {
        let (mut reports, mut unsent) = (Vec::new(), Vec::new());
        for expired in expired {
            match expired {
                Expired::Unsent(key) => unsent.push(key),
                Expired::Silent(key, held_ms, within_ms) => {
                    // The receiver goes with the stream.
                    let _ = self.protocol.lost.send(key.lease_id);
                    reports.push(unheard(key, within_ms, held_ms));
                }
            }
        }
        self.release(unsent);
        self.wake();
        let (unheard, _) = watch::channel(0);
        // Only a shutdown keeps it from being queued, and then the lease ends with the process.
        let _ = self.report(reports, 0, &unheard).await;
    }

    /// Ends the stream when one of its handlers is deleted: the next hello makes it anew.
    async fn check_handlers(&self) -> StreamEnd {
        loop {
            tokio::time::sleep(stream::CHECK_INTERVAL).await;
            let registry = self.dispatch.0.core.registry.snapshot();
            for (endpoint_id, name) in &self.protocol.handlers {
                if registry.endpoint(*endpoint_id).is_none() {
                    let message = format!("the handler `{name}` was deleted: open another stream");
                    return Err(Status::aborted(message));
                }
            }
        }
    }
}
