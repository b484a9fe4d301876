//! From an emitted event to a durable outcome: match, commit, schedule, lease, settle.
//!
//! [`Dispatch`] is what the rest of the plane calls. Its parts: `emit`, `inbound` and `outcome` are the group commits
//! (`commit` is what the first two share),
//! `scheduler` (with `lane`) decides what goes out next, `grant` turns a lease into a signed request, `session` speaks
//! with one node, `proof` says whose a lease is, `report` takes what nodes report, `lost` takes back leases, `pager` reads backlogs from the table,
//! `operate` does what operators ask for. All waiting happens here; the decisions are in pure modules.

mod arrival;
mod commit;
pub(crate) mod consume;
mod emit;
mod emit_within;
mod events;
mod grant;
mod inbound;
mod lane;
mod lost;
mod operate;
mod orphan;
mod outcome;
mod pager;
mod payload;
mod proof;
mod report;
mod scheduler;
mod session;
mod sessions;
pub(crate) mod stream;

use std::{collections::HashMap, sync::Arc};

use tokio::{
    sync::{Notify, Semaphore, mpsc},
    task::JoinSet,
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(crate) use self::{
    arrival::{Arrival, Holds},
    emit::{Accepted, Emitting},
    inbound::Received,
    scheduler::Loaded,
    session::{SessionParts, converse},
};
use self::{
    emit::PendingEmit,
    inbound::{PendingInbound, PendingKeep},
    lane::{Entry, ServedBy},
    outcome::PendingOutcome,
    payload::PayloadBudget,
    proof::Told,
    scheduler::{LaneSettings, Scheduler},
    sessions::Sessions,
};
use crate::{
    clock,
    error::Error,
    lock::{Leaf, Lock, Locked, SCHEDULER},
    metrics::Metrics,
    model::{
        endpoint::{Endpoint, LiveEndpoint, LiveTarget},
        id::{EndpointId, NodeId, TenantId},
        shard::ShardSet,
    },
    registry::{EndpointChange, SharedRegistry},
    store::{DueDelivery, Store},
    vault::Vault,
};

/// How many emits, how many inbound requests, and how many outcomes, may wait for their group commit.
const QUEUE_MAX: usize = 16_384;

/// The engine. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Dispatch(Arc<Engine>);

#[derive(Debug)]
struct Engine {
    store: Store,
    vault: Arc<Vault>,
    registry: SharedRegistry,
    metrics: Metrics,
    scheduler: Lock<Scheduler, SCHEDULER>,
    budget: PayloadBudget,
    sessions: Sessions,
    /// The streams of consumers.
    consumers: Sessions,
    told: Told,
    emits: mpsc::Sender<PendingEmit>,
    outcomes: mpsc::Sender<PendingOutcome>,
    inbounds: mpsc::Sender<PendingInbound>,
    keeps: mpsc::Sender<PendingKeep>,
    /// How much of the inbound requests waits, in KiB.
    receiving: Arc<Semaphore>,
    /// How much of what is kept without being accepted waits, in KiB.
    keeping: Arc<Semaphore>,
    /// The emits of each tenant that wait.
    queued: Leaf<HashMap<TenantId, Arc<Semaphore>>>,
    /// Something became ready to be leased.
    ready: Notify,
    /// A timer may have to fire earlier.
    changed: Notify,
    started: Instant,
    /// Whose deliveries are scheduled here.
    shards: ShardSet,
    payload_bytes_max: usize,
    tasks: TaskTracker,
}

/// The loops of the engine, to be run by whoever made it.
#[derive(Debug)]
pub(crate) struct Loops {
    emits: mpsc::Receiver<PendingEmit>,
    outcomes: mpsc::Receiver<PendingOutcome>,
    inbounds: mpsc::Receiver<PendingInbound>,
    keeps: mpsc::Receiver<PendingKeep>,
}

impl Dispatch {
    /// Makes the engine. `epoch` must differ from that of every earlier process.
    pub(crate) fn new(
        store: Store,
        vault: Arc<Vault>,
        registry: SharedRegistry,
        metrics: Metrics,
        payload_bytes_max: usize,
        epoch: u32,
    ) -> (Self, Loops) {
        let (emits, emit_queue) = mpsc::channel(QUEUE_MAX);
        let (outcomes, outcome_queue) = mpsc::channel(QUEUE_MAX);
        let (inbounds, inbound_queue) = mpsc::channel(QUEUE_MAX);
        let (keeps, keep_queue) = mpsc::channel(inbound::KEEP_QUEUE_MAX);
        let engine = Engine {
            store,
            vault,
            registry,
            metrics,
            scheduler: Lock::new(Scheduler::new(epoch)),
            budget: PayloadBudget::default(),
            sessions: Sessions::default(),
            consumers: Sessions::default(),
            told: Told::default(),
            emits,
            outcomes,
            inbounds,
            keeps,
            receiving: Arc::new(Semaphore::new(inbound::QUEUE_KIB)),
            keeping: Arc::new(Semaphore::new(inbound::KEEP_QUEUE_KIB)),
            queued: Leaf::default(),
            ready: Notify::new(),
            changed: Notify::new(),
            started: clock::monotonic(),
            shards: ShardSet::ALL,
            payload_bytes_max,
            tasks: TaskTracker::new(),
        };
        let loops = Loops {
            emits: emit_queue,
            outcomes: outcome_queue,
            inbounds: inbound_queue,
            keeps: keep_queue,
        };
        let engine = Arc::new(engine);
        let observer = Arc::downgrade(&engine);
        engine.registry.observe(move |change| {
            if let Some(engine) = observer.upgrade() {
                Self(engine).endpoint_published(change);
            }
        });
        (Self(engine), loops)
    }

    /// Learns what was open before this process, and runs until `shutdown`; then commits what is queued.
    pub(crate) async fn run(self, loops: Loops, shutdown: CancellationToken) -> Result<(), Error> {
        self.recover().await?;
        let mut commits = JoinSet::new();
        commits.spawn(commit::run(self.clone(), loops.emits, shutdown.clone()));
        commits.spawn(commit::run(self.clone(), loops.inbounds, shutdown.clone()));
        commits.spawn(inbound::run_keeping(
            self.clone(),
            loops.keeps,
            shutdown.clone(),
        ));
        commits.spawn(outcome::run(self.clone(), loops.outcomes, shutdown.clone()));
        tokio::select! {
            () = pager::run(self.clone()) => {}
            () = pager::run_timers(self.clone()) => {}
            () = lost::run_sweeps(self.clone()) => {}
            () = shutdown.cancelled() => {}
            // Neither ends by itself: without it nothing may be accepted.
            Some(ended) = commits.join_next() => ended.map_err(|panic| Error::Internal(panic.into()))?,
        }
        // The group commits end after they have written what is queued.
        while commits.join_next().await.is_some() {}
        self.0.tasks.close();
        self.0.tasks.wait().await;
        Ok(())
    }

    /// Makes a lane for each endpoint and notes what the table holds.
    async fn recover(&self) -> Result<(), Error> {
        let now_ms = clock::now_ms();
        let lanes = self.0.store.delivery_lanes(&self.0.shards).await?;
        let registry = self.0.registry.snapshot();
        for endpoint in registry.endpoints() {
            self.configure(endpoint, now_ms);
        }
        let mut scheduler = self.scheduler();
        for lane in &lanes {
            scheduler.suspect(lane.shard, lane.endpoint_id, now_ms);
            if registry.endpoint(lane.endpoint_id).is_none() {
                scheduler.close(lane.endpoint_id);
            }
        }
        let with_lanes = lanes.iter().map(|lane| lane.shard).collect();
        let mut without = self.0.shards;
        without.remove(&with_lanes);
        scheduler.recovered(&without, now_ms);
        tracing::info!(
            lanes = lanes.len(),
            "{} endpoints have deliveries from before",
            lanes.len()
        );
        Ok(())
    }

    /// The registry shows another endpoint than before.
    fn endpoint_published(&self, change: EndpointChange<'_>) {
        match change {
            EndpointChange::Served(endpoint) => {
                self.configure(endpoint, clock::now_ms());
                self.wake();
            }
            EndpointChange::Removed(endpoint_id) => self.endpoint_removed(endpoint_id),
        }
    }

    fn configure(&self, endpoint: &LiveEndpoint, now_ms: i64) {
        let Endpoint {
            id,
            shard,
            state,
            settings,
            ..
        } = &endpoint.endpoint;
        let (served_by, concurrency) = match endpoint.target {
            LiveTarget::Url(_) => (ServedBy::Nodes, settings.concurrency),
            // Its streams say how much they can take.
            LiveTarget::Consumer(_) => (ServedBy::Consumers, u32::MAX),
        };
        let settings = LaneSettings {
            state: *state,
            concurrency,
            served_by,
        };
        self.scheduler().configure(*shard, *id, settings, now_ms);
    }

    /// An endpoint is gone.
    fn endpoint_removed(&self, endpoint_id: EndpointId) {
        let held = {
            let mut scheduler = self.scheduler();
            scheduler.remove(endpoint_id);
            scheduler.abandon_all(endpoint_id)
        };
        for (lease_id, holder) in held {
            self.revoke(holder, lease_id);
        }
    }

    /// Tells who holds a lease that nothing follows from it any more.
    fn revoke(&self, holder: NodeId, lease_id: u64) {
        self.0.sessions.revoke(holder, lease_id);
        self.0.consumers.revoke(holder, lease_id);
    }

    /// What the scheduler holds, and how many bytes of payloads.
    pub(crate) fn loaded(&self) -> (Loaded, usize) {
        (self.scheduler().loaded(), self.0.budget.used())
    }

    /// Shows how many nodes have a session.
    fn count_sessions(&self) {
        self.0
            .metrics
            .sessions
            .set(i64::try_from(self.0.sessions.len()).unwrap_or(i64::MAX));
    }

    /// Shows how many streams consumers have.
    fn count_consumers(&self) {
        self.0
            .metrics
            .consumers
            .set(i64::try_from(self.0.consumers.len()).unwrap_or(i64::MAX));
    }

    fn scheduler(&self) -> Locked<'_, Scheduler> {
        self.0.scheduler.lock()
    }

    /// Lets sessions and the pager look again.
    fn wake(&self) {
        self.0.ready.notify_waiters();
        self.0.changed.notify_one();
    }

    /// Milliseconds since the engine was made, by the monotonic clock.
    fn uptime_ms(&self) -> u64 {
        let elapsed = clock::monotonic().duration_since(self.0.started);
        u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
    }

    /// Puts back a delivery that an operator moved.
    fn reschedule(&self, endpoint_id: EndpointId, due: &DueDelivery) {
        let key = (due.due_at, due.id);
        self.scheduler()
            .admit(endpoint_id, key, Entry::paged(due), clock::now_ms());
        self.wake();
    }
}
