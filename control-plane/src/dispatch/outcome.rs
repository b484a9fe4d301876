//! Outcomes: what nodes report, durable in one group commit, then back to the scheduler.
//!
//! A commit that fails is repeated until the database is back: the nodes keep what they reported until it is durable, so
//! nothing depends on this process living that long.

use std::{collections::HashSet, time::Duration};

use posthorn::v1::ErrorKind;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{Dispatch, scheduler::Settled};
use crate::{
    clock,
    metrics::Word,
    model::id::DeliveryId,
    outage,
    store::{self, Consequence, OutcomeRow},
};

/// How many outcomes one commit carries.
const BATCH_MAX: usize = 512;
/// How long a repeat waits.
const REPEAT_PAUSE: Duration = Duration::from_millis(200);

/// What waits for the next commit.
#[derive(Debug)]
pub(super) enum PendingOutcome {
    /// An attempt and what follows from it.
    Row(Box<OutcomeRow>),
    /// Everything before this is durable once it is reached: the sequence to acknowledge, and to whom.
    Barrier(u64, watch::Sender<u64>),
}

/// Commits what queues until `shutdown`, then what is queued.
pub(super) async fn run(
    dispatch: Dispatch,
    mut queue: mpsc::Receiver<PendingOutcome>,
    shutdown: CancellationToken,
) {
    let mut waiting = Vec::new();
    loop {
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
        let mut rows = Vec::with_capacity(waiting.len());
        let mut barriers = Vec::new();
        for pending in waiting.drain(..) {
            match pending {
                PendingOutcome::Row(row) => rows.push(*row),
                PendingOutcome::Barrier(sequence, acknowledged) => {
                    barriers.push((sequence, acknowledged));
                }
            }
        }
        if !rows.is_empty() {
            prefer_successes(&mut rows);
            commit(&dispatch, rows).await;
        }
        for (sequence, acknowledged) in barriers {
            // The session may be gone; the node reports again in its next one.
            acknowledged.send_if_modified(|through| {
                let is_later = sequence > *through;
                *through = sequence.max(*through);
                is_later
            });
        }
    }
}

/// Lets a failure change nothing whose delivery a late success ends in the same batch: one statement cannot do both to
/// one row.
fn prefer_successes(rows: &mut [OutcomeRow]) {
    let is_late_success =
        |row: &&OutcomeRow| row.attempt.late && row.consequence == Consequence::Deliver;
    let delivered: HashSet<_> = rows
        .iter()
        .filter(is_late_success)
        .map(|row| row.attempt.delivery_id)
        .collect();
    if delivered.is_empty() {
        return;
    }
    for row in rows {
        if row.consequence != Consequence::Deliver && delivered.contains(&row.attempt.delivery_id) {
            row.consequence = Consequence::None;
        }
    }
}

async fn commit(dispatch: &Dispatch, rows: Vec<OutcomeRow>) {
    let began = clock::monotonic();
    let written = write(dispatch, &rows).await;
    let elapsed = clock::monotonic().duration_since(began);
    dispatch.0.metrics.committed("outcome", elapsed, rows.len());
    settle(dispatch, &rows, &written);
}

/// What became of a batch.
#[derive(Debug, Default)]
struct Written {
    /// The deliveries that a retry or a death moved.
    moved: HashSet<DeliveryId>,
    /// The leases whose rows the database refused for good.
    refused: HashSet<u64>,
}

/// Writes a batch, however long that takes. A row that the database refuses for good is logged and left out.
async fn write(dispatch: &Dispatch, rows: &[OutcomeRow]) -> Written {
    loop {
        match dispatch.0.store.outcome_batch(rows).await {
            Ok(moved) => {
                return Written {
                    moved,
                    ..Written::default()
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
async fn write_singly(dispatch: &Dispatch, rows: &[OutcomeRow], error: store::Error) -> Written {
    let mut written = Written::default();
    if let [row] = rows {
        let delivery_id = row.attempt.delivery_id;
        tracing::error!(%delivery_id, error = ?error, "the outcome of {delivery_id} could not be written");
        written.refused.insert(row.attempt.lease_id);
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

fn settle(dispatch: &Dispatch, rows: &[OutcomeRow], written: &Written) {
    let now_ms = clock::now_ms();
    {
        let mut scheduler = dispatch.scheduler();
        for row in rows {
            let attempt = &row.attempt;
            let id = attempt.delivery_id;
            let settled = match row.consequence {
                Consequence::None if attempt.late => continue,
                _ if written.refused.contains(&attempt.lease_id) => Settled::Unknown,
                Consequence::None | Consequence::Deliver => Settled::Ended,
                _ if !written.moved.contains(&id) => Settled::Unknown,
                Consequence::RetryAt(at) => Settled::RetryAt(at),
                Consequence::Die { .. } => Settled::Ended,
            };
            if attempt.late {
                scheduler.forget(attempt.endpoint_id, id, now_ms);
            }
            scheduler.settle(id, attempt.lease_id, settled, now_ms);
        }
    }
    dispatch.wake();
    for row in rows {
        count(dispatch, row);
        log(row);
    }
}

fn count(dispatch: &Dispatch, row: &OutcomeRow) {
    let metrics = &dispatch.0.metrics;
    let attempt = &row.attempt;
    let result = attempt.outcome.error.map_or("success", error_word);
    metrics.attempts.get_or_create(&Word { result }).inc();
    let seconds = f64::from(attempt.duration_ms) / 1_000.0;
    metrics.attempt_seconds.observe(seconds);
    if attempt.number == 1 {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a latency in milliseconds is far below 2^52"
        )]
        let since_emit = (attempt.started_at - attempt.delivery_id.created_at()) as f64 / 1_000.0;
        metrics
            .first_attempt_seconds
            .observe(since_emit.max(0.0) + seconds);
    }
    let ended = match row.consequence {
        Consequence::Deliver => "delivered",
        Consequence::Die { .. } => "dead",
        _ => return,
    };
    metrics
        .deliveries
        .get_or_create(&Word { result: ended })
        .inc();
}

fn log(row: &OutcomeRow) {
    let attempt = &row.attempt;
    let delivery_id = attempt.delivery_id;
    let number = attempt.number;
    let error = attempt.outcome.error.map_or("success", error_word);
    if let Consequence::Die { reason, .. } = row.consequence {
        let endpoint_id = attempt.endpoint_id;
        let reason = reason.as_str();
        tracing::warn!(%delivery_id, %endpoint_id, number, error, reason, "delivery {delivery_id} is dead: {reason}");
    } else {
        tracing::debug!(%delivery_id, number, error, "attempt {number} of {delivery_id}: {error}");
    }
}

/// The word for an error kind in metrics and logs.
fn error_word(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Unspecified => "unspecified",
        ErrorKind::DnsError => "dns_error",
        ErrorKind::ConnectionRefused => "connection_refused",
        ErrorKind::ConnectionReset => "connection_reset",
        ErrorKind::ConnectionClosed => "connection_closed",
        ErrorKind::TlsError => "tls_error",
        ErrorKind::Timeout => "timeout",
        ErrorKind::ProtocolError => "protocol_error",
        ErrorKind::ResponseTooLarge => "response_too_large",
        ErrorKind::TargetNotAllowed => "target_not_allowed",
        ErrorKind::Http3xx => "http_3xx",
        ErrorKind::Http4xx => "http_4xx",
        ErrorKind::Http5xx => "http_5xx",
        ErrorKind::HandlerFailed => "handler_failed",
        ErrorKind::Other => "other",
    }
}
