//! Lanes that consumers serve: who is rung when one has something due, and who takes from it.
//!
//! A bell is rung when a lane becomes ready, and again after each turn that leaves something. Whoever serves it with
//! credit looks at all its lanes then; several streams that serve one lane share it by taking turns.
//!
//! What a consumer dies of takes down whatever else it holds. So a delivery that has lost several leases is a suspect,
//! and a stream holds one suspect at a time: in the end the culprit falls alone, and the others are done with. What is due
//! behind suspects does not wait for them.

use std::sync::Arc;

use tokio::sync::Notify;

use super::{Grant, Scheduler, lease::Taker, slot};
use crate::{
    dispatch::lane::{LaneState, ServedBy},
    model::id::{EndpointId, NodeId, Shard},
};

/// The streams that serve a lane.
#[derive(Debug, Default)]
pub(super) struct Bells(Vec<(NodeId, Arc<Notify>)>);

impl Bells {
    /// Has every stream look at its lanes.
    pub(super) fn ring(&self) {
        for (_, bell) in &self.0 {
            bell.notify_one();
        }
    }
}

impl Scheduler {
    /// Has a stream rung when one of its lanes has something due.
    pub(in crate::dispatch) fn serve(
        &mut self,
        shard: Shard,
        endpoints: &[EndpointId],
        holder: NodeId,
        bell: &Arc<Notify>,
    ) {
        for endpoint_id in endpoints {
            let slot = slot(&mut self.lanes, *endpoint_id, shard, None);
            slot.bells.0.push((holder, Arc::clone(bell)));
        }
        bell.notify_one();
    }

    /// Ends that. The other streams are rung, for what this one was rung for and did not take.
    pub(in crate::dispatch) fn leave(&mut self, endpoints: &[EndpointId], holder: NodeId) {
        for endpoint_id in endpoints {
            if let Some(slot) = self.lanes.get_mut(endpoint_id) {
                slot.bells.0.retain(|(other, _)| *other != holder);
                slot.bells.ring();
            }
        }
    }

    /// Leases up to `max` deliveries of these lanes, `suspects` among them at the most, to a consumer's stream: the lanes
    /// in turn, beginning with the first.
    pub(in crate::dispatch) fn take_from(
        &mut self,
        endpoints: &[EndpointId],
        (max, suspects): (usize, usize),
        holder: NodeId,
        (now_ms, granted_at): (i64, u64),
    ) -> Vec<Grant> {
        let mut taker = Taker {
            holder,
            kind: ServedBy::Consumers,
            now_ms,
            granted_at,
            suspects,
        };
        let mut grants = Vec::new();
        loop {
            let before = grants.len();
            for endpoint_id in endpoints {
                if grants.len() < max {
                    self.take_turn(*endpoint_id, max, &mut taker, &mut grants);
                }
            }
            if grants.len() == before || grants.len() >= max {
                return grants;
            }
        }
    }

    /// Leaves a lane alone that gave nothing in its turn: what holds it up rings when it ends.
    pub(super) fn rest(&mut self, endpoint_id: EndpointId, now_ms: i64) {
        if let Some(slot) = self.lanes.get_mut(&endpoint_id)
            && slot.lane.served_by == ServedBy::Consumers
        {
            slot.in_ring = slot.lane.state(now_ms) == LaneState::Ready;
        }
    }

    /// A lease id of its own for a late report whose lease is logged with another outcome already.
    pub(in crate::dispatch) fn late_lease_id(&mut self) -> u64 {
        let lease_id = self.next_lease_id;
        self.next_lease_id += 1;
        lease_id
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng as _, rngs::StdRng};
    use uuid::Uuid;

    use super::*;
    use crate::{
        dispatch::{
            lane::Entry,
            scheduler::{LaneSettings, Settled},
        },
        model::{
            id::{DeliveryId, EventId},
            object::ObjectState,
            shard::ShardSet,
        },
    };

    const NOW_MS: i64 = 1_764_000_000_000;
    const SHARD: Shard = Shard(7);

    /// Whether a bell has rung since the last time.
    fn has_rung(bell: &Notify) -> bool {
        let notified = std::pin::pin!(bell.notified());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        notified.poll(&mut context).is_ready()
    }

    fn endpoint(number: u8) -> EndpointId {
        EndpointId::from_uuid(Uuid::from_u128(u128::from(number) + 1))
    }

    fn stream(number: u8) -> NodeId {
        NodeId::from_uuid(Uuid::from_u128(u128::from(number) + 100))
    }

    fn scheduler(handlers: u8) -> Scheduler {
        let mut scheduler = Scheduler::new(9);
        for number in 0..handlers {
            configure(&mut scheduler, number, ServedBy::Consumers);
        }
        scheduler.recovered(&ShardSet::ALL, NOW_MS);
        scheduler
    }

