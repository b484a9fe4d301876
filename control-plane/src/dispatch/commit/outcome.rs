//! Outcomes: what holders report, durable in one group commit, then back to the schedule.
//!
//! A commit that fails is repeated until the database is back: the nodes keep what they reported until it is durable, so
//! nothing depends on this process living that long.

use std::{collections::HashSet, sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::shutting_down;
use crate::{
    clock,
    dispatch::{Dispatch, deaths::Death, schedule::Settled},
    error::Error,
    metrics::ResultLabel,
    model::{
        delivery::{Decision, ErrorKind},
        id::DeliveryId,
        lease::LeaseKey,
    },
    outage,
    store::{self, OutcomeRow},
};

/// How many outcomes one commit carries, unless a single message has more.
const BATCH_MAX: usize = 512;
/// How long a repeat waits.
const REPEAT_PAUSE: Duration = Duration::from_millis(200);

/// The outcomes of one message of a holder, which wait for a commit.
#[derive(Debug)]
pub(super) struct PendingOutcomes {
    rows: Vec<OutcomeRow>,
    /// What is acknowledged once they are durable, and to whom.
    sequence: u64,
    acknowledged: watch::Sender<u64>,
    _permit: OwnedSemaphorePermit,
}

impl Dispatch {
    /// Queues what is to be committed, waiting for room. `acknowledged` gets `sequence` once it is durable.
    pub(in crate::dispatch) async fn queue_outcomes(
        &self,
        rows: Vec<OutcomeRow>,
        sequence: u64,
        acknowledged: watch::Sender<u64>,
    ) -> Result<(), Error> {
        let queues = &self.0.queues;
        let weight = u32::try_from(rows.len()).unwrap_or(u32::MAX);
        let permit = Arc::clone(&queues.reporting)
            .acquire_many_owned(weight)
            .await;
        let pending = PendingOutcomes {
            rows,
            sequence,
            acknowledged,
            _permit: permit.map_err(|_| shutting_down())?,
        };
        let sent = queues.outcomes.send(pending).await;
        sent.map_err(|_| shutting_down())
    }
}

/// Commits what queues until `shutdown`, then what is queued.
pub(super) async fn run(
    mut queue: mpsc::Receiver<PendingOutcomes>,
    (dispatch, shutdown): (Dispatch, CancellationToken),
) {
    let mut waiting = Vec::new();
    loop {
        if waiting.is_empty() {
            tokio::select! {
                biased;
                received = queue.recv_many(&mut waiting, BATCH_MAX) => {
                    if received == 0 {
                        return;
                    }
                }
                () = shutdown.cancelled(), if !queue.is_closed() => {
                    queue.close();
                    continue;
                }
            }
        }
        let rest = waiting.split_off(batch_len(&waiting));
        let batch = std::mem::replace(&mut waiting, rest);
        let mut rows = Vec::with_capacity(batch.iter().map(|pending| pending.rows.len()).sum());
        let mut barriers = Vec::with_capacity(batch.len());
        for pending in batch {
            rows.extend(pending.rows);
            barriers.push((pending.sequence, pending.acknowledged));
        }
        if !rows.is_empty() {
            prefer_successes(&mut rows);
            commit(&dispatch, rows).await;
        }
        for (sequence, acknowledged) in barriers {
            // The stream may be gone; a node reports again in its next one.
            acknowledged.send_if_modified(|through| {
                let is_later = sequence > *through;
                *through = sequence.max(*through);
                is_later
            });
        }
    }
}

/// How many of those that wait go into the next commit.
fn batch_len(waiting: &[PendingOutcomes]) -> usize {
    let mut rows = 0;
    let fitting = waiting.iter().take_while(|pending| {
        rows += pending.rows.len();
        rows <= BATCH_MAX
    });
    fitting.count().max(1).min(waiting.len())
}

/// Lets a failure change nothing whose delivery a late success ends in the same batch: one statement cannot do both to
/// one row.
fn prefer_successes(rows: &mut [OutcomeRow]) {
    let is_late_success =
        |row: &&OutcomeRow| row.attempt.late && row.decision == Decision::Delivered;
    let delivered: HashSet<_> = rows
        .iter()
        .filter(is_late_success)
        .map(|row| row.attempt.lease.delivery_id)
        .collect();
    if delivered.is_empty() {
        return;
    }
    for row in rows {
        if row.decision != Decision::Delivered && delivered.contains(&row.attempt.lease.delivery_id)
        {
            row.decision = Decision::Nothing;
        }
    }
}

async fn commit(dispatch: &Dispatch, rows: Vec<OutcomeRow>) {
    let began = clock::monotonic();
    let written = write(dispatch, &rows).await;
    let elapsed = clock::monotonic().duration_since(began);
    dispatch
        .0
        .core
        .metrics
        .committed("outcome", elapsed, rows.len());
    settle(dispatch, &rows, &written);
}

/// What became of a batch.
#[derive(Debug, Default)]
struct BatchResult {
    /// The deliveries that a retry or a death moved.
    moved: HashSet<DeliveryId>,
    /// The leases whose rows the database refused for good.
    refused: HashSet<u64>,
}

/// Writes a batch, however long that takes. A row that the database refuses for good is logged and left out.
async fn write(dispatch: &Dispatch, rows: &[OutcomeRow]) -> BatchResult {
    loop {
        match dispatch.0.core.store.outcome_batch(rows).await {
            Ok(moved) => {
                return BatchResult {
                    moved,
                    ..BatchResult::default()
                };
            }
            Err(error) if error.is_fault_of_a_row() => {
                return write_singly(dispatch, rows, error).await;
            }
            Err(error) => {
                outage::log(&error, "a commit of outcomes failed and is repeated");
                tokio::time::sleep(REPEAT_PAUSE).await;
            }
        }
    }
}

/// Writes the rows of a refused batch one by one, so that one does not take the others with it.
async fn write_singly(
    dispatch: &Dispatch,
    rows: &[OutcomeRow],
    error: store::Error,
) -> BatchResult {
    let mut written = BatchResult::default();
    if let [row] = rows {
        let delivery_id = row.attempt.lease.delivery_id;
        tracing::error!(%delivery_id, error = ?error, "the outcome of {delivery_id} could not be written");
        written.refused.insert(row.attempt.lease.lease_id);
        return written;
    }
    tracing::warn!(error = ?error, "an outcome batch was refused; writing its rows one by one");
    for row in rows {
        let one = Box::pin(write(dispatch, std::slice::from_ref(row))).await;
        written.moved.extend(one.moved);
        written.refused.extend(one.refused);
    }
    written
}

fn settle(dispatch: &Dispatch, rows: &[OutcomeRow], written: &BatchResult) {
    let schedule = &dispatch.0.schedule;
    let (late, current): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.attempt.late);
    let delivered = late.into_iter().filter(|row| {
        row.decision == Decision::Delivered
            && !written.refused.contains(&row.attempt.lease.lease_id)
    });
    for row in delivered {
        schedule.forget(row.attempt.endpoint_id, row.attempt.lease.delivery_id);
    }
    schedule.settle(current.into_iter().map(|row| settled(row, written)));
    for row in rows {
        count(dispatch, row);
        log(dispatch, row);
    }
}

