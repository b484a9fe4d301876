//! Outcomes: what nodes report, durable in one group commit, then back to the scheduler.
//!
//! A commit that fails is repeated until the database is back: the nodes keep what they reported until it is durable, so
//! nothing depends on this process living that long.

use std::{collections::HashSet, time::Duration};

use posthorn::v1::ErrorKind;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Dispatch, scheduler::Settled};
use crate::{
    clock,
    metrics::{Commit, Word},
    model::id::DeliveryId,
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
    Barrier(u64, mpsc::UnboundedSender<u64>),
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
            let _ = acknowledged.send(sequence);
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
    let moved = write(dispatch, &rows).await;
    let commit = Commit { kind: "outcome" };
    let metrics = &dispatch.0.metrics;
    let elapsed = clock::monotonic().duration_since(began);
    metrics
        .commit_seconds
        .get_or_create(&commit)
        .observe(elapsed.as_secs_f64());
    #[expect(
        clippy::cast_precision_loss,
        reason = "a batch has at most a few hundred rows"
    )]
    metrics
        .commit_rows
        .get_or_create(&commit)
        .observe(rows.len() as f64);
    settle(dispatch, &rows, &moved);
}

/// Writes a batch, however long that takes. A row that the database refuses for good is logged and left out.
async fn write(dispatch: &Dispatch, rows: &[OutcomeRow]) -> HashSet<DeliveryId> {
    loop {
        match dispatch.0.store.outcome_batch(rows).await {
            Ok(moved) => return moved,
            Err(store::Error::Unavailable(cause)) => {
                tracing::warn!(error = %cause, rows = rows.len(), "an outcome commit failed; repeating it");
                tokio::time::sleep(REPEAT_PAUSE).await;
            }
            Err(store::Error::Bug(cause)) if rows.len() == 1 => {
                let delivery_id = rows[0].attempt.delivery_id;
                tracing::error!(%delivery_id, error = ?cause, "the outcome of {delivery_id} could not be written");
                return HashSet::new();
            }
            Err(store::Error::Bug(cause)) => {
                tracing::warn!(error = %cause, "an outcome batch was refused; writing its rows one by one");
                let mut moved = HashSet::new();
                for row in rows {
                    moved.extend(Box::pin(write(dispatch, std::slice::from_ref(row))).await);
                }
                return moved;
            }
        }
    }
}

fn settle(dispatch: &Dispatch, rows: &[OutcomeRow], moved: &HashSet<DeliveryId>) {
    let now_ms = clock::now_ms();
    {
        let mut scheduler = dispatch.scheduler();
        for row in rows {
            let attempt = &row.attempt;
            let id = attempt.delivery_id;
            let settled = match row.consequence {
                Consequence::None if attempt.late => continue,
                Consequence::None | Consequence::Deliver => Settled::Ended,
                _ if !moved.contains(&id) => Settled::Unknown,
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
    }
}