    fn configure(scheduler: &mut Scheduler, number: u8, served_by: ServedBy) {
        let settings = LaneSettings {
            state: ObjectState::Enabled,
            concurrency: u32::MAX,
            served_by,
        };
        scheduler.configure(SHARD, endpoint(number), settings, NOW_MS);
    }

    fn serve(scheduler: &mut Scheduler, handlers: u8, number: u8) -> Arc<Notify> {
        let bell = Arc::new(Notify::new());
        let endpoints = (0..handlers).map(endpoint).collect::<Vec<_>>();
        scheduler.serve(SHARD, &endpoints, stream(number), &bell);
        assert!(has_rung(&bell));
        bell
    }

    fn admit(scheduler: &mut Scheduler, handler: u8, seed: u64) -> DeliveryId {
        let event = EventId::new(NOW_MS, SHARD, &mut StdRng::seed_from_u64(seed));
        let id = event.delivery(1);
        let key = (NOW_MS, id);
        scheduler.admit(endpoint(handler), key, Entry::fresh(None), NOW_MS);
        id
    }

    fn take(scheduler: &mut Scheduler, handlers: u8, max: usize, number: u8) -> Vec<Grant> {
        let endpoints = (0..handlers).map(endpoint).collect::<Vec<_>>();
        scheduler.take_from(&endpoints, (max, 1), stream(number), (NOW_MS, 0))
    }

    #[test]
    fn no_node_gets_what_consumers_take() {
        let mut scheduler = scheduler(1);
        let id = admit(&mut scheduler, 0, 1);
        assert!(!scheduler.has_ready());
        assert!(scheduler.take(10, stream(0), NOW_MS, 0).is_empty());
        let grants = take(&mut scheduler, 1, 10, 1);
        assert_eq!(grants[0].delivery_id, id);
        assert!(scheduler.lose_older(u64::MAX, NOW_MS).too_often.is_empty());
        assert!(scheduler.is_current(id, grants[0].lease_id));
    }

    #[test]
    fn a_lane_that_becomes_a_consumers_leaves_the_ring() {
        let mut scheduler = scheduler(0);
        let bell = serve(&mut scheduler, 1, 1);
        admit(&mut scheduler, 0, 1);
        assert!(scheduler.has_ready());
        configure(&mut scheduler, 0, ServedBy::Consumers);
        assert!(scheduler.take(10, stream(0), NOW_MS, 0).is_empty());
        assert!(!scheduler.has_ready() && has_rung(&bell));
        assert_eq!(take(&mut scheduler, 1, 10, 1).len(), 1);
    }

    #[test]
    fn who_serves_a_lane_is_rung_when_something_is_due() {
        let mut scheduler = scheduler(2);
        let (one, two) = (serve(&mut scheduler, 2, 1), serve(&mut scheduler, 2, 2));
        assert!(!has_rung(&one) && !has_rung(&two));
        admit(&mut scheduler, 1, 1);
        assert!(has_rung(&one) && has_rung(&two));
        let grant = take(&mut scheduler, 2, 10, 1).remove(0);
        scheduler.report(stream(1), grant.delivery_id, grant.lease_id, NOW_MS);
        let retry = Settled::RetryAt(NOW_MS + 5);
        scheduler.settle(grant.delivery_id, grant.lease_id, retry, NOW_MS);
        assert!(!has_rung(&one) && !has_rung(&two));
        scheduler.fire(NOW_MS + 5);
        assert!(has_rung(&one) && has_rung(&two));
    }

    #[test]
    fn what_a_turn_leaves_is_rung_for_again() {
        let mut scheduler = scheduler(1);
        let (one, two) = (serve(&mut scheduler, 1, 1), serve(&mut scheduler, 1, 2));
        for seed in 0..3 {
            admit(&mut scheduler, 0, seed);
        }
        assert!(has_rung(&one) && has_rung(&two));
        assert_eq!(take(&mut scheduler, 1, 1, 1).len(), 1);
        assert!(has_rung(&two));
        assert_eq!(take(&mut scheduler, 1, 10, 2).len(), 2);
        assert!(take(&mut scheduler, 1, 10, 1).is_empty());
    }

    #[test]
    fn handlers_of_one_stream_take_turns() {
        let mut scheduler = scheduler(2);
        for seed in 0..40 {
            admit(&mut scheduler, 0, seed);
        }
        for seed in 100..103 {
            admit(&mut scheduler, 1, seed);
        }
        let grants = take(&mut scheduler, 2, 16, 1);
        let of_second = |grant: &&Grant| grant.endpoint_id == endpoint(1);
        assert_eq!(grants.len(), 16);
        assert_eq!(grants.iter().filter(of_second).count(), 3);
    }

