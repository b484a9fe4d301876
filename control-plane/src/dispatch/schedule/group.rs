//! The lanes of some shards, and their leases. Pure state: nothing here reads a clock, waits or knows the database.
//!
//! Endpoints take turns: a lane with something due stands in a ring, and each turn leases a few deliveries at most, never
//! more than the endpoint's own concurrency. So a slow or dead endpoint holds only its own slots. Leases are soft: they
//! live here and nowhere else, and after a crash the table tells what is open. The lanes of consumers' handlers never
//! stand in the ring: the streams that serve them are woken, and take from these lanes alone.
//!
//! A delivery is in exactly one place: in its lane's window, leased, or in the table only, beyond the lane's horizon.

use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::{
    lane::{Entry, FRONT, Key, LaneState},
    lease::{Lease, LeaseIds},
    slot::{Slot, slot},
};
use crate::{
    model::{
        id::{DeliveryId, EndpointId, EventId, Shard},
        lease::HolderKind,
        object::ObjectState,
        shard::ShardSet,
    },
    store::DueDelivery,
};

/// How many deliveries one lane keeps in memory.
pub(super) const WINDOW_MAX: usize = 1_024;
/// How many it keeps when the lanes together hold more than [`LOADED_MAX`].
const WINDOW_TIGHT: usize = 32;
/// How many deliveries all lanes keep in memory before each keeps fewer.
const LOADED_MAX: usize = 200_000;

/// A page that a lane wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dispatch) struct PageWanted {
    /// The shard of the lane.
    pub shard: Shard,
    /// The lane.
    pub endpoint_id: EndpointId,
    /// Where to read from.
    pub from: Key,
    /// How many rows.
    pub limit: usize,
}

/// How many deliveries the schedule holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Loaded {
    /// In the windows of lanes.
    pub waiting: usize,
    /// Leased, or reported and being written.
    pub leased: usize,
    /// Lanes.
    pub lanes: usize,
    /// Lanes in the ring.
    pub ready_lanes: usize,
}

/// How a lane shall be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dispatch) struct LaneSettings {
    /// Whether attempts may begin.
    pub state: ObjectState,
    /// How many attempts may run at one time.
    pub concurrency: u32,
    /// Who makes them.
    pub served_by: HolderKind,
}

/// What all groups of one schedule have together.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) lease_ids: LeaseIds,
    /// How many deliveries the windows of all lanes hold.
    loaded: AtomicUsize,
}

/// The lanes of some shards.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) shared: Arc<Shared>,
    pub(super) lanes: HashMap<EndpointId, Slot>,
    pub(super) ring: VecDeque<EndpointId>,
    timers: BTreeSet<(i64, EndpointId)>,
    hungry: VecDeque<EndpointId>,
    pub(super) leases: HashMap<DeliveryId, Lease>,
    /// Events whose commit is under way: a page may see them before their emit is answered.
    writing: HashSet<EventId>,
    /// Of these shards nothing is read from the table yet.
    recovering: ShardSet,
}

impl Shared {
    /// Notes that a window holds so many deliveries instead of so many.
    pub(super) fn count(&self, before: usize, now: usize) {
        if now >= before {
            self.loaded.fetch_add(now - before, Ordering::Relaxed);
        } else {
            self.loaded.fetch_sub(before - now, Ordering::Relaxed);
        }
    }

    /// How many deliveries the windows of all lanes hold.
    pub(super) fn loaded(&self) -> usize {
        self.loaded.load(Ordering::Relaxed)
    }

    fn window_limit(&self) -> usize {
        if self.loaded() < LOADED_MAX {
            WINDOW_MAX
        } else {
            WINDOW_TIGHT
        }
    }

    /// What the groups of an owner have together. Its epoch differs from that of every earlier one.
    pub(super) fn new(epoch: u32) -> Arc<Self> {
        Arc::new(Self {
            lease_ids: LeaseIds::new(epoch),
            loaded: AtomicUsize::new(0),
        })
    }
}

