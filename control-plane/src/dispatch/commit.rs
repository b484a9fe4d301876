//! The group commits: of emits, of inbound requests, and of outcomes. Each is a queue and a loop that writes what queued while
//! the last commit ran; there is no timer at low load.
//!
//! What the two commits of events share is here: how a queue becomes batches, and how long a commit whose result is unknown
//! is repeated. `writing` is how the schedule hears of what is written, `within` writes events in a caller's transaction.

mod arrival;
mod emit;
mod inbound;
mod outcome;
mod within;
mod writing;

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

pub(crate) use self::{
    arrival::{Arrival, Holds},
    emit::{Accepted, Emitting},
    inbound::Received,
    writing::{Emits, Writing},
};
use self::{
    emit::PendingEmit,
    inbound::{PendingInbound, PendingKeep},
    outcome::PendingOutcomes,
};
use super::Dispatch;
use crate::{
    clock,
    error::Error,
    lock::Leaf,
    model::id::TenantId,
    outage,
    store::{self, EmitRow},
};

/// How many emits, how many inbound requests, and how many outcomes, may wait for their group commit.
const QUEUE_MAX: usize = 16_384;

/// What waits to be committed.
#[derive(Debug)]
pub(super) struct Queues {
    emits: mpsc::Sender<PendingEmit>,
    outcomes: mpsc::Sender<PendingOutcomes>,
    inbounds: mpsc::Sender<PendingInbound>,
    keeps: mpsc::Sender<PendingKeep>,
    /// How many outcomes wait.
    reporting: Arc<Semaphore>,
    /// How much of the inbound requests waits, in KiB.
    receiving: Arc<Semaphore>,
    /// How much of what is kept without being accepted waits, in KiB.
    keeping: Arc<Semaphore>,
    /// The emits of each tenant that wait.
    queued: Leaf<HashMap<TenantId, Arc<Semaphore>>>,
}

/// The other ends of the queues.
#[derive(Debug)]
pub(crate) struct Commits {
    emits: mpsc::Receiver<PendingEmit>,
    outcomes: mpsc::Receiver<PendingOutcomes>,
    inbounds: mpsc::Receiver<PendingInbound>,
    keeps: mpsc::Receiver<PendingKeep>,
}

impl Queues {
    /// Empty queues, with the ends that are to be committed from.
    pub(super) fn new() -> (Self, Commits) {
        let (emits, emit_queue) = mpsc::channel(QUEUE_MAX);
        let (outcomes, outcome_queue) = mpsc::channel(QUEUE_MAX);
        let (inbounds, inbound_queue) = mpsc::channel(QUEUE_MAX);
        let (keeps, keep_queue) = mpsc::channel(inbound::KEEP_QUEUE_MAX);
        let queues = Self {
            emits,
            outcomes,
            inbounds,
            keeps,
            reporting: Arc::new(Semaphore::new(QUEUE_MAX)),
            receiving: Arc::new(Semaphore::new(inbound::QUEUE_KIB)),
            keeping: Arc::new(Semaphore::new(inbound::KEEP_QUEUE_KIB)),
            queued: Leaf::default(),
        };
        let commits = Commits {
            emits: emit_queue,
            outcomes: outcome_queue,
            inbounds: inbound_queue,
            keeps: keep_queue,
        };
        (queues, commits)
    }
}

impl Commits {
    /// Begins to commit what queues, until `shutdown` and everything that is queued then is written. None of the loops ends
    /// by itself: without it nothing may be accepted.
    pub(super) fn begin(self, dispatch: &Dispatch, shutdown: &CancellationToken) -> JoinSet<()> {
        let mut loops = JoinSet::new();
        let with = || (dispatch.clone(), shutdown.clone());
        loops.spawn(run(self.emits, with()));
        loops.spawn(run(self.inbounds, with()));
        loops.spawn(inbound::run_keeping(self.keeps, with()));
        loops.spawn(outcome::run(self.outcomes, with()));
        loops
    }
}

/// What is queued no more.
fn shutting_down() -> Error {
    Error::Unavailable("the control plane shuts down".to_owned())
}

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
struct Load {
    events: usize,
    deliveries: usize,
    bytes: usize,
}

impl Load {
    /// An event and its deliveries.
    fn of(emit: &EmitRow) -> Self {
        Self {
            events: 1,
            deliveries: emit.endpoints.len(),
            bytes: emit.event.payload.len(),
        }
    }

    fn plus(self, other: Self) -> Self {
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
trait Pending: Sized + Send {
    /// What it adds to the commit.
    fn load(&self) -> Load;

    /// Writes a batch and answers whoever waits for it.
    fn commit(dispatch: &Dispatch, batch: Vec<Self>) -> impl Future<Output = ()> + Send;
}

/// Commits what queues until `shutdown`, then what is queued.
async fn run<P: Pending>(
    mut queue: mpsc::Receiver<P>,
    (dispatch, shutdown): (Dispatch, CancellationToken),
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
async fn write<T, F>(
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
                dispatch.0.core.metrics.committed(kind, elapsed, rows);
                return Ok(done);
            }
            Err(error) => return Err(error),
        }
    }
}
