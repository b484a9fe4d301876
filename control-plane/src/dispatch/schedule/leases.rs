//! The leases of a group: granted, reported, settled, lost.

use std::collections::{HashMap, HashSet};

use super::{
    group::Group,
    lane::{Entry, FRONT, LaneState},
    lease::{Grant, Granted, Lease, LeaseState, Lost, Reported, Settled, Taker},
    slot::{SUSPECT, slot},
};
use crate::{
    model::{
        id::{DeliveryId, EndpointId},
        lease::{HolderId, HolderKind, LeaseKey},
    },
    store::DueDelivery,
};

/// How many leases a lane gets in one turn.
const TURN: usize = 8;
/// How many leases in a row may be lost before a delivery is dead.
pub(super) const LOST_MAX: u8 = 5;

impl Group {
    /// Leases up to `max` deliveries to a node, the lanes in turn.
    pub(super) fn take(&mut self, max: usize, taker: &mut Taker, grants: &mut Vec<Grant>) {
        let max = grants.len() + max;
        while grants.len() < max {
            let Some(endpoint_id) = self.ring.pop_front() else {
                break;
            };
            self.take_turn(endpoint_id, max, taker, grants);
        }
    }

    /// Lets a lane take its turn: a few leases, while there are fewer than `max` in all.
    pub(super) fn take_turn(
        &mut self,
        endpoint_id: EndpointId,
        max: usize,
        taker: &mut Taker,
        grants: &mut Vec<Grant>,
    ) {
        let before = grants.len();
        let turn = TURN.min(max.saturating_sub(before));
        let Some(slot) = self.lanes.get_mut(&endpoint_id) else {
            return;
        };
        slot.in_ring = false;
        if slot.lane.served_by == taker.holder.kind() {
            self.lease(endpoint_id, turn, taker, grants);
            if grants.len() == before {
                self.rest(endpoint_id, taker.now_ms);
            }
        }
        self.place(endpoint_id, taker.now_ms);
    }

    fn lease(
        &mut self,
        endpoint_id: EndpointId,
        turn: usize,
        taker: &mut Taker,
        grants: &mut Vec<Grant>,
    ) {
        let Some(slot) = self.lanes.get_mut(&endpoint_id) else {
            return;
        };
        for _ in 0..turn {
            if slot.lane.state(taker.now_ms) != LaneState::Ready {
                break;
            }
            // Who may get no suspect gets what is due behind them.
            let lost = if taker.suspects == 0 {
                SUSPECT
            } else {
                u8::MAX
            };
            let Some((key, mut entry)) = slot.lane.pop_due(taker.now_ms, lost) else {
                break;
            };
            let is_suspect = entry.lost >= SUSPECT;
            self.shared.count(1, 0);
            slot.lane.running += 1;
            taker.suspects -= usize::from(is_suspect);
            let event = entry.event.take();
            let lease = Lease {
                lease_id: self.shared.lease_ids.next(),
                holder: taker.holder,
                endpoint_id,
                key,
                entry,
                granted_at: taker.granted_at,
                state: LeaseState::Held,
            };
            grants.push(Grant {
                key: lease.key(),
                endpoint_id,
                is_suspect,
                event,
            });
            self.leases.insert(key.1, lease);
        }
    }

    /// Takes over a lease that a node holds from before this process, unless the delivery is leased already.
    pub(super) fn adopt(
        &mut self,
        lease_id: u64,
        holder: HolderId,
        row: &DueDelivery,
        endpoint_id: EndpointId,
        granted_at: u64,
    ) {
        if self.leases.contains_key(&row.id) {
            return;
        }
        let slot = slot(&mut self.lanes, endpoint_id, row.id.shard(), Some(FRONT));
        if slot.lane.remove(row.id).is_some() {
            self.shared.count(1, 0);
        }
        slot.lane.running += 1;
        let lease = Lease {
            lease_id,
            holder,
            endpoint_id,
            key: (row.due_at, row.id),
            entry: Entry::paged(row),
            granted_at,
            state: LeaseState::Held,
        };
        self.leases.insert(row.id, lease);
    }

