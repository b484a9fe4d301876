//! The schedule: which delivery goes out next, and who is at work on what.
//!
//! The shards are in groups, each behind a lock of its own: what is done to one tenant waits for nobody else's. Every
//! operation takes one of them at a time, does one thing and lets go; afterwards it wakes whoever now has something to do:
//! holders when a lane is ready, the pager when a lane wants a page, the timer when it has to fire earlier.

mod group;
mod lane;
mod lease;
mod leases;
mod serving;
mod waiters;

use std::{
    collections::HashSet,
    ptr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{sync::Notify, time::Instant};

pub(crate) use self::group::Loaded;
use self::{
    group::{Group, Shared},
    lane::Key,
    lease::Taker,
    waiters::Waiters,
};
pub(super) use self::{
    group::{LaneSettings, PageWanted},
    lane::Entry,
    lease::{Grant, Granted, Lost, Reported, Settled},
};
use super::payloads::HeldEvent;
use crate::{
    clock::{self, Clock},
    lock::Leaf,
    model::{
        event::Event,
        id::{DeliveryId, EndpointId, Shard},
        lease::{HolderId, LeaseKey},
        shard::ShardSet,
    },
    store::{DueDelivery, EmitRow, OpenLane},
};

/// Into how many groups the shards are divided.
const GROUPS: usize = 16;
/// How many leases a node takes from one group before the next one has its turn.
const TURN_OF_GROUP: usize = 32;

/// Which delivery goes out next, and who is at work on what.
#[derive(Debug)]
pub(super) struct Schedule {
    groups: Vec<Leaf<Group>>,
    shared: Arc<Shared>,
    /// The group that is asked first for what a node can take.
    first: AtomicUsize,
    nodes: Leaf<Waiters>,
    /// A lane wants a page.
    hungry: Notify,
    /// The first timer may be another one.
    timer: Notify,
    started: Instant,
    clock: Clock,
}

/// Who is to be woken after something was done.
#[derive(Debug, Clone, Copy, Default)]
struct Wake {
    has_ready: bool,
    is_hungry: bool,
    is_earlier: bool,
}

/// Whose attempts a consumer's stream makes.
#[derive(Debug, Clone)]
pub(super) struct Served {
    /// The shard of its tenant.
    pub shard: Shard,
    /// Its handlers.
    pub endpoints: Vec<EndpointId>,
}

impl Wake {
    /// Does something to a group, and notes who is to be woken for that.
    fn after<R>(
        &mut self,
        group: &mut Group,
        now_ms: i64,
        operation: impl FnOnce(&mut Group, i64) -> R,
    ) -> R {
        let timer = group.next_timer();
        let done = operation(group, now_ms);
        self.has_ready |= group.has_ready();
        self.is_hungry |= group.is_hungry();
        self.is_earlier |= match (group.next_timer(), timer) {
            (Some(now), Some(before)) => now < before,
            (now, None) => now.is_some(),
            (None, _) => false,
        };
        done
    }
}

impl Schedule {
    /// An empty one. `epoch` must differ from that of every earlier process: lease ids begin with it.
    pub(super) fn new(epoch: u32, clock: Clock) -> Self {
        let shared = Shared::new(epoch);
        let group = |_| Leaf::new(Group::new(Arc::clone(&shared)));
        Self {
            groups: (0..GROUPS).map(group).collect(),
            shared,
            first: AtomicUsize::new(0),
            nodes: Leaf::default(),
            hungry: Notify::new(),
            timer: Notify::new(),
            started: clock::monotonic(),
            clock,
        }
    }

    /// Milliseconds since this was made, by the monotonic clock.
    pub(super) fn uptime_ms(&self) -> u64 {
        let elapsed = clock::monotonic().duration_since(self.started);
        u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
    }

    fn group(&self, shard: Shard) -> &Leaf<Group> {
        &self.groups[usize::from(shard.0) % GROUPS]
    }

    /// Does something to the group of a shard.
    fn of<R>(&self, shard: Shard, operation: impl FnOnce(&mut Group, i64) -> R) -> R {
        let mut wake = Wake::default();
        let done = wake.after(
            &mut self.group(shard).lock(),
            self.clock.now_ms(),
            operation,
        );
        self.wake(wake);
        done
    }

    /// Does something to every group, one after the other.
    fn of_all(&self, mut operation: impl FnMut(&mut Group, i64)) {
        let mut wake = Wake::default();
        for group in &self.groups {
            wake.after(&mut group.lock(), self.clock.now_ms(), &mut operation);
        }
        self.wake(wake);
    }

    /// Does something to one group after the other, as items come that belong to them. Wakes at the end, so that who is
    /// woken finds all of it.
    fn of_each<T>(
        &self,
        items: impl Iterator<Item = (Shard, T)>,
        mut operation: impl FnMut(&mut Group, T, i64),
    ) {
        let mut wake = Wake::default();
        let mut items = items.peekable();
        while let Some((first, item)) = items.next() {
            let group = self.group(first);
            wake.after(&mut group.lock(), self.clock.now_ms(), |held, now_ms| {
                operation(held, item, now_ms);
                let is_same = |(shard, _): &(Shard, T)| ptr::eq(self.group(*shard), group);
                while let Some((_, item)) = items.next_if(is_same) {
                    operation(held, item, now_ms);
                }
            });
        }
        self.wake(wake);
    }

    fn wake(&self, wake: Wake) {
        if wake.has_ready {
            self.nodes.lock().wake();
        }
        if wake.is_hungry {
            self.hungry.notify_one();
        }
        if wake.is_earlier {
            self.timer.notify_one();
        }
    }

    /// How much it holds.
    pub(super) fn loaded(&self) -> Loaded {
        let mut loaded = Loaded {
            waiting: self.shared.loaded(),
            ..Loaded::default()
        };
        for group in &self.groups {
            group.lock().add_to(&mut loaded);
        }
        loaded
    }
}

/// Lanes.
impl Schedule {
    /// Makes or changes the lane of an endpoint.
    pub(super) fn configure(&self, shard: Shard, endpoint_id: EndpointId, settings: LaneSettings) {
        self.of(shard, |group, now_ms| {
            group.configure(shard, endpoint_id, settings, now_ms);
        });
    }

    /// Stops the lane of an endpoint: what waits stays in the table.
    pub(super) fn close(&self, shard: Shard, endpoint_id: EndpointId) {
        self.of(shard, |group, _| group.close(endpoint_id));
    }

    /// Drops the lane of an endpoint that is gone. Returns what is leased, with the holders: nothing follows from it.
    pub(super) fn remove(&self, endpoint_id: EndpointId) -> Vec<(u64, HolderId)> {
        let mut abandoned = Vec::new();
        self.of_all(|group, _| {
            group.remove(endpoint_id);
            abandoned.append(&mut group.abandon_all(endpoint_id));
        });
        abandoned
    }

    /// Has a lane read the table anew: it may hold what memory does not know.
    pub(super) fn mark_stale(&self, shard: Shard, endpoint_id: EndpointId) {
        self.of(shard, |group, now_ms| {
            group.mark_stale(shard, endpoint_id, now_ms);
        });
    }

    /// Notes what the table held before this process, and for whom nobody is there any more.
    pub(super) fn recover(&self, lanes: &[OpenLane], is_there: impl Fn(EndpointId) -> bool) {
        for lane in lanes {
            self.mark_stale(lane.shard, lane.endpoint_id);
            if !is_there(lane.endpoint_id) {
                self.close(lane.shard, lane.endpoint_id);
            }
        }
    }

    /// Ends the time after a start in which nothing of these shards is read from the table.
    pub(super) fn recovered(&self, shards: &ShardSet) {
        self.of_all(|group, now_ms| group.recovered(shards, now_ms));
    }

    /// The next page to read. Waits until a lane wants one.
    pub(super) async fn next_page(&self) -> PageWanted {
        loop {
            for group in &self.groups {
                if let Some(page) = group.lock().next_page() {
                    return page;
                }
            }
            self.hungry.notified().await;
        }
    }

    /// Takes in a page. None: it could not be read.
    pub(super) fn page_read(&self, page: &PageWanted, rows: Option<&[DueDelivery]>) {
        self.of(page.shard, |group, now_ms| {
            group.page_read(page, rows, now_ms);
        });
    }

    /// Lets lanes take their turn whose time has come. Returns when to call again.
    pub(super) fn fire(&self) -> Option<i64> {
        let mut next = None;
        self.of_all(|group, now_ms| {
            next = group.fire(now_ms).into_iter().chain(next).min();
        });
        next
    }

    /// Waits until [`Self::fire`] may have to be called earlier than it said.
    pub(super) async fn timer_changed(&self) {
        self.timer.notified().await;
    }
}

/// Deliveries.
impl Schedule {
    /// Notes that events are about to be written: until they are, no page brings their deliveries.
    pub(super) fn writing<'a>(&self, rows: impl Iterator<Item = &'a EmitRow>) {
        let events = rows.map(|row| (row.event.id.shard(), row.event.id));
        self.of_each(events, |group, id, _| group.writing(id));
    }

    /// Notes that events are written, and adds the deliveries of those that are new, each with its event if that is held.
    pub(super) fn written<'a>(
        &self,
        rows: impl Iterator<Item = (&'a EmitRow, bool)>,
        hold: impl Fn(&Arc<Event>) -> Option<Arc<HeldEvent>>,
    ) {
        let rows = rows.map(|(row, is_new)| (row.event.id.shard(), (row, is_new)));
        self.of_each(rows, |group, (row, is_new), now_ms| {
            group.written(row.event.id);
            if !is_new || row.endpoints.is_empty() {
                return;
            }
            let event = hold(&row.event);
            for (delivery_id, endpoint_id) in row.deliveries() {
                let key = (row.event.id.created_at(), delivery_id);
                group.admit(endpoint_id, key, Entry::fresh(event.clone()), now_ms);
            }
        });
    }

    /// Notes that events were not written, or perhaps were: the lanes that they go to read the table anew.
    pub(super) fn not_written<'a>(&self, rows: impl Iterator<Item = &'a EmitRow>) {
        let rows = rows.map(|row| (row.event.id.shard(), row));
        self.of_each(rows, |group, row, now_ms| {
            group.written(row.event.id);
            for endpoint_id in &row.endpoints {
                group.mark_stale(row.event.id.shard(), *endpoint_id, now_ms);
            }
        });
    }

    /// Takes a delivery out, so that it can be changed. False: an attempt of it is under way.
    pub(super) fn take_out(&self, endpoint_id: EndpointId, id: DeliveryId) -> bool {
        self.of(id.shard(), |group, now_ms| {
            let is_free = !group.is_leased(id);
            if is_free {
                group.forget(endpoint_id, id, now_ms);
            }
            is_free
        })
    }

    /// Forgets a delivery that ended. Returns its lease with the holder, if an attempt is under way: nothing follows from
    /// it.
    pub(super) fn end(&self, endpoint_id: EndpointId, id: DeliveryId) -> Option<(u64, HolderId)> {
        self.of(id.shard(), |group, now_ms| {
            group.forget(endpoint_id, id, now_ms);
            group.abandon(id)
        })
    }

    /// Puts back a delivery that was changed.
    pub(super) fn put_back(&self, endpoint_id: EndpointId, due: &DueDelivery) {
        let key: Key = (due.due_at, due.id);
        self.of(due.id.shard(), |group, now_ms| {
            group.forget(endpoint_id, due.id, now_ms);
            group.admit(endpoint_id, key, Entry::paged(due), now_ms);
        });
    }
}

