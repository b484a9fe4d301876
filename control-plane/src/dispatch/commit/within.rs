//! Events that are written within a transaction: they belong together with another change and are written with it or not at
//! all.
//!
//! They pass by the queues, so this is for what people do, one request at a time.

use super::{Arrival, Emits, Writing, emit};
use crate::{
    dispatch::Dispatch,
    error::Error,
    model::{endpoint::Endpoint, event::NewEvent, id::EventId},
    registry::TenantEntry,
    store::{EmitRow, InboundRow, LedgerTx, Receipt},
};

/// Events that a transaction has written. Dropped before [`Written::committed`], the lanes that they would go to read the
/// table anew, because whether the commit took place is not known.
#[derive(Debug)]
pub(crate) struct Written<R: Emits> {
    writing: Writing<R>,
    /// Of each row whether its event is new.
    is_new: Vec<bool>,
}

impl Dispatch {
    /// Writes events of these ids to whoever is subscribed to them. Idempotency keys are not looked at.
    pub(crate) async fn emit_within(
        &self,
        tx: &mut LedgerTx,
        tenant: &TenantEntry,
        events: Vec<(EventId, NewEvent)>,
    ) -> Result<Written<EmitRow>, Error> {
        let rows = events.into_iter();
        let rows = rows.map(|(id, event)| emit::row_of(tenant, id, event));
        self.insert_within(tx, rows.collect::<Result<_, Error>>()?)
            .await
    }

    /// Writes an event that tests an endpoint, and goes to it alone.
    pub(crate) async fn test_within(
        &self,
        tx: &mut LedgerTx,
        endpoint: &Endpoint,
        id: EventId,
    ) -> Result<Written<EmitRow>, Error> {
        let row = emit::test_row(endpoint, id)?;
        self.insert_within(tx, vec![row]).await
    }

    async fn insert_within(
        &self,
        tx: &mut LedgerTx,
        rows: Vec<EmitRow>,
    ) -> Result<Written<EmitRow>, Error> {
        let writing = self.writing(rows);
        for row in writing.rows() {
            tx.event_insert(row).await?;
        }
        let is_new = vec![true; writing.rows().len()];
        Ok(Written { writing, is_new })
    }

    /// Receives a request with its items as the group commit does.
    pub(crate) async fn receive_within(
        &self,
        tx: &mut LedgerTx,
        arrivals: Vec<Arrival>,
    ) -> Result<Written<InboundRow>, Error> {
        let writing = self.writing(self.rows(arrivals)?);
        let receipts = tx.inbound_receive(writing.rows()).await?;
        let is_new = receipts.iter().map(|receipt| *receipt == Receipt::New);
        Ok(Written {
            is_new: is_new.collect(),
            writing,
        })
    }
}

impl<R: Emits> Written<R> {
    /// How many endpoints and handlers the events go to.
    pub(crate) fn delivery_count(&self) -> u32 {
        let emits = self.writing.rows().iter().filter_map(R::emit);
        let counts = emits.map(|emit| u32::from(emit.event.delivery_count));
        counts.sum()
    }

    /// The transaction is committed.
    pub(crate) fn committed(self) {
        self.writing.written(self.is_new.into_iter());
    }
}
