//! A lease, and what becomes of it.

use std::sync::Arc;

use crate::{
    dispatch::{
        lane::{Entry, Key, ServedBy},
        payload::HeldEvent,
    },
    model::id::{DeliveryId, EndpointId, NodeId},
};

/// A lease as granted.
#[derive(Debug, Clone)]
pub(in crate::dispatch) struct Grant {
    /// The lease.
    pub lease_id: u64,
    /// Its delivery.
    pub delivery_id: DeliveryId,
    /// Where it goes.
    pub endpoint_id: EndpointId,
    /// Attempts made so far.
    pub attempt_count: u32,
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
    /// The lease is the delivery's current one: what follows is up to the caller, then [`super::Scheduler::settle`].
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
pub(in crate::dispatch) enum Settled {
    /// The delivery ended.
    Ended,
    /// Another attempt is due at this instant.
    RetryAt(i64),
    /// Somebody else moved the delivery in the meantime: the table knows.
    Unknown,
}

/// Leases that were taken back.
#[derive(Debug)]
pub(in crate::dispatch) struct Lost {
    /// How many.
    pub count: usize,
    /// The deliveries among theirs that have lost too many.
    pub too_often: Vec<LostTooOften>,
}

/// A delivery whose lease went back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dispatch) struct LostTooOften {
    /// The delivery.
    pub delivery_id: DeliveryId,
    /// Attempts made.
    pub attempt_count: u32,
    /// Its lease, to settle.
    pub lease_id: u64,
}

#[derive(Debug)]
pub(super) struct Lease {
    pub(super) lease_id: u64,
    pub(super) node_id: NodeId,
    pub(super) held_by: ServedBy,
    pub(super) endpoint_id: EndpointId,
    pub(super) key: Key,
    pub(super) entry: Entry,
    /// Milliseconds of the owner's monotonic clock.
    pub(super) granted_at: u64,
    pub(super) reported: bool,
    /// An operator ended the delivery: nothing follows from the lease any more.
    pub(super) abandoned: bool,
}

/// Who takes leases.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taker {
    /// The node, or the stream of a consumer.
    pub holder: NodeId,
    /// Which of the two it is.
    pub kind: ServedBy,
    /// Now.
    pub now_ms: i64,
    /// Now, in milliseconds of the owner's monotonic clock.
    pub granted_at: u64,
    /// How many suspects the holder may get.
    pub suspects: usize,
}