/// Leases.
impl Schedule {
    /// Has a node woken when there is something to take.
    pub(super) fn serve_nodes(&self, holder: HolderId, waker: &Arc<Notify>) {
        self.nodes.lock().add(holder, waker);
        waker.notify_one();
    }

    /// Ends that. The others are woken, for what this one was woken for and did not take.
    pub(super) fn leave_nodes(&self, holder: HolderId) {
        let mut nodes = self.nodes.lock();
        nodes.remove(holder);
        nodes.wake();
    }

    /// Leases up to `max` deliveries to a node: the groups in turn, and within each the lanes in turn.
    pub(super) fn take(&self, max: usize, holder: HolderId) -> Vec<Grant> {
        let mut grants = Vec::new();
        // What a node does with a request does not depend on what is in it.
        let mut taker = self.taker(holder, usize::MAX);
        let mut wake = Wake::default();
        let first = self.first.fetch_add(1, Ordering::Relaxed);
        loop {
            let before = grants.len();
            for number in 0..GROUPS {
                let turn = TURN_OF_GROUP.min(max - grants.len());
                let group = &self.groups[first.wrapping_add(number) % GROUPS];
                wake.after(&mut group.lock(), taker.now_ms, |group, _| {
                    group.take(turn, &mut taker, &mut grants);
                });
            }
            if grants.len() == before || grants.len() >= max {
                self.wake(Wake {
                    has_ready: false,
                    ..wake
                });
                return grants;
            }
        }
    }

