//! The payloads that memory holds between the emit and the lease, within a budget of bytes, and reading the others.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::{Dispatch, scheduler::Grant};
use crate::{
    model::{event::Event, id::EventId},
    store,
};

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

/// The events of some leases.
#[derive(Debug)]
pub(super) struct Events(HashMap<EventId, Arc<Event>>);

impl Events {
    /// The event of one of the leases. None: the table does not have it.
    pub(super) fn of<'a>(&'a self, grant: &'a Grant) -> Option<&'a Arc<Event>> {
        let held = grant.event.as_ref().map(|held| held.event());
        held.or_else(|| self.0.get(&grant.delivery_id.event()))
    }
}

impl Dispatch {
    /// Reads the events of leases that memory does not hold.
    pub(super) async fn load_events(&self, grants: &[Grant]) -> Result<Events, store::Error> {
        let missing = grants.iter().filter(|grant| grant.event.is_none());
        let missing = missing.map(|grant| grant.delivery_id.event());
        let missing = missing
            .collect::<HashSet<_>>()
            .into_iter()
            .collect::<Vec<_>>();
        if missing.is_empty() {
            return Ok(Events(HashMap::new()));
        }
        let events = self.0.store.event_load(&missing).await?;
        let events = events.into_iter().map(|event| (event.id, event));
        Ok(Events(events.collect()))
    }
}
