//! The scheduler: which delivery goes out next. Pure state behind one lock.
//!
//! Endpoints take turns: a lane with something due stands in a ring, and each turn leases a few deliveries at most, never
//! more than the endpoint's own concurrency. So a slow or dead endpoint holds only its own slots. Leases are soft: they
//! live here and nowhere else, and after a crash the table tells what is open.
//!
//! A delivery is in exactly one place: in its lane's window, leased, or in the table only, beyond the lane's horizon.
//! Nothing here reads a clock, waits or knows the database.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
};

use super::{
    lane::{Entry, FRONT, Key, Lane, LaneState},
    payload::HeldEvent,
};
use crate::{
    model::{
        endpoint::EndpointState,
        id::{DeliveryId, EndpointId, NodeId, Shard},
    },
    store::DueDelivery,
};

/// How many deliveries one lane keeps in memory.
const WINDOW_MAX: usize = 1_024;
/// How many it keeps when the lanes together hold more than [`LOADED_MAX`].
const WINDOW_TIGHT: usize = 32;
/// How many deliveries all lanes keep in memory before each keeps fewer.
const LOADED_MAX: usize = 200_000;
/// How many leases a lane gets in one turn.
const TURN: usize = 8;
/// How many leases in a row may be lost before a delivery is dead.
pub(super) const LOST_MAX: u8 = 5;

/// A lease as granted.
#[derive(Debug, Clone)]
pub(super) struct Grant {
    /// The lease.
    pub lease_id: u64,
    /// Its delivery.
    pub delivery_id: DeliveryId,
    /// Where it goes.
    pub endpoint_id: EndpointId,
    /// Attempts made so far.
    pub attempt_count: u32,
    /// The event, when memory holds it.
    pub event: Option<Arc<HeldEvent>>,
}

/// A lease as reported on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Granted {
    /// Where it went.
    pub endpoint_id: EndpointId,
    /// Attempts made before it.
    pub attempt_count: u32,
    /// Attempts made before the last retry by an operator.
    pub attempt_base: u32,
}

/// What a report meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reported {
    /// The lease is the delivery's current one: what follows is up to the caller, then [`Scheduler::settle`].
    Current(Granted),
    /// The same report came before and is being written.
    Repeated,
    /// Another node holds the lease.
    OtherNode,
    /// The lease was lost, or was never granted by this process.
    Lost,
}

/// What became of a reported lease once it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settled {
    /// The delivery ended.
    Ended,
    /// Another attempt is due at this instant.
    RetryAt(i64),
    /// Somebody else moved the delivery in the meantime: the table knows.
    Unknown,
}

/// A delivery whose lease went back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LostTooOften {
    /// The delivery.
    pub delivery_id: DeliveryId,
    /// Attempts made.
    pub attempt_count: u32,
    /// Its lease, to settle.
    pub lease_id: u64,
}

/// A page that a lane wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PageWanted {
    /// The shard of the lane.
    pub shard: Shard,
    /// The lane.
    pub endpoint_id: EndpointId,
    /// Where to read from.
    pub from: Key,
    /// How many rows.
    pub limit: usize,
}

/// How many deliveries the scheduler holds.
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

#[derive(Debug)]
struct Lease {
    lease_id: u64,
    node_id: NodeId,
    endpoint_id: EndpointId,
    key: Key,
    entry: Entry,
    /// Milliseconds of the owner's monotonic clock.
    granted_at: u64,
    reported: bool,
}

#[derive(Debug)]
struct Slot {
    lane: Lane,
    in_ring: bool,
    timer: Option<i64>,
    hungry: bool,
}

/// Which delivery goes out next.
#[derive(Debug)]
pub(super) struct Scheduler {
    lanes: HashMap<EndpointId, Slot>,
    ring: VecDeque<EndpointId>,
    timers: BTreeSet<(i64, EndpointId)>,
    hungry: VecDeque<EndpointId>,
    leases: HashMap<DeliveryId, Lease>,
    loaded: usize,
    next_lease_id: u64,
    recovering: bool,
}

impl Scheduler {
    /// An empty scheduler. `epoch` must differ from that of every earlier process: lease ids begin with it.
    pub(super) fn new(epoch: u32) -> Self {
        Self {
            lanes: HashMap::new(),
            ring: VecDeque::new(),
            timers: BTreeSet::new(),
            hungry: VecDeque::new(),
            leases: HashMap::new(),
            loaded: 0,
            next_lease_id: u64::from(epoch) << 32 | 1,
            recovering: true,
        }
    }