    /// Has a consumer's stream woken when one of its handlers has something due.
    pub(super) fn serve(&self, served: &Served, holder: HolderId, waker: &Arc<Notify>) {
        self.of(served.shard, |group, _| {
            group.serve(served.shard, &served.endpoints, holder, waker);
        });
    }

    /// Ends that.
    pub(super) fn leave(&self, served: &Served, holder: HolderId) {
        self.of(served.shard, |group, _| {
            group.leave(&served.endpoints, holder);
        });
    }

    /// Leases up to `max` deliveries of some handlers to a consumer's stream, `suspects` among them at the most. The
    /// handler of the number `first` has its turn first.
    pub(super) fn take_from(
        &self,
        served: &Served,
        first: usize,
        (max, suspects): (usize, usize),
        holder: HolderId,
    ) -> Vec<Grant> {
        let mut taker = self.taker(holder, suspects);
        self.of(served.shard, |group, _| {
            group.take_from(&served.endpoints, first, max, &mut taker)
        })
    }

    fn taker(&self, holder: HolderId, suspects: usize) -> Taker {
        Taker {
            holder,
            now_ms: self.clock.now_ms(),
            granted_at: self.uptime_ms(),
            suspects,
        }
    }

    /// Takes over a lease that a node holds from before this process, unless the delivery is leased already.
    pub(super) fn adopt(
        &self,
        lease_id: u64,
        holder: HolderId,
        row: &DueDelivery,
        endpoint_id: EndpointId,
    ) {
        let uptime_ms = self.uptime_ms();
        self.of(row.id.shard(), |group, _| {
            group.adopt(lease_id, holder, row, endpoint_id, uptime_ms);
        });
    }

