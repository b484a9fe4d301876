//! The leases of the scheduler: granted, reported, settled, lost.

use std::collections::HashSet;

use super::{
    Scheduler,
    lease::{Grant, Granted, Lease, Lost, LostTooOften, Reported, Settled, Taker},
    slot,
};
use crate::{
    dispatch::lane::{Entry, FRONT, LaneState, ServedBy},
    model::id::{DeliveryId, EndpointId, NodeId},
    store::DueDelivery,
};

/// How many leases a lane gets in one turn.
const TURN: usize = 8;
/// From how many leases lost in a row a delivery is suspected to take those down that work on it.
pub(in crate::dispatch) const SUSPECT: u8 = 2;
/// How many leases in a row may be lost before a delivery is dead.
pub(in crate::dispatch) const LOST_MAX: u8 = 5;

impl Scheduler {
    /// Whether a lease id was granted by this process.
    pub(in crate::dispatch) fn is_own_lease(&self, lease_id: u64) -> bool {
        (self.first_lease_id..self.next_lease_id).contains(&lease_id)
    }

    /// Leases up to `max` deliveries to a node, the lanes in turn.
    pub(in crate::dispatch) fn take(
        &mut self,
        max: usize,
        node_id: NodeId,
        now_ms: i64,
        granted_at: u64,
    ) -> Vec<Grant> {
        let mut taker = Taker {
            holder: node_id,
            kind: ServedBy::Nodes,
            now_ms,
            granted_at,
            // What a node does with a request does not depend on what is in it.
            suspects: usize::MAX,
        };
        let mut grants = Vec::new();
        while grants.len() < max {
            let Some(endpoint_id) = self.ring.pop_front() else {
                break;
            };
            self.take_turn(endpoint_id, max, &mut taker, &mut grants);
        }
        grants
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
        if slot.lane.served_by == taker.kind {
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
            self.loaded -= 1;
            slot.lane.running += 1;
            taker.suspects -= usize::from(is_suspect);
            let lease_id = self.next_lease_id;
            self.next_lease_id += 1;
            grants.push(Grant {
                lease_id,
                delivery_id: key.1,
                endpoint_id,
                attempt_count: entry.attempt_count,
                is_suspect,
                event: entry.event.take(),
            });
            let lease = Lease {
                lease_id,
                node_id: taker.holder,
                held_by: taker.kind,
                endpoint_id,
                key,
                entry,
                granted_at: taker.granted_at,
                reported: false,
                abandoned: false,
            };
            self.leases.insert(key.1, lease);
        }
    }

    /// Takes over a lease that a node holds from before this process, unless the delivery is leased already.
    pub(in crate::dispatch) fn adopt(
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
            held_by: ServedBy::Nodes,
            endpoint_id,
            key: (row.due_at, row.id),
            entry: Entry::paged(row),
            granted_at,
            reported: false,
            abandoned: false,
        };
        self.leases.insert(row.id, lease);
    }

    /// Takes a node's report on a lease. The endpoint's slot is free from here on.
    pub(in crate::dispatch) fn report(
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
    pub(in crate::dispatch) fn settle(
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
    pub(in crate::dispatch) fn release(
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

    /// Takes back what a node, or a consumer's stream, held and no longer names: nodes choose their ids, and one that has
    /// chosen a stream's must not take from it. Deliveries that lost too many leases stay out, reported, until they are
    /// settled.
    pub(in crate::dispatch) fn lose(
        &mut self,
        (holder, kind): (NodeId, ServedBy),
        still_held: &HashSet<u64>,
        now_ms: i64,
    ) -> Lost {
        let is_lost = |lease: &Lease| {
            lease.node_id == holder
                && lease.held_by == kind
                && !still_held.contains(&lease.lease_id)
        };
        self.lose_where(is_lost, now_ms)
    }

    /// Takes back what was granted to nodes at or before an instant of the owner's monotonic clock. What a consumer
    /// holds ends with the time that it was given, or with its stream.
    pub(in crate::dispatch) fn lose_older(&mut self, granted_by: u64, now_ms: i64) -> Lost {
        let is_lost =
            |lease: &Lease| lease.held_by == ServedBy::Nodes && lease.granted_at <= granted_by;
        self.lose_where(is_lost, now_ms)
    }

    fn lose_where(&mut self, is_lost: impl Fn(&Lease) -> bool, now_ms: i64) -> Lost {
        let lost = self
            .leases
            .iter()
            .filter(|(_, lease)| !lease.reported && is_lost(lease))
            .map(|(delivery_id, _)| *delivery_id)
            .collect::<Vec<_>>();
        let count = lost.len();
        let too_often = lost
            .into_iter()
            .filter_map(|delivery_id| self.lose_one(delivery_id, now_ms))
            .collect();
        Lost { count, too_often }
    }

    fn lose_one(&mut self, delivery_id: DeliveryId, now_ms: i64) -> Option<LostTooOften> {
        let mut lease = self.leases.remove(&delivery_id)?;
        lease.entry.lost += 1;
        if lease.entry.lost < LOST_MAX || lease.abandoned {
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
    pub(in crate::dispatch) fn is_leased(&self, delivery_id: DeliveryId) -> bool {
        self.leases.contains_key(&delivery_id)
    }

    /// Whether an attempt may still begin under a lease.
    pub(in crate::dispatch) fn is_current(&self, delivery_id: DeliveryId, lease_id: u64) -> bool {
        self.leases
            .get(&delivery_id)
            .is_some_and(|lease| lease.lease_id == lease_id && !lease.reported && !lease.abandoned)
    }

    /// Notes that an operator ended a delivery: its lease, if it has one, goes nowhere from here. Returns the lease and
    /// the node that holds it.
    pub(in crate::dispatch) fn abandon(
        &mut self,
        delivery_id: DeliveryId,
    ) -> Option<(u64, NodeId)> {
        let lease = self.leases.get_mut(&delivery_id)?;
        lease.abandoned = true;
        (!lease.reported).then_some((lease.lease_id, lease.node_id))
    }

    /// Notes that an endpoint was deleted: its leases go nowhere from here. Returns them with their holders.
    pub(in crate::dispatch) fn abandon_all(
        &mut self,
        endpoint_id: EndpointId,
    ) -> Vec<(u64, NodeId)> {
        let leases = self.leases.values_mut();
        let own = leases.filter(|lease| lease.endpoint_id == endpoint_id && !lease.reported);
        own.map(|lease| {
            lease.abandoned = true;
            (lease.lease_id, lease.node_id)
        })
        .collect()
    }

    pub(super) fn put_back(&mut self, lease: Lease, now_ms: i64) {
        self.free_slot(lease.endpoint_id, now_ms);
        if !lease.abandoned {
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