/// What became of the lease of a row.
fn settled(row: &OutcomeRow, written: &BatchResult) -> (LeaseKey, Settled) {
    let key = row.attempt.lease;
    let settled = match row.decision {
        _ if written.refused.contains(&key.lease_id) => Settled::Unknown,
        Decision::Nothing | Decision::Delivered => Settled::Ended,
        _ if !written.moved.contains(&key.delivery_id) => Settled::Unknown,
        Decision::RetryAt(at) => Settled::RetryAt(at),
        Decision::Dead { .. } => Settled::Ended,
    };
    (key, settled)
}

fn count(dispatch: &Dispatch, row: &OutcomeRow) {
    let metrics = &dispatch.0.core.metrics;
    let attempt = &row.attempt;
    let result = attempt.outcome.error.map_or("success", ErrorKind::as_str);
    metrics
        .attempts
        .get_or_create(&ResultLabel { result })
        .inc();
    let seconds = f64::from(attempt.duration_ms) / 1_000.0;
    metrics.attempt_seconds.observe(seconds);
    if attempt.lease.attempt == 1 {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a latency in milliseconds is far below 2^52"
        )]
        let since_emit =
            (attempt.started_at - attempt.lease.delivery_id.created_at()) as f64 / 1_000.0;
        metrics
            .first_attempt_seconds
            .observe(since_emit.max(0.0) + seconds);
    }
    let ended = match row.decision {
        Decision::Delivered => "delivered",
        Decision::Dead { .. } => "dead",
        _ => return,
    };
    metrics
        .deliveries
        .get_or_create(&ResultLabel { result: ended })
        .inc();
}

fn log(dispatch: &Dispatch, row: &OutcomeRow) {
    let attempt = &row.attempt;
    let LeaseKey {
        delivery_id,
        attempt: number,
        ..
    } = attempt.lease;
    let error = attempt.outcome.error.map_or("success", ErrorKind::as_str);
    if let Decision::Dead { reason, .. } = row.decision {
        let death = Death {
            delivery_id,
            endpoint_id: attempt.endpoint_id,
            reason: reason.as_str(),
            error,
        };
        dispatch.0.deaths.note(death, clock::monotonic());
    } else {
        tracing::debug!(%delivery_id, number, error, "attempt {number} of {delivery_id}: {error}");
    }
}
