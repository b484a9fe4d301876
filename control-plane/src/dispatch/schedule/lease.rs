//! A lease, and what becomes of it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::lane::{Entry, Key};
use crate::{
    dispatch::payloads::HeldEvent,
    model::{
        id::EndpointId,
        lease::{HolderId, LeaseKey},
    },
};

/// The ids of the leases that one owner grants.
#[derive(Debug)]
pub(super) struct LeaseIds {
    first: u64,
    next: AtomicU64,
}

impl LeaseIds {
    /// The ids of an owner, whose epoch differs from that of every earlier one.
    pub(super) fn new(epoch: u32) -> Self {
        let first = u64::from(epoch) << 32 | 1;
        Self {
            first,
            next: AtomicU64::new(first),
        }
    }

    /// A new one.
    pub(super) fn next(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether an id was given by this owner.
    pub(super) fn are_own(&self, lease_id: u64) -> bool {
        (self.first..self.next.load(Ordering::Relaxed)).contains(&lease_id)
    }
}

/// A lease as granted.
#[derive(Debug, Clone)]
pub(in crate::dispatch) struct Grant {
    /// What names it.
    pub key: LeaseKey,
    /// Where its delivery goes.
    pub endpoint_id: EndpointId,
    /// Whether it is suspected to take its holder down.
    pub is_suspect: bool,
    /// The event, when memory holds it.
    pub event: Option<Arc<HeldEvent>>,
}

/// A lease as reported on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dispatch) struct Granted {
    /// Where it went.
    pub endpoint_id: EndpointId,
    /// Attempts made before it.
    pub attempt_count: u32,
    /// Attempts made before the last retry by an operator.
    pub attempt_base: u32,
}

/// What a report meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dispatch) enum Reported {
    /// The lease is the delivery's current one: what follows is up to the caller, who settles it then.
    Current(Granted),
    /// The same report came before and is being written.
    Repeated,
    /// Somebody else holds the lease.
    OtherHolder,
    /// The lease was lost, or was never granted by this process.
    Lost,
}

/// What became of a reported lease once that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dispatch) enum Settled {
    /// The delivery ended.
    Ended,
    /// Another attempt is due at this instant.
    RetryAt(i64),
    /// Somebody else moved the delivery in the meantime: the table knows.
    Unknown,
}

/// Leases that were taken back.
#[derive(Debug, Default)]
pub(in crate::dispatch) struct Lost {
    /// How many.
    pub count: usize,
    /// Those among them whose deliveries have lost too many, with where these go; they are to be settled.
    pub too_often: Vec<(LeaseKey, EndpointId)>,
}

/// Where a lease stands. The picture is in docs/lease-states.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LeaseState {
    /// Its holder is at work, or is about to be.
    Held,
    /// The same, but its delivery ended meanwhile: nothing follows from it any more.
    Abandoned,
    /// What became of it is being written.
    Reported,
}

#[derive(Debug)]
pub(super) struct Lease {
    pub(super) lease_id: u64,
    pub(super) holder: HolderId,
    pub(super) endpoint_id: EndpointId,
    pub(super) key: Key,
    pub(super) entry: Entry,
    /// Milliseconds of the owner's monotonic clock.
    pub(super) granted_at: u64,
    pub(super) state: LeaseState,
}

impl Lease {
    pub(super) fn key(&self) -> LeaseKey {
        LeaseKey {
            lease_id: self.lease_id,
            delivery_id: self.key.1,
            attempt: self.entry.attempt_count + 1,
        }
    }

    /// Notes that nothing follows from it any more. Returns it with its holder, unless that has reported already.
    pub(super) fn abandon(&mut self) -> Option<(u64, HolderId)> {
        if self.is_reported() {
            return None;
        }
        self.state = LeaseState::Abandoned;
        Some((self.lease_id, self.holder))
    }

    pub(super) fn is_reported(&self) -> bool {
        self.state == LeaseState::Reported
    }
}

/// Who takes leases.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taker {
    /// The holder.
    pub holder: HolderId,
    /// Now.
    pub now_ms: i64,
    /// Now, in milliseconds of the owner's monotonic clock.
    pub granted_at: u64,
    /// How many suspects the holder may get.
    pub suspects: usize,
}