    /// Whether a lease id may have been granted by this process.
    pub(super) fn is_own_lease(&self, lease_id: u64) -> bool {
        lease_id >> 32 == self.next_lease_id >> 32
    }

    /// Makes or changes the lane of an endpoint.
    pub(super) fn configure(
        &mut self,
        shard: Shard,
        endpoint_id: EndpointId,
        state: EndpointState,
        concurrency: u32,
        now_ms: i64,
    ) {
        let slot = slot(&mut self.lanes, endpoint_id, shard, None);
        slot.lane.open = state == EndpointState::Enabled;
        slot.lane.concurrency = concurrency;
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
        self.loaded -= slot.lane.len();
        if let Some(due_at) = slot.timer {
            self.timers.remove(&(due_at, endpoint_id));
        }
    }

    /// Notes that the table holds rows of an endpoint that memory may not know.
    pub(super) fn suspect(&mut self, shard: Shard, endpoint_id: EndpointId, now_ms: i64) {
        slot(&mut self.lanes, endpoint_id, shard, Some(FRONT))
            .lane
            .give_up(FRONT);
        self.place(endpoint_id, now_ms);
    }

    /// Ends the time after a start in which nothing is read from the table.
    pub(super) fn recovered(&mut self, now_ms: i64) {
        self.recovering = false;
        for endpoint_id in self.lanes.keys().copied().collect::<Vec<_>>() {
            self.place(endpoint_id, now_ms);
        }
    }

    /// Whether nothing is read from the table yet.
    pub(super) fn is_recovering(&self) -> bool {
        self.recovering
    }

    /// Adds a delivery that was just written.
    pub(super) fn admit(&mut self, endpoint_id: EndpointId, key: Key, entry: Entry, now_ms: i64) {
        self.insert(key.1.shard(), endpoint_id, key, entry);
        self.place(endpoint_id, now_ms);
    }

    /// Leases up to `max` deliveries to a node, the lanes in turn.
    pub(super) fn take(
        &mut self,
        max: usize,
        node_id: NodeId,
        now_ms: i64,
        granted_at: u64,
    ) -> Vec<Grant> {
        let mut grants = Vec::new();
        while grants.len() < max {
            let Some(endpoint_id) = self.ring.pop_front() else {
                break;
            };
            let turn = TURN.min(max - grants.len());
            self.take_turn(
                endpoint_id,
                turn,
                node_id,
                (now_ms, granted_at),
                &mut grants,
            );
            self.place(endpoint_id, now_ms);
        }
        grants
    }

    fn take_turn(
        &mut self,
        endpoint_id: EndpointId,
        turn: usize,
        node_id: NodeId,
        (now_ms, granted_at): (i64, u64),
        grants: &mut Vec<Grant>,
    ) {
        let Some(slot) = self.lanes.get_mut(&endpoint_id) else {
            return;
        };
        slot.in_ring = false;
        for _ in 0..turn {
            if slot.lane.state(now_ms) != LaneState::Ready {
                break;
            }
            let Some((key, mut entry)) = slot.lane.pop_due(now_ms) else {
                break;
            };
            self.loaded -= 1;
            slot.lane.running += 1;
            let lease_id = self.next_lease_id;
            self.next_lease_id += 1;
            grants.push(Grant {
                lease_id,
                delivery_id: key.1,
                endpoint_id,
                attempt_count: entry.attempt_count,
                event: entry.event.take(),
            });
            let lease = Lease {
                lease_id,
                node_id,
                endpoint_id,
                key,
                entry,
                granted_at,
                reported: false,
            };
            self.leases.insert(key.1, lease);
        }
    }

    /// Takes over a lease that a node holds from before this process, unless the delivery is leased already.
    pub(super) fn adopt(
        &mut self,
        lease_id: u64,
        node_id: NodeId,
        row: &DueDelivery,
        endpoint_id: EndpointId,
        granted_at: u64,
    ) {
        if self.leases.contains_key(&row.id) {
            return;
        }
        let slot = slot(&mut self.lanes, endpoint_id, row.id.shard(), Some(FRONT));
        if slot.lane.remove(row.id).is_some() {
            self.loaded -= 1;
        }
        slot.lane.running += 1;
        let lease = Lease {
            lease_id,
            node_id,
            endpoint_id,
            key: (row.due_at, row.id),
            entry: Entry::paged(row),
            granted_at,
            reported: false,
        };
        self.leases.insert(row.id, lease);
    }

