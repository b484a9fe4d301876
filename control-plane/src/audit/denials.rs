//! What was denied: recorded shortly afterwards, by a task of its own, so that nobody waits for it.
//!
//! Who knocks without end must not fill the table: a key has a few records a minute, few wait to be written, and what
//! cannot be written at once is given up. The metric says how many were.

use std::{collections::HashMap, sync::Arc};

use tokio::sync::mpsc;

use super::Record;
use crate::{
    clock::Clock,
    entropy::Entropy,
    lock::Leaf,
    metrics::GrpcMetrics,
    model::{
        audit::{Actor, AuditOutcome, AuditRecord},
        id::{KeyId, TenantId},
    },
    outage,
    store::Store,
};

/// How many denials of one key are recorded in one minute.
pub(crate) const DENIALS_PER_MINUTE_MAX: u32 = 10;
/// How many wait to be written.
pub(crate) const DENIALS_WAITING_MAX: usize = 1_000;
/// Of how many keys they are counted in one minute.
const KEYS_MAX: usize = 10_000;
/// How many are written in one transaction.
const BATCH: usize = 100;
const MINUTE_MS: i64 = 60_000;

/// A call that was denied.
#[derive(Debug, Clone)]
pub(crate) struct Denial {
    /// Whose key it was. None: the installation's.
    pub tenant_id: Option<TenantId>,
    /// The key.
    pub key_id: KeyId,
    /// The caller.
    pub actor: Actor,
    /// The call.
    pub method: &'static str,
    /// Why.
    pub reason: String,
}

/// Takes denials. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Denials(Arc<Taken>);

#[derive(Debug)]
struct Taken {
    waiting: mpsc::Sender<AuditRecord>,
    recent: Leaf<Recent>,
    metrics: GrpcMetrics,
    clock: Clock,
    entropy: Entropy,
}

/// Those that wait to be written.
#[derive(Debug)]
pub(crate) struct WaitingDenials {
    waiting: mpsc::Receiver<AuditRecord>,
    metrics: GrpcMetrics,
}

/// How many denials each key had in this minute.
#[derive(Debug, Default)]
struct Recent {
    minute: i64,
    counts: HashMap<KeyId, u32>,
}

impl Recent {
    /// Counts one; whether it is to be recorded.
    fn admits(&mut self, key_id: KeyId, now_ms: i64) -> bool {
        let minute = now_ms.div_euclid(MINUTE_MS);
        if self.minute != minute {
            self.minute = minute;
            self.counts.clear();
        }
        if self.counts.len() >= KEYS_MAX && !self.counts.contains_key(&key_id) {
            return false;
        }
        let count = self.counts.entry(key_id).or_default();
        *count = count.saturating_add(1);
        *count <= DENIALS_PER_MINUTE_MAX
    }
}

impl Denials {
    /// Denials, and those that wait to be written by [`WaitingDenials::keep`].
    pub(crate) fn new(
        metrics: GrpcMetrics,
        clock: Clock,
        entropy: Entropy,
    ) -> (Self, WaitingDenials) {
        let (sender, receiver) = mpsc::channel(DENIALS_WAITING_MAX);
        let denials = Taken {
            waiting: sender,
            recent: Leaf::default(),
            metrics: metrics.clone(),
            clock,
            entropy,
        };
        let waiting = WaitingDenials {
            waiting: receiver,
            metrics,
        };
        (Self(Arc::new(denials)), waiting)
    }

    /// Has a denial recorded, unless there are too many.
    pub(crate) fn note(&self, denial: Denial) {
        self.note_at(denial, self.0.clock.now_ms());
    }

    pub(super) fn note_at(&self, denial: Denial, now_ms: i64) {
        let Taken {
            waiting,
            recent,
            metrics,
            entropy,
            ..
        } = &*self.0;
        let is_admitted = recent.lock().admits(denial.key_id, now_ms);
        if !is_admitted {
            return metrics.shed_denials("key", 1);
        }
        let record = Record::of(denial.tenant_id, "").because(denial.reason);
        let record = record.record(
            (denial.actor, AuditOutcome::Denied),
            denial.method,
            now_ms,
            &mut entropy.clone(),
        );
        if waiting.try_send(record).is_err() {
            metrics.shed_denials("queue", 1);
        }
    }
}

impl WaitingDenials {
    /// Writes what comes for ever.
    pub(crate) async fn keep(mut self, store: Store) {
        let mut batch = Vec::with_capacity(BATCH);
        while self.waiting.recv_many(&mut batch, BATCH).await > 0 {
            if let Err(error) = super::write_alone(&store, &batch).await {
                outage::log(&error, "denials cannot be put on record");
                self.metrics.shed_denials("database", batch.len() as u64);
            }
            batch.clear();
        }
    }
}
