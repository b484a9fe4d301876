//! The events of what waits: those that memory holds between the emit and the lease, within a budget of bytes, and reading the
//! others when their turn comes.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::{
    model::{event::Event, id::EventId},
    store::{self, Store},
};

/// How many bytes of payloads may wait in memory. What exceeds it is read from the database when its turn comes.
const BUDGET_BYTES: usize = 64 * 1_024 * 1_024;
/// What an event costs besides its payload, in bytes, roughly.
const OVERHEAD_BYTES: usize = 256;

/// The events of what waits.
#[derive(Debug)]
pub(super) struct Payloads {
    store: Store,
    used: Arc<AtomicUsize>,
}

/// An event that counts against the budget until it is dropped.
#[derive(Debug)]
pub(super) struct HeldEvent {
    event: Arc<Event>,
    bytes: usize,
    used: Arc<AtomicUsize>,
}

impl Payloads {
    /// None yet.
    pub(super) fn new(store: Store) -> Self {
        Self {
            store,
            used: Arc::default(),
        }
    }

    /// Holds an event, unless the budget is spent.
    pub(super) fn hold(&self, event: &Arc<Event>) -> Option<Arc<HeldEvent>> {
        if self.used() >= BUDGET_BYTES {
            return None;
        }
        let bytes = event.payload.len() + OVERHEAD_BYTES;
        self.used.fetch_add(bytes, Ordering::Relaxed);
        Some(Arc::new(HeldEvent {
            event: Arc::clone(event),
            bytes,
            used: Arc::clone(&self.used),
        }))
    }

    /// How many bytes wait.
    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Reads events that memory does not hold.
    pub(super) async fn load(
        &self,
        ids: HashSet<EventId>,
    ) -> Result<HashMap<EventId, Arc<Event>>, store::Error> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let ids = ids.into_iter().collect::<Vec<_>>();
        let events = self.store.event_load(&ids).await?;
        Ok(events.into_iter().map(|event| (event.id, event)).collect())
    }
}

impl HeldEvent {
    /// The event.
    pub(super) fn event(&self) -> &Arc<Event> {
        &self.event
    }
}

impl Drop for HeldEvent {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