    /// Whether a lease was granted by this process.
    pub(super) fn is_own_lease(&self, lease_id: u64) -> bool {
        self.shared.lease_ids.are_own(lease_id)
    }

    /// A lease id of its own for a late report whose lease is logged with another outcome already.
    pub(super) fn late_lease_id(&self) -> u64 {
        self.shared.lease_ids.next()
    }

    /// Whether an attempt may still begin under a lease.
    pub(super) fn is_current(&self, key: LeaseKey) -> bool {
        self.group(key.delivery_id.shard()).lock().is_current(key)
    }

    /// Takes a holder's reports on leases. The endpoints' slots are free from here on.
    pub(super) fn report(
        &self,
        holder: HolderId,
        keys: impl Iterator<Item = LeaseKey>,
    ) -> Vec<Reported> {
        let mut reported = Vec::with_capacity(keys.size_hint().0);
        let keys = keys.map(|key| (key.delivery_id.shard(), key));
        self.of_each(keys, |group, key, now_ms| {
            reported.push(group.report(holder, key, now_ms));
        });
        reported
    }

    /// Ends reported leases after what followed from them was written.
    pub(super) fn settle(&self, leases: impl Iterator<Item = (LeaseKey, Settled)>) {
        let leases = leases.map(|(key, settled)| (key.delivery_id.shard(), (key, settled)));
        self.of_each(leases, |group, (key, settled), now_ms| {
            group.settle(key.delivery_id, key.lease_id, settled, now_ms);
        });
    }

    /// Forgets a delivery that a late success ended.
    pub(super) fn forget(&self, endpoint_id: EndpointId, id: DeliveryId) {
        self.of(id.shard(), |group, now_ms| {
            group.forget(endpoint_id, id, now_ms);
        });
    }

    /// Takes back leases under which nothing was begun, those that are the holder's.
    pub(super) fn release(&self, holder: HolderId, keys: impl Iterator<Item = LeaseKey>) {
        let keys = keys.map(|key| (key.delivery_id.shard(), key));
        self.of_each(keys, |group, key, now_ms| {
            group.release(holder, key, now_ms);
        });
    }

    /// Takes back what a holder held and no longer names.
    pub(super) fn lose(&self, holder: HolderId, still_held: &HashSet<u64>) -> Lost {
        let mut lost = Lost::default();
        self.of_all(|group, now_ms| group.lose(holder, still_held, now_ms, &mut lost));
        lost
    }

    /// Takes back what was granted to nodes so many milliseconds ago, or earlier.
    pub(super) fn lose_older(&self, age_ms: u64) -> Lost {
        let mut lost = Lost::default();
        if let Some(granted_by) = self.uptime_ms().checked_sub(age_ms) {
            self.of_all(|group, now_ms| group.lose_older(granted_by, now_ms, &mut lost));
        }
        lost
    }
}

#[cfg(test)]
mod tests;