    /// Takes a node's report on a lease. The endpoint's slot is free from here on.
    pub(super) fn report(
        &mut self,
        node_id: NodeId,
        delivery_id: DeliveryId,
        lease_id: u64,
        now_ms: i64,
    ) -> Reported {
        let Some(lease) = self
            .leases
            .get_mut(&delivery_id)
            .filter(|lease| lease.lease_id == lease_id)
        else {
            return Reported::Lost;
        };
        if lease.node_id != node_id {
            return Reported::OtherNode;
        }
        if std::mem::replace(&mut lease.reported, true) {
            return Reported::Repeated;
        }
        let granted = Granted {
            endpoint_id: lease.endpoint_id,
            attempt_count: lease.entry.attempt_count,
            attempt_base: lease.entry.attempt_base,
        };
        self.free_slot(granted.endpoint_id, now_ms);
        Reported::Current(granted)
    }

    /// Ends a reported lease after what followed from it was written.
    pub(super) fn settle(
        &mut self,
        delivery_id: DeliveryId,
        lease_id: u64,
        settled: Settled,
        now_ms: i64,
    ) {
        let is_this = |lease: &Lease| lease.lease_id == lease_id && lease.reported;
        if !self.leases.get(&delivery_id).is_some_and(is_this) {
            return;
        }
        let Some(lease) = self.leases.remove(&delivery_id) else {
            return;
        };
        if let Some(slot) = self.lanes.get_mut(&lease.endpoint_id) {
            slot.lane.outdate(delivery_id);
        }
        match settled {
            Settled::Ended => {}
            Settled::RetryAt(due_at) => {
                let entry = Entry {
                    attempt_count: lease.entry.attempt_count + 1,
                    lost: 0,
                    event: None,
                    ..lease.entry
                };
                self.insert(
                    delivery_id.shard(),
                    lease.endpoint_id,
                    (due_at, delivery_id),
                    entry,
                );
            }
            Settled::Unknown => {
                slot(
                    &mut self.lanes,
                    lease.endpoint_id,
                    delivery_id.shard(),
                    None,
                )
                .lane
                .give_up(FRONT);
            }
        }
        self.place(lease.endpoint_id, now_ms);
    }

    /// Takes back a lease under which nothing was begun. False: the lease is not the node's.
    pub(super) fn release(
        &mut self,
        node_id: NodeId,
        delivery_id: DeliveryId,
        lease_id: u64,
        now_ms: i64,
    ) -> bool {
        let is_this = |lease: &Lease| {
            lease.lease_id == lease_id && lease.node_id == node_id && !lease.reported
        };
        if !self.leases.get(&delivery_id).is_some_and(is_this) {
            return false;
        }
        if let Some(lease) = self.leases.remove(&delivery_id) {
            self.put_back(lease, now_ms);
        }
        true
    }

    /// Takes back what a node held and no longer names. Deliveries that lost too many leases stay out, reported, until
    /// they are settled.
    pub(super) fn lose(
        &mut self,
        node_id: NodeId,
        still_held: &std::collections::HashSet<u64>,
        now_ms: i64,
    ) -> Vec<LostTooOften> {
        let is_lost =
            |lease: &Lease| lease.node_id == node_id && !still_held.contains(&lease.lease_id);
        self.lose_where(is_lost, now_ms)
    }

    /// Takes back what was granted at or before an instant of the owner's monotonic clock.
    pub(super) fn lose_older(&mut self, granted_by: u64, now_ms: i64) -> Vec<LostTooOften> {
        self.lose_where(|lease| lease.granted_at <= granted_by, now_ms)
    }

    fn lose_where(&mut self, is_lost: impl Fn(&Lease) -> bool, now_ms: i64) -> Vec<LostTooOften> {
        let lost = self
            .leases
            .iter()
            .filter(|(_, lease)| !lease.reported && is_lost(lease))
            .map(|(delivery_id, _)| *delivery_id)
            .collect::<Vec<_>>();
        lost.into_iter()
            .filter_map(|delivery_id| self.lose_one(delivery_id, now_ms))
            .collect()
    }

    fn lose_one(&mut self, delivery_id: DeliveryId, now_ms: i64) -> Option<LostTooOften> {
        let mut lease = self.leases.remove(&delivery_id)?;
        lease.entry.lost += 1;
        if lease.entry.lost < LOST_MAX {
            self.put_back(lease, now_ms);
            return None;
        }
        let lost = LostTooOften {
            delivery_id,
            attempt_count: lease.entry.attempt_count,
            lease_id: lease.lease_id,
        };
        self.free_slot(lease.endpoint_id, now_ms);
        lease.reported = true;
        self.leases.insert(delivery_id, lease);
        Some(lost)
    }

