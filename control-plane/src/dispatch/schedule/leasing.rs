//! How holders take leases, report on them and lose them.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, atomic::Ordering},
};

use tokio::sync::Notify;

use super::{
    GROUPS, Schedule, Served, TURN_OF_GROUP, Wake,
    lease::{Grant, Lost, Reported, Settled, Taker},
};
use crate::{
    model::{
        id::{DeliveryId, EndpointId, Shard},
        lease::{HolderId, LeaseKey},
    },
    store::DueDelivery,
};

impl Schedule {
    /// Has a node woken when there is something to take.
    pub(in crate::dispatch) fn serve_nodes(&self, holder: HolderId, waker: &Arc<Notify>) {
        self.nodes.lock().add(holder, waker);
        waker.notify_one();
    }

    /// Ends that. The others are woken, for what this one was woken for and did not take.
    pub(in crate::dispatch) fn leave_nodes(&self, holder: HolderId) {
        let mut nodes = self.nodes.lock();
        nodes.remove(holder);
        nodes.wake();
    }

    /// Leases up to `max` deliveries to a node: the groups in turn, and within each the lanes in turn.
    pub(in crate::dispatch) fn take(&self, max: usize, holder: HolderId) -> Vec<Grant> {
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
    pub(in crate::dispatch) fn serve(
        &self,
        served: &Served,
        holder: HolderId,
        waker: &Arc<Notify>,
    ) {
        self.of(served.shard, |group, _| {
            group.serve(served.shard, &served.endpoints, holder, waker);
        });
    }

    /// Ends that.
    pub(in crate::dispatch) fn leave(&self, served: &Served, holder: HolderId) {
        self.of(served.shard, |group, _| {
            group.leave(&served.endpoints, holder);
        });
    }

    /// Leases up to `max` deliveries of some handlers to a consumer's stream, `suspects` among them at the most. The
    /// handler of the number `first` has its turn first.
    pub(in crate::dispatch) fn take_from(
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
    pub(in crate::dispatch) fn adopt(
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

    /// How many attempts for an endpoint are under way.
    pub(in crate::dispatch) fn in_flight(&self, shard: Shard, endpoint_id: EndpointId) -> u32 {
        self.group(shard).lock().in_flight(endpoint_id)
    }

    /// How many leases each holder holds that has some.
    pub(in crate::dispatch) fn held_by_each(&self) -> HashMap<HolderId, u32> {
        let mut held = HashMap::new();
        for group in &self.groups {
            group.lock().count_held(&mut held);
        }
        held
    }

    /// Whether a lease was granted by this process.
    pub(in crate::dispatch) fn is_own_lease(&self, lease_id: u64) -> bool {
        self.shared.lease_ids.are_own(lease_id)
    }

    /// A lease id of its own for a late report whose lease is logged with another outcome already.
    pub(in crate::dispatch) fn late_lease_id(&self) -> u64 {
        self.shared.lease_ids.next()
    }

    /// Whether an attempt may still begin under a lease.
    pub(in crate::dispatch) fn is_current(&self, key: LeaseKey) -> bool {
        self.group(key.delivery_id.shard()).lock().is_current(key)
    }

    /// Takes a holder's reports on leases. The endpoints' slots are free from here on.
    pub(in crate::dispatch) fn report(
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
    pub(in crate::dispatch) fn settle(&self, leases: impl Iterator<Item = (LeaseKey, Settled)>) {
        let leases = leases.map(|(key, settled)| (key.delivery_id.shard(), (key, settled)));
        self.of_each(leases, |group, (key, settled), now_ms| {
            group.settle(key.delivery_id, key.lease_id, settled, now_ms);
        });
    }

    /// Forgets a delivery that a late success ended.
    pub(in crate::dispatch) fn forget(&self, endpoint_id: EndpointId, id: DeliveryId) {
        self.of(id.shard(), |group, now_ms| {
            group.forget(endpoint_id, id, now_ms);
        });
    }

    /// Takes back leases under which nothing was begun, those that are the holder's.
    pub(in crate::dispatch) fn release(
        &self,
        holder: HolderId,
        keys: impl Iterator<Item = LeaseKey>,
    ) {
        let keys = keys.map(|key| (key.delivery_id.shard(), key));
        self.of_each(keys, |group, key, now_ms| {
            group.release(holder, key, now_ms);
        });
    }

    /// Takes back what a holder held and no longer names.
    pub(in crate::dispatch) fn lose(&self, holder: HolderId, still_held: &HashSet<u64>) -> Lost {
        let mut lost = Lost::default();
        self.of_all(|group, now_ms| group.lose(holder, still_held, now_ms, &mut lost));
        lost
    }

    /// Takes back what was granted to nodes so many milliseconds ago, or earlier.
    pub(in crate::dispatch) fn lose_older(&self, age_ms: u64) -> Lost {
        let mut lost = Lost::default();
        if let Some(granted_by) = self.uptime_ms().checked_sub(age_ms) {
            self.of_all(|group, now_ms| group.lose_older(granted_by, now_ms, &mut lost));
        }
        lost
    }
}
