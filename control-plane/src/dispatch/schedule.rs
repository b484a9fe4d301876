//! The schedule: which delivery goes out next, and who is at work on what.
//!
//! The shards are in groups, each behind a lock of its own: what is done to one tenant waits for nobody else's. Every
//! operation takes one of them at a time, does one thing and lets go; afterwards it wakes whoever now has something to do:
//! holders when a lane is ready, the pager when a lane wants a page, the timer when it has to fire earlier.

mod group;
mod lane;
mod lease;
mod leases;
mod leasing;
mod serving;
mod slot;
mod waiters;

use std::{
    ptr,
    sync::{Arc, atomic::AtomicUsize},
};

use tokio::{sync::Notify, time::Instant};

pub(crate) use self::group::Loaded;
use self::{
    group::{Group, Shared},
    lane::Key,
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
        lease::HolderId,
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

#[cfg(test)]
mod tests;