    /// Whether an attempt of a delivery is under way or being written.
    pub(super) fn is_leased(&self, delivery_id: DeliveryId) -> bool {
        self.leases.contains_key(&delivery_id)
    }

    /// The lease of a delivery and the node that holds it.
    pub(super) fn lease_of(&self, delivery_id: DeliveryId) -> Option<(u64, NodeId)> {
        self.leases
            .get(&delivery_id)
            .filter(|lease| !lease.reported)
            .map(|lease| (lease.lease_id, lease.node_id))
    }

    /// Takes a delivery out of its window, because an operator moved or ended it.
    pub(super) fn forget(&mut self, endpoint_id: EndpointId, delivery_id: DeliveryId, now_ms: i64) {
        let Some(slot) = self.lanes.get_mut(&endpoint_id) else {
            return;
        };
        slot.lane.outdate(delivery_id);
        if slot.lane.remove(delivery_id).is_some() {
            self.loaded -= 1;
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

    /// The next page to read.
    pub(super) fn next_page(&mut self) -> Option<PageWanted> {
        if self.recovering {
            return None;
        }
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
        self.loaded -= slot.lane.len();
        match rows {
            Some(rows) => {
                let leases = &self.leases;
                let is_leased = |id| leases.contains_key(&id);
                slot.lane
                    .page_end(rows, page.limit, limit.max(rows.len()), is_leased);
            }
            None => slot.lane.page_fail(),
        }
        self.loaded += slot.lane.len();
        self.place(page.endpoint_id, now_ms);
    }

    /// How many deliveries the scheduler holds.
    pub(super) fn loaded(&self) -> Loaded {
        Loaded {
            waiting: self.loaded,
            leased: self.leases.len(),
            lanes: self.lanes.len(),
            ready_lanes: self.ring.len(),
        }
    }

    /// Whether a lane has nothing in memory while it may deliver.
    pub(super) fn is_idle(&self, endpoint_id: EndpointId) -> bool {
        self.lanes
            .get(&endpoint_id)
            .is_none_or(|slot| slot.lane.open && slot.lane.is_empty() && slot.lane.running == 0)
    }

    fn window_limit(&self) -> usize {
        if self.loaded < LOADED_MAX {
            WINDOW_MAX
        } else {
            WINDOW_TIGHT
        }
    }

    fn insert(&mut self, shard: Shard, endpoint_id: EndpointId, key: Key, entry: Entry) {
        let limit = self.window_limit();
        let slot = slot(&mut self.lanes, endpoint_id, shard, None);
        self.loaded -= slot.lane.len();
        if self.recovering {
            slot.lane.insert_anywhere(key, entry, limit);
        } else {
            slot.lane.insert(key, entry, limit);
        }
        self.loaded += slot.lane.len();
    }

    fn put_back(&mut self, lease: Lease, now_ms: i64) {
        self.free_slot(lease.endpoint_id, now_ms);
        self.insert(
            lease.key.1.shard(),
            lease.endpoint_id,
            lease.key,
            lease.entry,
        );
        self.place(lease.endpoint_id, now_ms);
    }

    fn free_slot(&mut self, endpoint_id: EndpointId, now_ms: i64) {
        if let Some(slot) = self.lanes.get_mut(&endpoint_id) {
            slot.lane.running = slot.lane.running.saturating_sub(1);
            self.place(endpoint_id, now_ms);
        }
    }

    /// Puts a lane where its state belongs: in the ring, on a timer, among the hungry, or nowhere.
    fn place(&mut self, endpoint_id: EndpointId, now_ms: i64) {
        let limit = self.window_limit();
        let Some(slot) = self.lanes.get_mut(&endpoint_id) else {
            return;
        };
        if !self.recovering && !slot.hungry && slot.lane.wants_page(limit) {
            slot.hungry = true;
            self.hungry.push_back(endpoint_id);
        }
        let due_at = match slot.lane.state(now_ms) {
            LaneState::Ready => {
                if !slot.in_ring {
                    slot.in_ring = true;
                    self.ring.push_back(endpoint_id);
                }
                None
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

fn slot(
    lanes: &mut HashMap<EndpointId, Slot>,
    endpoint_id: EndpointId,
    shard: Shard,
    horizon: Option<Key>,
) -> &mut Slot {
    lanes.entry(endpoint_id).or_insert_with(|| Slot {
        lane: Lane::new(shard, horizon),
        in_ring: false,
        timer: None,
        hungry: false,
    })
}

#[cfg(test)]
mod tests;
