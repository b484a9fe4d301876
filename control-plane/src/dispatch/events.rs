//! The events of leases: those that memory holds, and reading the others.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{Dispatch, scheduler::Grant};
use crate::{
    model::{event::Event, id::EventId},
    store,
};

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
