//! A lease that the node holds, and how it ends.

use std::{sync::Arc, time::Duration};

use posthorn::node::v1::{
    Lease, LeaseReference, NotStarted, NotStartedReason, Trace, outcome::Result as Fact,
};
use tokio::time::Instant;

use super::ticket::Ticket;

/// The end of a lease.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(super) lease_id: u64,
    pub(super) fact: Fact,
    /// How the attempt went. None: it was not begun.
    pub(super) trace: Option<Box<Trace>>,
    pub(super) began: Instant,
    pub(super) took: Duration,
}

/// A lease, from its arrival until its outcome is committed.
#[derive(Debug)]
pub(super) enum Held {
    /// Its task runs.
    Working {
        /// How it is named to the control plane.
        reference: LeaseReference,
        /// What it takes of the credit for bytes.
        body_bytes: u64,
        /// Its right to begin.
        ticket: Arc<Ticket>,
    },
    /// The outcome is not committed yet.
    Reported,
}

impl Held {
    /// A lease that has come, with its ticket.
    pub(super) fn new(lease: &Lease, ticket: Arc<Ticket>) -> Self {
        Self::Working {
            reference: LeaseReference {
                lease_id: lease.lease_id,
                delivery_id: lease.delivery_id.clone(),
                attempt: lease.attempt,
                proof: lease.proof.clone(),
            },
            body_bytes: lease.body.len() as u64,
            ticket,
        }
    }

    /// How it is named to the control plane, while it is worked on.
    pub(super) fn reference(&self) -> Option<LeaseReference> {
        match self {
            Self::Working { reference, .. } => Some(reference.clone()),
            Self::Reported => None,
        }
    }

    /// Takes back its right to begin.
    pub(super) fn withdraw(&self, reason: NotStartedReason) {
        if let Self::Working { ticket, .. } = self {
            ticket.withdraw(reason);
        }
    }
}

/// The report of a lease that was not begun.
pub(super) fn not_started(reason: NotStartedReason) -> Fact {
    Fact::NotStarted(NotStarted {
        reason: reason.into(),
    })
}
