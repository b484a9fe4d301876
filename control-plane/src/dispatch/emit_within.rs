//! Events that are written within a transaction: they belong together with another change and are written with it or not at
//! all.
//!
//! They pass by the queues, so this is for what people do, one request at a time.

use super::{Arrival, Dispatch, emit};
use crate::{
    error::Error,
    model::{endpoint::Endpoint, event::NewEvent, id::EventId},
    registry::TenantEntry,
    store::{EmitRow, LedgerTx, Receipt},
};

/// Events that a transaction has written. The scheduler hears of them from [`Written::committed`]; dropped instead, the
/// lanes that they would go to read the table again, because whether the commit took place is not known.
#[derive(Debug)]
pub(crate) struct Written {
    dispatch: Dispatch,
    /// The events with whether each is new.
    rows: Vec<(EmitRow, bool)>,
    is_committed: bool,
}

impl Dispatch {
    /// Writes events of these ids to whoever is subscribed to them. Idempotency keys are not looked at.
    pub(crate) async fn emit_within(
        &self,
        tx: &mut LedgerTx,
        tenant: &TenantEntry,
        events: Vec<(EventId, NewEvent)>,
    ) -> Result<Written, Error> {
        let rows = events.into_iter();
        let rows = rows.map(|(id, event)| Ok((emit::row_of(tenant, id, event)?, true)));
        let written = self.begin_within(rows.collect::<Result<_, Error>>()?);
        for (row, _) in &written.rows {
            tx.event_insert(row).await?;
        }
        Ok(written)
    }

    /// Writes an event that tests an endpoint, and goes to it alone.
    pub(crate) async fn test_within(
        &self,
        tx: &mut LedgerTx,
        endpoint: &Endpoint,
        id: EventId,
    ) -> Result<Written, Error> {
        let row = emit::test_row(endpoint, id)?;
        let written = self.begin_within(vec![(row, true)]);
        for (row, _) in &written.rows {
            tx.event_insert(row).await?;
        }
        Ok(written)
    }

    /// Receives a request with its items as the group commit does, and says what became of each.
    pub(crate) async fn receive_within(
        &self,
        tx: &mut LedgerTx,
        arrivals: Vec<Arrival>,
    ) -> Result<(Vec<Receipt>, Written), Error> {
        let rows = self.rows(arrivals)?;
        let emits = rows
            .iter()
            .filter_map(|row| Some((row.emit()?.clone(), false)));
        let mut written = self.begin_within(emits.collect());
        let receipts = tx.inbound_receive(&rows).await?;
        let is_event = rows.iter().map(|row| row.emit().is_some());
        let events = receipts
            .iter()
            .zip(is_event)
            .filter(|(_, is_event)| *is_event);
        for ((_, is_new), (receipt, _)) in written.rows.iter_mut().zip(events) {
            *is_new = *receipt == Receipt::New;
        }
        Ok((receipts, written))
    }

    fn begin_within(&self, rows: Vec<(EmitRow, bool)>) -> Written {
        self.writing(rows.iter().map(|(row, _)| row));
        Written {
            dispatch: self.clone(),
            rows,
            is_committed: false,
        }
    }
}

impl Written {
    /// How many endpoints and handlers the events go to.
    pub(crate) fn delivery_count(&self) -> u32 {
        let counts = self
            .rows
            .iter()
            .map(|(row, _)| u32::from(row.event.delivery_count));
        counts.sum()
    }

    /// The transaction is committed.
    pub(crate) fn committed(mut self) {
        self.is_committed = true;
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        let rows = self.rows.iter();
        if self.is_committed {
            self.dispatch
                .schedule(rows.map(|(row, is_new)| (row, *is_new)));
        } else {
            self.dispatch.doubt(rows.map(|(row, _)| row));
        }
    }
}
