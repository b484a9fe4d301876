//! Lanes that consumers serve: who is woken when one has something due, and who takes from it.
//!
//! A stream is woken when a lane becomes ready, and again after each turn that leaves something. Whoever serves it with
//! credit looks at all its lanes then; several streams that serve one lane share it by taking turns.
//!
//! What a consumer dies of takes down whatever else it holds. So a delivery that has lost several leases is a suspect,
//! and a stream holds one suspect at a time: in the end the culprit falls alone, and the others are done with. What is due
//! behind suspects does not wait for them.

use std::sync::Arc;

use tokio::sync::Notify;

use super::{
    group::Group,
    lane::LaneState,
    lease::{Grant, Taker},
    slot::slot,
};
use crate::model::{
    id::{EndpointId, Shard},
    lease::{HolderId, HolderKind},
};

impl Group {
    /// Has a stream woken when one of its lanes has something due.
    pub(super) fn serve(
        &mut self,
        shard: Shard,
        endpoints: &[EndpointId],
        holder: HolderId,
        waker: &Arc<Notify>,
    ) {
        for endpoint_id in endpoints {
            let slot = slot(&mut self.lanes, *endpoint_id, shard, None);
            slot.waiters.add(holder, waker);
        }
        waker.notify_one();
    }

    /// Ends that. The other streams are woken, for what this one was woken for and did not take.
    pub(super) fn leave(&mut self, endpoints: &[EndpointId], holder: HolderId) {
        for endpoint_id in endpoints {
            if let Some(slot) = self.lanes.get_mut(endpoint_id) {
                slot.waiters.remove(holder);
                slot.waiters.wake();
            }
        }
    }

    /// Leases up to `max` deliveries of these lanes to a consumer's stream: the lanes in turn, beginning with
    /// the one of this number.
    pub(super) fn take_from(
        &mut self,
        endpoints: &[EndpointId],
        first: usize,
        max: usize,
        taker: &mut Taker,
    ) -> Vec<Grant> {
        let first = first.checked_rem(endpoints.len()).unwrap_or(0);
        let (last, first) = endpoints.split_at(first);
        let mut grants = Vec::new();
        loop {
            let before = grants.len();
            for endpoint_id in first.iter().chain(last) {
                if grants.len() < max {
                    self.take_turn(*endpoint_id, max, taker, &mut grants);
                }
            }
            if grants.len() == before || grants.len() >= max {
                return grants;
            }
        }
    }

    /// Leaves a lane alone that gave nothing in its turn: what holds it up wakes when it ends.
    pub(super) fn rest(&mut self, endpoint_id: EndpointId, now_ms: i64) {
        if let Some(slot) = self.lanes.get_mut(&endpoint_id)
            && slot.lane.served_by == HolderKind::Consumer
        {
            slot.in_ring = slot.lane.state(now_ms) == LaneState::Ready;
        }
    }
}