    #[test]
    fn a_stream_that_leaves_rings_the_others() {
        let mut scheduler = scheduler(1);
        let (one, two) = (serve(&mut scheduler, 1, 1), serve(&mut scheduler, 1, 2));
        admit(&mut scheduler, 0, 1);
        assert!(has_rung(&one) && has_rung(&two));
        scheduler.leave(&[endpoint(0)], stream(1));
        assert!(!has_rung(&one) && has_rung(&two));
        assert_eq!(take(&mut scheduler, 1, 10, 2).len(), 1);
    }

    #[test]
    fn a_suspect_is_handed_out_one_at_a_time() {
        let mut scheduler = scheduler(1);
        let bell = serve(&mut scheduler, 1, 1);
        let mut ids = (0..3).map(|seed| admit(&mut scheduler, 0, seed));
        let mut ids = [(); 3].map(|()| ids.next().unwrap());
        ids.sort_unstable();
        for _ in 0..super::super::leases::SUSPECT {
            assert_eq!(take(&mut scheduler, 1, 10, 1).len(), 3);
            scheduler.lose(
                (stream(1), ServedBy::Consumers),
                &std::collections::HashSet::new(),
                NOW_MS,
            );
        }
        assert!(has_rung(&bell));
        let first = take(&mut scheduler, 1, 10, 1);
        assert_eq!(first.len(), 1);
        assert!(first[0].is_suspect && first[0].delivery_id == ids[0]);
        let endpoints = [endpoint(0)];
        let nothing = scheduler.take_from(&endpoints, (10, 0), stream(1), (NOW_MS, 0));
        assert!(nothing.is_empty());
        // It waits for its own suspect and is not rung for what it may not take.
        let _ = has_rung(&bell);
        scheduler.take_from(&endpoints, (10, 0), stream(1), (NOW_MS, 0));
        assert!(!has_rung(&bell));
        // Another stream may take one of them.
        assert_eq!(take(&mut scheduler, 1, 10, 2)[0].delivery_id, ids[1]);
    }

    #[test]
    fn what_is_due_behind_suspects_does_not_wait_for_them() {
        let mut scheduler = scheduler(1);
        let bell = serve(&mut scheduler, 1, 1);
        for seed in 0..3 {
            admit(&mut scheduler, 0, seed);
        }
        for _ in 0..super::super::leases::SUSPECT {
            assert_eq!(take(&mut scheduler, 1, 10, 1).len(), 3);
            scheduler.lose(
                (stream(1), ServedBy::Consumers),
                &std::collections::HashSet::new(),
                NOW_MS,
            );
        }
        assert!(take(&mut scheduler, 1, 10, 1)[0].is_suspect);
        let endpoints = [endpoint(0)];
        let take = |scheduler: &mut Scheduler, now_ms| {
            let grants = scheduler.take_from(&endpoints, (10, 0), stream(1), (now_ms, 0));
            let ids = grants.iter().map(|grant| grant.delivery_id);
            ids.collect::<Vec<_>>()
        };
        assert!(take(&mut scheduler, NOW_MS).is_empty());
        let _ = has_rung(&bell);
        // One that is due now, while the lane rests.
        let now = EventId::new(NOW_MS + 1, SHARD, &mut StdRng::seed_from_u64(10)).delivery(1);
        scheduler.admit(endpoint(0), (NOW_MS, now), Entry::fresh(None), NOW_MS);
        assert!(has_rung(&bell));
        assert_eq!(take(&mut scheduler, NOW_MS), [now]);
        assert!(take(&mut scheduler, NOW_MS).is_empty());
        // One that is due later.
        let _ = has_rung(&bell);
        let later = EventId::new(NOW_MS + 2, SHARD, &mut StdRng::seed_from_u64(11)).delivery(1);
        scheduler.admit(endpoint(0), (NOW_MS + 5, later), Entry::fresh(None), NOW_MS);
        assert!(!has_rung(&bell) && take(&mut scheduler, NOW_MS).is_empty());
        assert_eq!(scheduler.fire(NOW_MS), Some(NOW_MS + 5));
        scheduler.fire(NOW_MS + 5);
        assert!(has_rung(&bell));
        assert_eq!(take(&mut scheduler, NOW_MS + 5), [later]);
    }

    #[test]
    fn the_leases_of_a_deleted_endpoint_are_told_to_their_holders() {
        let mut scheduler = scheduler(2);
        let id = admit(&mut scheduler, 0, 1);
        admit(&mut scheduler, 1, 2);
        let grants = take(&mut scheduler, 2, 10, 1);
        let own = grants.iter().find(|grant| grant.delivery_id == id).unwrap();
        scheduler.remove(endpoint(0));
        let told = scheduler.abandon_all(endpoint(0));
        assert_eq!(told, [(own.lease_id, stream(1))]);
        assert!(!scheduler.is_current(id, own.lease_id));
        assert!(scheduler.release(stream(1), id, own.lease_id, NOW_MS));
        assert!(take(&mut scheduler, 1, 10, 1).is_empty());
    }
}
