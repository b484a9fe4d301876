//! The payloads that memory holds between the emit and the lease, within a budget of bytes.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use crate::model::event::Event;

/// How many bytes of payloads may wait in memory. What exceeds it is read from the database when its turn comes.
const BUDGET_BYTES: usize = 64 * 1_024 * 1_024;
/// What an event costs besides its payload, in bytes, roughly.
const OVERHEAD_BYTES: usize = 256;

/// Counts the bytes that wait. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct PayloadBudget(Arc<AtomicUsize>);

impl PayloadBudget {
    /// Holds an event, unless the budget is spent.
    pub(super) fn hold(&self, event: &Arc<Event>) -> Option<Arc<HeldEvent>> {
        if self.used() >= BUDGET_BYTES {
            return None;
        }
        let bytes = event.payload.len() + OVERHEAD_BYTES;
        self.0.fetch_add(bytes, Ordering::Relaxed);
        Some(Arc::new(HeldEvent {
            event: Arc::clone(event),
            bytes,
            budget: self.clone(),
        }))
    }

    /// How many bytes wait.
    pub(super) fn used(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// An event that counts against the budget until it is dropped.
#[derive(Debug)]
pub(super) struct HeldEvent {
    event: Arc<Event>,
    bytes: usize,
    budget: PayloadBudget,
}

impl HeldEvent {
    /// The event.
    pub(super) fn event(&self) -> &Arc<Event> {
        &self.event
    }
}

impl Drop for HeldEvent {
    fn drop(&mut self) {
        self.budget.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
