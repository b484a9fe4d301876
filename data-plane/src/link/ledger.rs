//! Outcomes that the control plane has not committed: kept until it says so, and sent again in the next session.
//!
//! Pure bookkeeping. It is bounded because the node gives no credit while too much is not committed.

use std::collections::VecDeque;

use posthorn::node::v1::{LeaseReference, Outcome, Outcomes};
use prost::Message as _;
use tokio::time::Instant;

/// How many outcomes one message carries at most.
pub(super) const ROWS_MAX: usize = 1_024;
/// How many bytes one message carries at most, roughly.
const MESSAGE_BYTES_MAX: usize = 512 * 1024;
/// How many bytes of outcomes a `Hello` carries at most, roughly. What is over follows in messages of its own.
const HELLO_BYTES_MAX: usize = 1024 * 1024;

/// One outcome, and what is needed to report it again.
#[derive(Debug, Clone)]
pub(super) struct Row {
    /// The outcome; its `age_ms` is set when it is sent.
    pub(super) outcome: Outcome,
    /// When the attempt began.
    pub(super) began: Instant,
}

/// Every message of outcomes that is not committed, by sequence.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    last_sequence: u64,
    batches: VecDeque<Batch>,
    rows: usize,
}

/// What a new session begins with.
#[derive(Debug, Default)]
pub(super) struct ResumeList {
    /// What goes into the `Hello`.
    pub(super) hello: Vec<Outcomes>,
    /// What is sent after it, because it would be too much for one message.
    pub(super) later: Vec<Outcomes>,
    /// The leases of what is sent after it.
    pub(super) held: Vec<LeaseReference>,
}

#[derive(Debug)]
struct Batch {
    sequence: u64,
    rows: Vec<Row>,
    bytes: usize,
}

impl Ledger {
    /// Enters outcomes and makes a message of them: as many from the front of `rows` as one message carries.
    pub(super) fn enter(&mut self, rows: &mut VecDeque<Row>, now: Instant) -> Outcomes {
        let mut bytes = 0;
        let mut count = 0;
        for row in rows.iter().take(ROWS_MAX) {
            let more = bytes + row.outcome.encoded_len();
            if count > 0 && more > MESSAGE_BYTES_MAX {
                break;
            }
            bytes = more;
            count += 1;
        }
        let rows: Vec<Row> = rows.drain(..count).collect();
        self.last_sequence += 1;
        self.rows += rows.len();
        let batch = Batch {
            sequence: self.last_sequence,
            rows,
            bytes,
        };
        let message = batch.message(now);
        self.batches.push_back(batch);
        message
    }

    /// Forgets what is committed. The leases that are over.
    pub(super) fn commit(&mut self, through: u64) -> Vec<u64> {
        let mut over = Vec::new();
        while self
            .batches
            .front()
            .is_some_and(|batch| batch.sequence <= through)
        {
            let rows = self
                .batches
                .pop_front()
                .map(|batch| batch.rows)
                .unwrap_or_default();
            self.rows -= rows.len();
            over.extend(rows.iter().map(|row| row.outcome.lease_id));
        }
        over
    }

    /// What a new session has to say.
    pub(super) fn resume_list(&self, now: Instant) -> ResumeList {
        let mut list = ResumeList::default();
        let mut bytes = 0;
        for batch in &self.batches {
            bytes += batch.bytes;
            if bytes <= HELLO_BYTES_MAX {
                list.hello.push(batch.message(now));
            } else {
                list.later.push(batch.message(now));
                list.held.extend(batch.rows.iter().map(Row::reference));
            }
        }
        list
    }

    /// How many outcomes are not committed.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }
}

impl Batch {
    fn message(&self, now: Instant) -> Outcomes {
        let outcomes = self.rows.iter().map(|row| row.report(now)).collect();
        Outcomes {
            sequence: self.sequence,
            outcomes,
        }
    }
}

impl Row {
    /// The lease that it is of.
    pub(super) fn reference(&self) -> LeaseReference {
        LeaseReference {
            lease_id: self.outcome.lease_id,
            delivery_id: self.outcome.delivery_id.clone(),
            attempt: self.outcome.attempt,
            proof: self.outcome.proof.clone(),
        }
    }

    fn report(&self, now: Instant) -> Outcome {
        let age = now.saturating_duration_since(self.began);
        Outcome {
            age_ms: u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
            ..self.outcome.clone()
        }
    }
}

#[cfg(test)]
mod tests;
