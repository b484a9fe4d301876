//! Outcomes that the control plane has not committed: kept until it says so, and sent again in the next session.
//!
//! Pure bookkeeping. It holds as many outcomes as the node held leases, because a lease's credit goes back only when the
//! ledger has room.

use std::collections::VecDeque;

use posthorn::v1::{LeaseReference, Outcome, Outcomes};
use prost::Message as _;
use tokio::time::Instant;

/// How many outcomes one message carries at most.
pub(super) const ROWS_MAX: usize = 1_024;
/// How many bytes one message carries at most, roughly.
const MESSAGE_BYTES_MAX: usize = 1024 * 1024;
/// How many bytes of outcomes a `Hello` carries at most, roughly. What is over follows in messages of its own.
const HELLO_BYTES_MAX: usize = 2 * 1024 * 1024;

/// One outcome, and what is needed to report it again.
#[derive(Debug, Clone)]
pub(super) struct Row {
    /// The outcome; its `age_ms` is set when it is sent.
    pub(super) outcome: Outcome,
    /// The lease's endpoint.
    pub(super) endpoint_id: String,
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
pub(super) struct Recital {
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
        let fits = |row: &&Row| {
            bytes += row.outcome.encoded_len();
            bytes <= MESSAGE_BYTES_MAX
        };
        let count = rows.iter().take(ROWS_MAX).take_while(fits).count().max(1);
        let rows: Vec<Row> = rows.drain(..count.min(rows.len())).collect();
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
    pub(super) fn recite(&self, now: Instant) -> Recital {
        let mut recital = Recital::default();
        let mut bytes = 0;
        for batch in &self.batches {
            bytes += batch.bytes;
            if bytes <= HELLO_BYTES_MAX {
                recital.hello.push(batch.message(now));
            } else {
                recital.later.push(batch.message(now));
                recital.held.extend(batch.rows.iter().map(Row::reference));
            }
        }
        recital
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
            endpoint_id: self.endpoint_id.clone(),
            attempt: self.outcome.attempt,
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
mod tests {
    use std::time::Duration;

    use posthorn::v1::{HttpAnswer, outcome::Result as Fact};

    use super::*;
    use crate::clock;

    fn rows(ids: std::ops::Range<u64>, excerpt_bytes: usize, began: Instant) -> VecDeque<Row> {
        let row = |lease_id| Row {
            outcome: Outcome {
                lease_id,
                result: Some(Fact::Answer(HttpAnswer {
                    excerpt: vec![b'x'; excerpt_bytes].into(),
                    ..HttpAnswer::default()
                })),
                ..Outcome::default()
            },
            endpoint_id: "ep_1".to_owned(),
            began,
        };
        ids.map(row).collect()
    }

    #[test]
    fn what_is_committed_is_forgotten_and_the_rest_is_recited_with_its_sequence_and_its_age() {
        let began = clock::now();
        let mut ledger = Ledger::default();
        for ids in [0..2, 2..3, 3..5] {
            ledger.enter(&mut rows(ids, 1, began), began);
        }
        assert_eq!(ledger.commit(1), [0, 1]);
        assert!(ledger.commit(1).is_empty());
        assert_eq!(ledger.rows(), 3);
        let recital = ledger.recite(began + Duration::from_millis(70));
        let sequences: Vec<u64> = recital.hello.iter().map(|batch| batch.sequence).collect();
        assert_eq!(sequences, [2, 3]);
        assert!(
            recital
                .hello
                .iter()
                .flat_map(|batch| &batch.outcomes)
                .all(|row| row.age_ms == 70)
        );
        assert!(recital.later.is_empty() && recital.held.is_empty());
        assert_eq!(ledger.commit(u64::MAX), [2, 3, 4]);
        assert_eq!(ledger.rows(), 0);
    }

    #[test]
    fn a_message_has_a_limit_of_rows_and_of_bytes() {
        let now = clock::now();
        let mut ledger = Ledger::default();
        let mut small = rows(0..2_000, 1, now);
        assert_eq!(ledger.enter(&mut small, now).outcomes.len(), ROWS_MAX);
        assert_eq!(small.len(), 2_000 - ROWS_MAX);
        let mut large = rows(0..1_000, 4_096, now);
        assert!(ledger.enter(&mut large, now).encoded_len() <= MESSAGE_BYTES_MAX + 8_192);
        assert!(large.len() > 700);
    }

    #[test]
    fn what_is_too_much_for_a_hello_follows_it_and_its_leases_are_named_as_held() {
        let now = clock::now();
        let mut ledger = Ledger::default();
        let mut waiting = rows(0..2_000, 4_096, now);
        while !waiting.is_empty() {
            ledger.enter(&mut waiting, now);
        }
        let recital = ledger.recite(now);
        let told = |batches: &[Outcomes]| {
            batches
                .iter()
                .map(|batch| batch.outcomes.len())
                .sum::<usize>()
        };
        assert!(told(&recital.hello) > 0 && told(&recital.later) > 0);
        assert_eq!(told(&recital.hello) + told(&recital.later), 2_000);
        assert_eq!(told(&recital.later), recital.held.len());
    }
}