    /// Takes a holder's report on a lease. The endpoint's slot is free from here on.
    pub(super) fn report(&mut self, holder: HolderId, key: LeaseKey, now_ms: i64) -> Reported {
        let lease = self.leases.get_mut(&key.delivery_id);
        let Some(lease) = lease.filter(|lease| lease.lease_id == key.lease_id) else {
            return Reported::Lost;
        };
        if lease.holder != holder {
            return Reported::OtherHolder;
        }
        if std::mem::replace(&mut lease.state, LeaseState::Reported) == LeaseState::Reported {
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
        let is_this = |lease: &Lease| lease.lease_id == lease_id && lease.is_reported();
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

    /// Takes back a lease under which nothing was begun, if it is the holder's.
    pub(super) fn release(&mut self, holder: HolderId, key: LeaseKey, now_ms: i64) {
        let is_this = |lease: &Lease| {
            lease.lease_id == key.lease_id && lease.holder == holder && !lease.is_reported()
        };
        if self.leases.get(&key.delivery_id).is_some_and(is_this)
            && let Some(lease) = self.leases.remove(&key.delivery_id)
        {
            self.put_back(lease, now_ms);
        }
    }

    /// Takes back what a holder held and no longer names. Deliveries that lost too many leases stay out, reported, until
    /// they are settled.
    pub(super) fn lose(
        &mut self,
        holder: HolderId,
        still_held: &HashSet<u64>,
        now_ms: i64,
        lost: &mut Lost,
    ) {
        let is_lost =
            |lease: &Lease| lease.holder == holder && !still_held.contains(&lease.lease_id);
        self.lose_where(is_lost, now_ms, lost);
    }

    /// Takes back what was granted to nodes at or before an instant of the owner's monotonic clock. What a consumer
    /// holds ends with the time that it was given, or with its stream.
    pub(super) fn lose_older(&mut self, granted_by: u64, now_ms: i64, lost: &mut Lost) {
        let is_lost = |lease: &Lease| {
            lease.holder.kind() == HolderKind::Node && lease.granted_at <= granted_by
        };
        self.lose_where(is_lost, now_ms, lost);
    }

    fn lose_where(&mut self, is_lost: impl Fn(&Lease) -> bool, now_ms: i64, lost: &mut Lost) {
        let leases = self.leases.iter();
        let held = leases.filter(|(_, lease)| !lease.is_reported() && is_lost(lease));
        let held = held.map(|(delivery_id, _)| *delivery_id);
        for delivery_id in held.collect::<Vec<_>>() {
            lost.count += 1;
            lost.too_often.extend(self.lose_one(delivery_id, now_ms));
        }
    }

    fn lose_one(&mut self, delivery_id: DeliveryId, now_ms: i64) -> Option<(LeaseKey, EndpointId)> {
        let mut lease = self.leases.remove(&delivery_id)?;
        lease.entry.lost += 1;
        if lease.entry.lost < LOST_MAX || lease.state == LeaseState::Abandoned {
            self.put_back(lease, now_ms);
            return None;
        }
        self.free_slot(lease.endpoint_id, now_ms);
        lease.state = LeaseState::Reported;
        let lost = (lease.key(), lease.endpoint_id);
        self.leases.insert(delivery_id, lease);
        Some(lost)
    }

    /// How many attempts for an endpoint are under way.
    pub(super) fn in_flight(&self, endpoint_id: EndpointId) -> u32 {
        let slot = self.lanes.get(&endpoint_id);
        slot.map_or(0, |slot| slot.lane.running)
    }

    /// Adds how many leases each holder holds.
    pub(super) fn count_held(&self, held: &mut HashMap<HolderId, u32>) {
        for lease in self.leases.values().filter(|lease| !lease.is_reported()) {
            *held.entry(lease.holder).or_default() += 1;
        }
    }

    /// Whether an attempt of a delivery is under way or being written.
    pub(super) fn is_leased(&self, delivery_id: DeliveryId) -> bool {
        self.leases.contains_key(&delivery_id)
    }

    /// Whether an attempt may still begin under a lease.
    pub(super) fn is_current(&self, key: LeaseKey) -> bool {
        let lease = self.leases.get(&key.delivery_id);
        lease.is_some_and(|lease| lease.lease_id == key.lease_id && lease.state == LeaseState::Held)
    }

    /// Notes that an operator ended a delivery: its lease, if it has one, goes nowhere from here. Returns the lease and
    /// its holder.
    pub(super) fn abandon(&mut self, delivery_id: DeliveryId) -> Option<(u64, HolderId)> {
        self.leases.get_mut(&delivery_id)?.abandon()
    }

    /// Notes that an endpoint was deleted: its leases go nowhere from here. Returns them with their holders.
    pub(super) fn abandon_all(&mut self, endpoint_id: EndpointId) -> Vec<(u64, HolderId)> {
        let leases = self.leases.values_mut();
        let own = leases.filter(|lease| lease.endpoint_id == endpoint_id);
        own.filter_map(Lease::abandon).collect()
    }

    pub(super) fn put_back(&mut self, lease: Lease, now_ms: i64) {
        self.free_slot(lease.endpoint_id, now_ms);
        if lease.state != LeaseState::Abandoned {
            let shard = lease.key.1.shard();
            self.insert(shard, lease.endpoint_id, lease.key, lease.entry);
            self.place(lease.endpoint_id, now_ms);
        }
    }

    pub(super) fn free_slot(&mut self, endpoint_id: EndpointId, now_ms: i64) {
        if let Some(slot) = self.lanes.get_mut(&endpoint_id) {
            slot.lane.running = slot.lane.running.saturating_sub(1);
            self.place(endpoint_id, now_ms);
        }
    }
}
