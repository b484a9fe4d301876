//! Emitting within a transaction: an event that belongs together with another change and is written with it or not at all.
//!
//! It passes by the queue of emits, so it is for what people do, one event at a time.

use super::{Dispatch, emit};
use crate::{
    error::Error,
    model::{event::NewEvent, id::EventId},
    registry::TenantEntry,
    store::{EmitRow, Tx},
};

/// An event that a transaction has written. The scheduler hears of it from [`Written::committed`]; dropped instead, the
/// lanes that it would go to read the table again, because whether the commit took place is not known.
#[derive(Debug)]
pub(crate) struct Written {
    dispatch: Dispatch,
    row: EmitRow,
    is_committed: bool,
}

impl Dispatch {
    /// Writes an event of this id to whoever is subscribed to it. Its idempotency key is not looked at.
    pub(crate) async fn emit_within(
        &self,
        tx: &mut Tx,
        tenant: &TenantEntry,
        id: EventId,
        event: NewEvent,
    ) -> Result<Written, Error> {
        let row = emit::row_of(tenant, id, event)?;
        self.writing([&row].into_iter());
        let written = Written {
            dispatch: self.clone(),
            row,
            is_committed: false,
        };
        tx.event_insert(&written.row).await?;
        Ok(written)
    }
}

impl Written {
    /// How many endpoints and handlers the event goes to.
    pub(crate) fn delivery_count(&self) -> u16 {
        self.row.event.delivery_count
    }

    /// The transaction is committed.
    pub(crate) fn committed(mut self) {
        self.is_committed = true;
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        if self.is_committed {
            self.dispatch.schedule([(&self.row, true)].into_iter());
        } else {
            self.dispatch.doubt([&self.row].into_iter());
        }
    }
}
