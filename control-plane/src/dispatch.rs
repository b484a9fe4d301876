//! From an emitted event to a durable outcome: match, commit, schedule, lease, settle.
//!
//! [`Dispatch`] is what the rest of the plane calls. Its parts, each behind a door of its own: `commit` writes events and
//! outcomes, many at a time; `schedule` decides what goes out next and knows who is at work on what; `holders` are those who
//! make attempts, nodes and consumers; `payloads` are the events of what waits. Between them, `report` judges what holders
//! say, `page` reads backlogs from the table, `operate` does what operators ask for, `orphan` ends what belongs to
//! endpoints that are gone, and `deaths` logs what died. All waiting happens here; the decisions are in pure modules.

mod commit;
mod deaths;
mod holders;
mod operate;
mod orphan;
mod page;
mod payloads;
mod report;
mod schedule;

use std::sync::Arc;

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    commit::Queues,
    deaths::Deaths,
    holders::{HOLD_MAX, Holders, Opened, Protocol, Told},
    payloads::Payloads,
    schedule::{LaneSettings, Schedule},
};
pub(crate) use self::{
    commit::{Accepted, Arrival, Commits, Emitting, Holds, Received},
    holders::{About, Connected, SessionParts, consumer, converse, stream},
    schedule::Loaded,
};
use crate::{
    core::Core,
    error::Error,
    model::{
        endpoint::{Endpoint, LiveEndpoint, LiveTarget},
        id::{EndpointId, KeyId, Shard},
        lease::{HolderId, HolderKind},
        shard::ShardSet,
    },
    registry::EndpointChange,
};

/// The engine. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Dispatch(Arc<Engine>);

#[derive(Debug)]
struct Engine {
    core: Core,
    /// Whose deliveries are scheduled here.
    shards: ShardSet,
    schedule: Schedule,
    queues: Queues,
    payloads: Payloads,
    holders: Holders,
    told: Told,
    deaths: Deaths,
    payload_bytes_max: usize,
    tasks: TaskTracker,
}

impl Dispatch {
    /// Makes the engine, with the queues to be committed by whoever runs it. `epoch` must differ from that of every earlier
    /// process.
    pub(crate) fn new(core: Core, payload_bytes_max: usize, epoch: u32) -> (Self, Commits) {
        let (queues, commits) = Queues::new();
        let engine = Arc::new(Engine {
            payloads: Payloads::new(core.store.clone()),
            shards: ShardSet::ALL,
            schedule: Schedule::new(epoch, core.clock.clone()),
            core,
            queues,
            holders: Holders::default(),
            told: Told::default(),
            deaths: Deaths::default(),
            payload_bytes_max,
            tasks: TaskTracker::new(),
        });
        let observer = Arc::downgrade(&engine);
        engine.core.registry.observe(move |change| {
            if let Some(engine) = observer.upgrade() {
                Self(engine).endpoint_published(change);
            }
        });
        (Self(engine), commits)
    }

    /// Learns what was open before this process, and runs until `shutdown`; then commits what is queued.
    pub(crate) async fn run(
        self,
        commits: Commits,
        shutdown: CancellationToken,
    ) -> Result<(), Error> {
        self.recover().await?;
        let mut commits = commits.begin(&self, &shutdown);
        let loops = async {
            tokio::join!(
                page::read_pages(&self),
                page::recover_and_sweep(&self),
                page::run_timers(&self),
                holders::run_sweeps(&self, HOLD_MAX),
            );
        };
        tokio::select! {
            () = loops => {}
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
        let shards = self.0.shards;
        let lanes = self.0.core.store.delivery_lanes(&shards).await?;
        let registry = self.0.core.registry.snapshot();
        for endpoint in registry.endpoints() {
            self.configure(endpoint);
        }
        let schedule = &self.0.schedule;
        schedule.recover(&lanes, |id| registry.endpoint(id).is_some());
        // What has nothing from before need not wait for what nodes hold.
        let with_lanes = lanes.iter().map(|lane| lane.shard).collect();
        schedule.recovered(&shards.without(&with_lanes));
        let lanes = lanes.len();
        tracing::info!(lanes, "{lanes} endpoints have deliveries from before");
        Ok(())
    }

    /// The registry shows another endpoint than before.
    fn endpoint_published(&self, change: EndpointChange<'_>) {
        match change {
            EndpointChange::Served(endpoint) => self.configure(endpoint),
            EndpointChange::Removed(endpoint_id) => {
                for (lease_id, holder) in self.0.schedule.remove(endpoint_id) {
                    self.0.holders.revoke(holder, lease_id);
                }
            }
        }
    }

    fn configure(&self, endpoint: &LiveEndpoint) {
        let Endpoint {
            id,
            shard,
            state,
            settings,
            ..
        } = &endpoint.endpoint;
        let (served_by, concurrency) = match endpoint.target {
            LiveTarget::Url(_) => (HolderKind::Node, settings.concurrency),
            // Its streams say how much they can take.
            LiveTarget::Consumer(_) => (HolderKind::Consumer, u32::MAX),
        };
        let settings = LaneSettings {
            state: *state,
            concurrency,
            served_by,
        };
        self.0.schedule.configure(*shard, *id, settings);
    }

    /// Opens a stream of a holder.
    fn open<P: Protocol>(
        &self,
        holder: HolderId,
        key_id: KeyId,
        about: About,
    ) -> Result<Opened, Error> {
        let now_ms = self.0.core.clock.now_ms();
        let opened = self.0.holders.open(holder, key_id, about, now_ms);
        self.0.core.metrics.opened(P::STREAM, &opened);
        self.count_holders();
        opened
    }

    /// Shows how many holders of each kind have a stream.
    fn count_holders(&self) {
        let (holders, metrics) = (&self.0.holders, &self.0.core.metrics);
        let count = |kind| i64::try_from(holders.count(kind)).unwrap_or(i64::MAX);
        metrics.sessions.set(count(HolderKind::Node));
        metrics.consumers.set(count(HolderKind::Consumer));
    }

    /// The holders of a kind that have a stream, by id, with what they hold.
    pub(crate) fn connected(&self, kind: HolderKind) -> Vec<Connected> {
        let held = self.0.schedule.held_by_each();
        let mut connected = self.0.holders.connected(kind);
        for one in &mut connected {
            one.in_flight = held.get(&one.holder).copied().unwrap_or_default();
        }
        connected.sort_by_key(|one| one.holder.uuid());
        connected
    }

    /// How many attempts for an endpoint are under way.
    pub(crate) fn in_flight(&self, shard: Shard, endpoint_id: EndpointId) -> u32 {
        self.0.schedule.in_flight(shard, endpoint_id)
    }

    /// What the schedule holds, and how many bytes of payloads.
    pub(crate) fn loaded(&self) -> (Loaded, usize) {
        (self.0.schedule.loaded(), self.0.payloads.used())
    }

    /// The longest payload, in bytes.
    pub(crate) fn payload_bytes_max(&self) -> usize {
        self.0.payload_bytes_max
    }
}
