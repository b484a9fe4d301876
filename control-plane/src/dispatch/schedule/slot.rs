//! Where a lane stands in its group.

use std::collections::HashMap;

use super::{
    lane::{Key, Lane},
    waiters::Waiters,
};
use crate::model::{
    id::{EndpointId, Shard},
    lease::HolderKind,
};

/// From how many leases lost in a row a delivery is suspected to take those down that work on it.
pub(super) const SUSPECT: u8 = 2;

/// A lane, and where it stands in its group.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) lane: Lane,
    /// It stands in the ring, or its streams were woken.
    pub(super) in_ring: bool,
    pub(super) waiters: Waiters,
    pub(super) timer: Option<i64>,
    pub(super) hungry: bool,
}

impl Slot {
    /// Wakes for what is due behind suspects, which streams that hold one of their own can take. Returns when it is due,
    /// if that is later.
    pub(super) fn wake_behind_suspects(&self, now_ms: i64) -> Option<i64> {
        if self.lane.served_by == HolderKind::Node {
            return None;
        }
        let due_at = self.lane.due_behind(SUSPECT)?;
        if due_at > now_ms {
            return Some(due_at);
        }
        self.waiters.wake();
        None
    }
}

pub(super) fn slot(
    lanes: &mut HashMap<EndpointId, Slot>,
    endpoint_id: EndpointId,
    shard: Shard,
    horizon: Option<Key>,
) -> &mut Slot {
    lanes.entry(endpoint_id).or_insert_with(|| Slot {
        lane: Lane::new(shard, horizon),
        in_ring: false,
        waiters: Waiters::default(),
        timer: None,
        hungry: false,
    })
}