impl Group {
    /// An empty group.
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            lanes: HashMap::new(),
            ring: VecDeque::new(),
            timers: BTreeSet::new(),
            hungry: VecDeque::new(),
            leases: HashMap::new(),
            writing: HashSet::new(),
            recovering: ShardSet::ALL,
        }
    }

    /// Makes or changes the lane of an endpoint.
    pub(super) fn configure(
        &mut self,
        shard: Shard,
        endpoint_id: EndpointId,
        settings: LaneSettings,
        now_ms: i64,
    ) {
        let slot = slot(&mut self.lanes, endpoint_id, shard, None);
        slot.lane.open = settings.state == ObjectState::Enabled;
        slot.lane.concurrency = settings.concurrency;
        slot.lane.served_by = settings.served_by;
        self.place(endpoint_id, now_ms);
    }

    /// Stops the lane of an endpoint: what waits stays in the table.
    pub(super) fn close(&mut self, endpoint_id: EndpointId) {
        if let Some(slot) = self.lanes.get_mut(&endpoint_id) {
            slot.lane.open = false;
        }
    }

    /// Drops the lane of an endpoint that is gone. What is leased ends by its report.
    pub(super) fn remove(&mut self, endpoint_id: EndpointId) {
        let Some(slot) = self.lanes.remove(&endpoint_id) else {
            return;
        };
        self.shared.count(slot.lane.len(), 0);
        if let Some(due_at) = slot.timer {
            self.timers.remove(&(due_at, endpoint_id));
        }
    }

    /// Notes that the table holds rows of an endpoint that memory may not know.
    pub(super) fn mark_stale(&mut self, shard: Shard, endpoint_id: EndpointId, now_ms: i64) {
        slot(&mut self.lanes, endpoint_id, shard, Some(FRONT))
            .lane
            .give_up(FRONT);
        self.place(endpoint_id, now_ms);
    }

    /// Ends the time after a start in which nothing of these shards is read from the table.
    pub(super) fn recovered(&mut self, shards: &ShardSet, now_ms: i64) {
        self.recovering.remove(shards);
        let lanes = self.lanes.iter();
        let lanes = lanes.filter(|(_, slot)| shards.contains(slot.lane.shard));
        for endpoint_id in lanes.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.place(endpoint_id, now_ms);
        }
    }

    /// Notes that an event is about to be written: until it is, no page brings its deliveries.
    pub(super) fn writing(&mut self, event_id: EventId) {
        self.writing.insert(event_id);
    }

    /// Notes that an event is written, or is not.
    pub(super) fn written(&mut self, event_id: EventId) {
        self.writing.remove(&event_id);
    }

    /// Adds a delivery that was just written.
    pub(super) fn admit(&mut self, endpoint_id: EndpointId, key: Key, entry: Entry, now_ms: i64) {
        self.insert(key.1.shard(), endpoint_id, key, entry);
        self.place(endpoint_id, now_ms);
    }

    /// Takes a delivery out of its window, because an operator moved or ended it.
    pub(super) fn forget(&mut self, endpoint_id: EndpointId, delivery_id: DeliveryId, now_ms: i64) {
        let Some(slot) = self.lanes.get_mut(&endpoint_id) else {
            return;
        };
        slot.lane.outdate(delivery_id);
        if slot.lane.remove(delivery_id).is_some() {
            self.shared.count(1, 0);
        }
        self.place(endpoint_id, now_ms);
    }

    /// Lets lanes whose time has come take their turn. Returns when to call again.
    pub(super) fn fire(&mut self, now_ms: i64) -> Option<i64> {
        while let Some((due_at, endpoint_id)) = self.timers.first().copied() {
            if due_at > now_ms {
                return Some(due_at);
            }
            self.timers.pop_first();
            if let Some(slot) = self.lanes.get_mut(&endpoint_id) {
                slot.timer = None;
            }
            self.place(endpoint_id, now_ms);
        }
        None
    }

    /// Whether a lane stands in the ring.
    pub(super) fn has_ready(&self) -> bool {
        !self.ring.is_empty()
    }

    /// Whether a lane wants a page.
    pub(super) fn is_hungry(&self) -> bool {
        !self.hungry.is_empty()
    }

    /// When the first timer fires.
    pub(super) fn next_timer(&self) -> Option<i64> {
        self.timers.first().map(|(due_at, _)| *due_at)
    }

    /// The next page to read.
    pub(super) fn next_page(&mut self) -> Option<PageWanted> {
        let limit = self.window_limit();
        while let Some(endpoint_id) = self.hungry.pop_front() {
            let Some(slot) = self.lanes.get_mut(&endpoint_id) else {
                continue;
            };
            slot.hungry = false;
            if slot.lane.wants_page(limit)
                && let Some(from) = slot.lane.page_begin()
            {
                return Some(PageWanted {
                    shard: slot.lane.shard,
                    endpoint_id,
                    from,
                    limit,
                });
            }
        }
        None
    }

    /// Takes in a page. None: it could not be read.
    pub(super) fn page_read(
        &mut self,
        page: &PageWanted,
        rows: Option<&[DueDelivery]>,
        now_ms: i64,
    ) {
        let limit = self.window_limit();
        let Some(slot) = self.lanes.get_mut(&page.endpoint_id) else {
            return;
        };
        let before = slot.lane.len();
        match rows {
            Some(rows) => {
                let (leases, writing) = (&self.leases, &self.writing);
                let is_leased =
                    |id: DeliveryId| leases.contains_key(&id) || writing.contains(&id.event());
                slot.lane
                    .page_end(rows, page.limit, limit.max(rows.len()), is_leased);
            }
            None => slot.lane.page_fail(),
        }
        self.shared.count(before, slot.lane.len());
        self.place(page.endpoint_id, now_ms);
    }

    /// Adds what the group holds to a count.
    pub(super) fn add_to(&self, loaded: &mut Loaded) {
        loaded.leased += self.leases.len();
        loaded.lanes += self.lanes.len();
        loaded.ready_lanes += self.ring.len();
    }

    fn window_limit(&self) -> usize {
        self.shared.window_limit()
    }

    pub(super) fn insert(&mut self, shard: Shard, endpoint_id: EndpointId, key: Key, entry: Entry) {
        if self.leases.contains_key(&key.1) {
            return;
        }
        let limit = self.window_limit();
        let slot = slot(&mut self.lanes, endpoint_id, shard, None);
        let before = slot.lane.len();
        if self.recovering.contains(shard) {
            slot.lane.insert_anywhere(key, entry, limit);
        } else {
            slot.lane.insert(key, entry, limit);
        }
        self.shared.count(before, slot.lane.len());
    }

    /// Puts a lane where its state belongs: in the ring, on a timer, among the hungry, or nowhere.
    pub(super) fn place(&mut self, endpoint_id: EndpointId, now_ms: i64) {
        let limit = self.window_limit();
        let Some(slot) = self.lanes.get_mut(&endpoint_id) else {
            return;
        };
        let is_recovering = self.recovering.contains(slot.lane.shard);
        if !is_recovering && !slot.hungry && slot.lane.wants_page(limit) {
            slot.hungry = true;
            self.hungry.push_back(endpoint_id);
        }
        let due_at = match slot.lane.state(now_ms) {
            LaneState::Ready => {
                if !slot.in_ring {
                    slot.in_ring = true;
                    match slot.lane.served_by {
                        HolderKind::Node => self.ring.push_back(endpoint_id),
                        HolderKind::Consumer => slot.waiters.wake(),
                    }
                }
                slot.wake_behind_suspects(now_ms)
            }
            LaneState::WaitingUntil(due_at) => Some(due_at),
            LaneState::Idle => None,
        };
        if slot.timer != due_at {
            if let Some(old) = slot.timer.take() {
                self.timers.remove(&(old, endpoint_id));
            }
            if let Some(due_at) = due_at {
                self.timers.insert((due_at, endpoint_id));
                slot.timer = Some(due_at);
            }
        }
    }
}
