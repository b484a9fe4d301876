//! What the node holds and what it owes: leases, outcomes and credit, across sessions.
//!
//! No waiting and no I/O: a session asks it what to say next and tells it what came. A lease is entered once and leaves
//! when its outcome is committed, so one that is sent twice is never begun twice, and no outcome is forgotten.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    ops::RangeInclusive,
    sync::Arc,
};

use posthorn::node::v1::{
    Drain, Hello, Lease, NotStartedReason, Outcome, Outcomes, session_request::Message,
};
use tokio::time::Instant;

use super::{
    credit::CreditAccount,
    held::{Finished, Held},
    ledger::{Ledger, Row},
    ticket::Ticket,
};

/// Who the node is.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    pub(super) node_id: String,
    pub(super) name: String,
    pub(super) capacity: u32,
    /// The versions of the protocol that it speaks.
    pub(super) protocols: RangeInclusive<u32>,
    /// Where it listens.
    pub(super) listeners: Vec<String>,
}

/// What the node holds and owes.
#[derive(Debug)]
pub(super) struct LeaseTable {
    identity: Identity,
    account: CreditAccount,
    ledger: Ledger,
    held: HashMap<u64, Held>,
    working: usize,
    /// Outcomes that are in no message yet.
    fresh: VecDeque<Row>,
    /// Messages that go before all others: those of a session's beginning.
    first: VecDeque<Message>,
    draining: bool,
}

impl LeaseTable {
    /// Empty table.
    pub(super) fn new(identity: Identity) -> Self {
        Self {
            account: CreditAccount::new(identity.capacity),
            identity,
            ledger: Ledger::default(),
            held: HashMap::new(),
            working: 0,
            fresh: VecDeque::new(),
            first: VecDeque::new(),
            draining: false,
        }
    }

    /// A new session begins: the messages that open it are the next ones.
    pub(super) fn open_session(&mut self, now: Instant) {
        let list = self.ledger.resume_list(now);
        let working = self.held.values().filter_map(Held::reference);
        let unsent = self.fresh.iter().map(Row::reference);
        let hello = Hello {
            protocol: *self.identity.protocols.end(),
            node_id: self.identity.node_id.clone(),
            name: self.identity.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            capacity: self.identity.capacity,
            in_flight: working.chain(unsent).chain(list.held).collect(),
            unacknowledged: list.hello,
            oldest_protocol: *self.identity.protocols.start(),
            listeners: self.identity.listeners.clone(),
        };
        self.first = VecDeque::from([Message::Hello(hello)]);
        self.first
            .extend(list.later.into_iter().map(Message::Outcomes));
        if self.draining {
            self.first.push_back(Message::Drain(Drain {}));
        } else {
            self.first.push_back(Message::Credit(self.account.open()));
        }
    }

    /// Whether there is something to say.
    pub(super) fn has_message(&self) -> bool {
        !self.first.is_empty() || !self.fresh.is_empty() || self.is_credit_due()
    }

    /// What to say next.
    pub(super) fn next_message(&mut self, now: Instant) -> Option<Message> {
        if let Some(message) = self.first.pop_front() {
            return Some(message);
        }
        if !self.fresh.is_empty() {
            let outcomes: Outcomes = self.ledger.enter(&mut self.fresh, now);
            return Some(Message::Outcomes(outcomes));
        }
        self.is_credit_due()
            .then(|| Message::Credit(self.account.grant()))
    }

    /// Enters a lease that came. `None` for one that is held already.
    pub(super) fn enter(&mut self, lease: &Lease) -> Option<Arc<Ticket>> {
        let Entry::Vacant(place) = self.held.entry(lease.lease_id) else {
            return None;
        };
        let ticket = Arc::new(Ticket::default());
        if self.draining {
            ticket.withdraw(NotStartedReason::Drain);
        }
        place.insert(Held::new(lease, ticket.clone()));
        self.account.take(lease.body.len() as u64);
        self.working += 1;
        Some(ticket)
    }

    /// Notes what became of a lease, to be reported.
    pub(super) fn finish(&mut self, finished: Finished) {
        let Some(held) = self.held.get_mut(&finished.lease_id) else {
            return;
        };
        let Held::Working {
            reference,
            body_bytes,
            ..
        } = std::mem::replace(held, Held::Reported)
        else {
            return;
        };
        self.account.free(body_bytes);
        self.working -= 1;
        self.fresh.push_back(Row {
            outcome: Outcome {
                lease_id: reference.lease_id,
                delivery_id: reference.delivery_id,
                attempt: reference.attempt,
                result: Some(finished.fact),
                duration_ms: u32::try_from(finished.took.as_millis()).unwrap_or(u32::MAX),
                age_ms: 0,
                proof: reference.proof,
                trace: finished.trace,
            },
            began: finished.began,
        });
    }

    /// The control plane has committed all up to the sequence.
    pub(super) fn commit(&mut self, through: u64) {
        for lease_id in self.ledger.commit(through) {
            self.held.remove(&lease_id);
        }
    }

    /// The control plane wants leases not to be begun.
    pub(super) fn revoke(&self, lease_ids: &[u64]) {
        let held = lease_ids
            .iter()
            .filter_map(|lease_id| self.held.get(lease_id));
        held.for_each(|held| held.withdraw(NotStartedReason::Revoked));
    }

    /// The node shuts down: what has not begun does not begin.
    pub(super) fn drain(&mut self) {
        self.draining = true;
        self.held
            .values()
            .for_each(|held| held.withdraw(NotStartedReason::Drain));
        self.first.push_back(Message::Drain(Drain {}));
    }

    /// Whether the node shuts down.
    pub(super) fn is_draining(&self) -> bool {
        self.draining
    }

    /// Whether the node drains and has nothing left to do or to report.
    pub(super) fn is_settled(&self) -> bool {
        self.draining && self.is_idle()
    }

    /// Whether the node has nothing to do and nothing to report.
    pub(super) fn is_idle(&self) -> bool {
        self.working == 0 && self.uncommitted() == 0
    }

    /// How many leases the node works on.
    pub(super) fn working(&self) -> usize {
        self.working
    }

    /// How many outcomes the control plane has not committed.
    pub(super) fn uncommitted(&self) -> usize {
        self.fresh.len() + self.ledger.rows()
    }

    /// How many leases the control plane may still send.
    pub(super) fn credit(&self) -> u32 {
        self.account.outstanding()
    }

    /// With too many outcomes not committed, the node takes no more work.
    fn is_credit_due(&self) -> bool {
        let capacity = usize::try_from(self.identity.capacity).unwrap_or(usize::MAX);
        let uncommitted_max = capacity.saturating_mul(2);
        !self.draining && self.account.is_due() && self.uncommitted() <= uncommitted_max
    }
}

#[cfg(test)]
mod tests;
