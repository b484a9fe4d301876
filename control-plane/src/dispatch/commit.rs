//! What the two group commits of events share, emits and inbound requests: how a queue becomes batches, how long a commit
//! whose result is unknown is repeated, and how what was written reaches the scheduler.
//!
//! The batch is whatever queued while the last commit ran; there is no timer at low load.

use std::{collections::HashSet, time::Duration};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Dispatch, Entry};
use crate::{
    clock, outage,
    store::{self, EmitRow},
};

/// How many events one commit carries, unless a single request has more.
const BATCH_EVENTS_MAX: usize = 512;
/// How many deliveries one commit carries, unless a single event or request has more.
const BATCH_DELIVERIES_MAX: usize = 4_096;
/// How many bytes of payloads one commit carries, unless a single event or request has more.
const BATCH_BYTES_MAX: usize = 8 * 1_024 * 1_024;
/// For how long a commit is repeated while the database does not answer.
const REPEAT_FOR: Duration = Duration::from_secs(3);
/// How long a repeat waits.
const REPEAT_PAUSE: Duration = Duration::from_millis(100);

/// What something adds to a commit.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Load {
    pub(super) events: usize,
    pub(super) deliveries: usize,
    pub(super) bytes: usize,
}

impl Load {
    /// An event and its deliveries.
    pub(super) fn of(emit: &EmitRow) -> Self {
        Self {
            events: 1,
            deliveries: emit.endpoints.len(),
            bytes: emit.event.payload.len(),
        }
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            events: self.events + other.events,
            deliveries: self.deliveries + other.deliveries,
            bytes: self.bytes + other.bytes,
        }
    }

    fn fits(self) -> bool {
        self.events <= BATCH_EVENTS_MAX
            && self.deliveries <= BATCH_DELIVERIES_MAX
            && self.bytes <= BATCH_BYTES_MAX
    }
}

/// What waits for a group commit.
pub(super) trait Pending: Sized + Send {
    /// What it adds to the commit.
    fn load(&self) -> Load;

    /// Writes a batch and answers whoever waits for it.
    fn commit(dispatch: &Dispatch, batch: Vec<Self>) -> impl Future<Output = ()> + Send;
}

/// Commits what queues until `shutdown`, then what is queued.
pub(super) async fn run<P: Pending>(
    dispatch: Dispatch,
    mut queue: mpsc::Receiver<P>,
    shutdown: CancellationToken,
) {
    let mut waiting = Vec::new();
    loop {
        if waiting.is_empty() {
            tokio::select! {
                biased;
                received = queue.recv_many(&mut waiting, BATCH_EVENTS_MAX) => {
                    if received == 0 {
                        return;
                    }
                }
                () = shutdown.cancelled(), if !queue.is_closed() => queue.close(),
            }
        }
        let rest = waiting.split_off(batch_len(&waiting));
        let batch = std::mem::replace(&mut waiting, rest);
        if !batch.is_empty() {
            P::commit(&dispatch, batch).await;
        }
    }
}

/// How many of those that wait go into the next commit.
fn batch_len<P: Pending>(waiting: &[P]) -> usize {
    let mut load = Load::default();
    let fitting = waiting.iter().take_while(|pending| {
        load = load.plus(pending.load());
        load.fits()
    });
    fitting.count().max(1).min(waiting.len())
}

/// Writes a batch of so many rows, repeating it for a while when the database does not answer.
pub(super) async fn write<T, F>(
    dispatch: &Dispatch,
    kind: &'static str,
    rows: usize,
    batch: impl Fn() -> F,
) -> Result<T, store::Error>
where
    F: Future<Output = Result<T, store::Error>>,
{
    let began = clock::monotonic();
    loop {
        let written = batch().await;
        let elapsed = clock::monotonic().duration_since(began);
        match written {
            Err(error @ store::Error::Unavailable(_)) if elapsed < REPEAT_FOR => {
                outage::log(&error, "a commit of events failed and is repeated");
                tokio::time::sleep(REPEAT_PAUSE).await;
            }
            Ok(done) => {
                dispatch.0.metrics.committed(kind, elapsed, rows);
                return Ok(done);
            }
            Err(error) => return Err(error),
        }
    }
}

impl Dispatch {
    /// Tells the scheduler that the table is about to hold more than it knows.
    pub(super) fn writing<'a>(&self, rows: impl Iterator<Item = &'a EmitRow>) {
        self.scheduler().writing(rows.map(|row| row.event.id));
    }

    /// Hands what was written to the scheduler: each row with whether its event is new.
    pub(super) fn schedule<'a>(&self, rows: impl Iterator<Item = (&'a EmitRow, bool)> + Clone) {
        let now_ms = clock::now_ms();
        {
            let mut scheduler = self.scheduler();
            scheduler.written(rows.clone().map(|(row, _)| row.event.id));
            let new = rows.filter(|(row, is_new)| *is_new && !row.endpoints.is_empty());
            for (row, _) in new {
                let held = self.0.budget.hold(&row.event);
                for (delivery_id, endpoint_id) in row.deliveries() {
                    let key = (row.event.id.created_at(), delivery_id);
                    scheduler.admit(endpoint_id, key, Entry::fresh(held.clone()), now_ms);
                }
            }
        }
        self.wake();
    }

    /// Tells the scheduler that rows were not written, or perhaps were.
    pub(super) fn doubt<'a>(&self, rows: impl Iterator<Item = &'a EmitRow> + Clone) {
        let now_ms = clock::now_ms();
        let lanes = rows.clone().flat_map(|row| {
            row.endpoints
                .iter()
                .map(|endpoint_id| (row.event.id.shard(), *endpoint_id))
        });
        let lanes = lanes.collect::<HashSet<_>>();
        {
            let mut scheduler = self.scheduler();
            scheduler.written(rows.map(|row| row.event.id));
            for (shard, endpoint_id) in lanes {
                scheduler.suspect(shard, endpoint_id, now_ms);
            }
        }
        self.wake();
    }
}
