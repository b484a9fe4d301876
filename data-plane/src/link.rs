//! The node's link to the control plane: sessions, one after the other, until the node has drained.
//!
//! * `session` is one stream: it speaks, listens and starts work;
//! * `lease_table` is what the node holds and owes, across sessions; `ledger`, `credit`, `held` and `ticket` are parts of it;
//! * `work` is the task of one lease;
//! * `channel` and `backoff` are how and when to connect, `lost` and `losses` why that failed and what the log says of it.
//!
//! A lost session stops nothing: attempts go on, and their outcomes are reported in the next one.

mod backoff;
mod channel;
mod credit;
mod held;
mod lease_table;
mod ledger;
mod losses;
mod lost;
mod session;
mod ticket;
mod work;

use std::{ops::RangeInclusive, sync::Arc, time::Duration};

use posthorn_guard::Learned;
use posthorn_telemetry::{Followed, Readiness};
use rand::rngs::SmallRng;
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tonic::{
    metadata::{Ascii, MetadataValue},
    transport::Endpoint,
};
use tracing::{info, warn};

use self::{
    held::Finished,
    lease_table::{Identity, LeaseTable},
    session::Ended,
};
use crate::{clock, deliver::Sender, metrics::Metrics};

pub(crate) use backoff::Backoff;
pub(crate) use channel::{connect, endpoint};
pub(crate) use losses::Losses;
pub(crate) use lost::Lost;

/// The conditions of readiness.
const SESSION: &str = "session with the control plane";
const NOT_DRAINING: &str = "not draining";

/// The key that the node shows, read again when its file changes.
pub(crate) type Authorization = Followed<MetadataValue<Ascii>>;

/// The link, with everything that outlives a session.
pub(crate) struct Link {
    endpoint: Endpoint,
    authorization: Arc<Authorization>,
    sender: Arc<Sender>,
    metrics: Arc<Metrics>,
    readiness: Readiness,
    rng: SmallRng,
    table: LeaseTable,
    /// Where the control plane listens, as it said last: nothing is delivered there.
    control_plane: Option<Learned>,
    /// Ends of leases, from their tasks. There are never more than leases.
    ends: UnboundedSender<Finished>,
    ended: UnboundedReceiver<Finished>,
}

/// The versions of the protocol that are spoken here.
pub(crate) const PROTOCOLS: RangeInclusive<u32> = 2..=2;

/// What a link is made of.
pub(crate) struct LinkParts {
    pub(crate) endpoint: Endpoint,
    pub(crate) authorization: Arc<Authorization>,
    pub(crate) node_id: String,
    pub(crate) name: String,
    pub(crate) capacity: u32,
    pub(crate) protocols: RangeInclusive<u32>,
    pub(crate) sender: Arc<Sender>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) readiness: Readiness,
    pub(crate) rng: SmallRng,
}

impl Link {
    /// A link that has not connected yet.
    pub(crate) fn new(parts: LinkParts) -> Self {
        let (ends, ended) = unbounded_channel();
        let listeners = parts.sender.policy().own_sockets().into_iter();
        let identity = Identity {
            node_id: parts.node_id,
            name: parts.name,
            capacity: parts.capacity,
            protocols: parts.protocols,
            listeners: listeners.map(|socket| socket.to_string()).collect(),
        };
        parts.readiness.set(SESSION, false);
        parts.readiness.set(NOT_DRAINING, true);
        Self {
            endpoint: parts.endpoint,
            authorization: parts.authorization,
            sender: parts.sender,
            metrics: parts.metrics,
            readiness: parts.readiness,
            rng: parts.rng,
            table: LeaseTable::new(identity),
            control_plane: None,
            ends,
            ended,
        }
    }

    /// Holds sessions until `drain` is cancelled and everything is done and committed, or `drain_timeout` later.
    pub(crate) async fn run(mut self, drain: CancellationToken, drain_timeout: Duration) {
        let late = async {
            drain.cancelled().await;
            sleep(drain_timeout).await;
        };
        let settled = tokio::select! {
            () = self.hold_sessions(&drain) => true,
            () = late => false,
        };
        let (working, uncommitted) = (self.table.working(), self.table.uncommitted());
        if settled {
            info!("drained");
        } else {
            warn!(
                working,
                uncommitted, "drain timeout: the control plane leases the rest again"
            );
        }
    }

    async fn hold_sessions(&mut self, drain: &CancellationToken) {
        let mut backoff = Backoff::default();
        let mut losses = Losses::new(SESSION);
        loop {
            match session::run(self, drain).await {
                Ended::Settled => return,
                Ended::Lost { stood, reason } => {
                    let wait = backoff.after(stood, &reason, &mut self.rng);
                    if !stood.is_zero() {
                        losses.over();
                    }
                    losses.tell(&reason, wait, clock::now());
                    self.pause(wait, drain).await;
                }
            }
            if self.table.is_settled() {
                return;
            }
        }
    }

    /// Waits for the next session. What ends meanwhile is noted, so that the next `Hello` knows it.
    async fn pause(&mut self, wait: Duration, drain: &CancellationToken) {
        let drained = async {
            if self.table.is_draining() {
                std::future::pending::<()>().await;
            }
            drain.cancelled().await;
        };
        if timeout(wait, drained).await.is_ok() {
            self.drain();
        }
        while let Ok(finished) = self.ended.try_recv() {
            self.finish([finished]);
        }
    }

    fn drain(&mut self) {
        info!("draining");
        self.readiness.set(NOT_DRAINING, false);
        self.table.drain();
    }

    fn finish(&mut self, ended: impl IntoIterator<Item = Finished>) {
        for finished in ended {
            self.metrics.ended(&finished.fact, finished.took);
            self.table.finish(finished);
        }
    }

    /// Shows the table in the metrics.
    fn show(&self) {
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.metrics.in_flight.set(gauge(self.table.working()));
        self.metrics
            .uncommitted
            .set(gauge(self.table.uncommitted()));
        self.metrics.credit.set(self.table.credit().into());
    }
}
