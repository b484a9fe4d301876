//! What operators do to deliveries: retry, cancel, redrive, discard.
//!
//! Each change runs in the caller's transaction. A delivery is taken out of the schedule before the change and goes back,
//! moved, after the commit; when the commit does not happen, its lane reads the table again.

use std::collections::HashSet;

use super::Dispatch;
use crate::{
    error::{Error, Reason},
    model::{
        delivery::{Action, DeliveryView, OpenDelivery, OpenState, ViewState},
        id::{DeliveryId, EndpointId, Shard, TenantId},
        object::ObjectState,
    },
    store::{DueDelivery, LedgerTx, OpenFilter},
};

/// Deliveries that a transaction moved. The schedule hears of them when this is dropped, after the commit or instead.
#[derive(Debug)]
pub(crate) struct Moved {
    dispatch: Dispatch,
    shard: Shard,
    lanes: HashSet<EndpointId>,
    cancelled: Option<(EndpointId, DeliveryId)>,
    due: Option<(EndpointId, DueDelivery)>,
}

impl Moved {
    fn new(dispatch: &Dispatch, shard: Shard) -> Self {
        Self {
            dispatch: dispatch.clone(),
            shard,
            lanes: HashSet::new(),
            cancelled: None,
            due: None,
        }
    }

    /// The transaction is committed.
    pub(crate) fn committed(mut self) {
        let engine = &self.dispatch.0;
        if let Some((endpoint_id, id)) = self.cancelled.take()
            // Again: a page that was read before the commit may have brought it back.
            && let Some((lease_id, holder)) = engine.schedule.end(endpoint_id, id)
        {
            engine.holders.revoke(holder, lease_id);
        }
        if let Some((endpoint_id, due)) = self.due.take() {
            self.lanes.remove(&endpoint_id);
            engine.schedule.put_back(endpoint_id, &due);
        }
    }
}

impl Drop for Moved {
    fn drop(&mut self) {
        for endpoint_id in self.lanes.drain() {
            self.dispatch.0.schedule.mark_stale(self.shard, endpoint_id);
        }
    }
}

impl Dispatch {
    /// Makes a delivery due at once.
    pub(crate) async fn retry(
        &self,
        tx: &mut LedgerTx,
        tenant_id: TenantId,
        id: DeliveryId,
        action: &Action,
    ) -> Result<(DeliveryView, Moved), Error> {
        let Some(row) = tx.delivery_lock(tenant_id, id).await? else {
            let ended = self.ended(tenant_id, id).await?;
            return Err(refuse_ended(ended.state));
        };
        if row.retry_open {
            return Err(Error::precondition(
                Reason::RetryPending,
                "an earlier retry has not had its attempt yet",
            ));
        }
        self.check_enabled(row.endpoint_id)?;
        let mut moved = Moved::new(self, id.shard());
        moved.lanes.insert(row.endpoint_id);
        if !self.0.schedule.take_out(row.endpoint_id, id) {
            return Err(Error::precondition(
                Reason::AttemptUnderWay,
                "an attempt is under way: wait for its outcome",
            ));
        }
        tx.delivery_retry(id, action.acted_at).await?;
        tx.action_record(id, row.endpoint_id, tenant_id, row.attempt_count, action)
            .await?;
        let attempt_base = match row.state {
            OpenState::Pending => row.attempt_base,
            OpenState::Dead { .. } => row.attempt_count,
        };
        let due = DueDelivery {
            id,
            due_at: action.acted_at,
            attempt_count: row.attempt_count,
            attempt_base,
        };
        moved.due = Some((row.endpoint_id, due));
        Ok((view(&row, ViewState::Pending(action.acted_at)), moved))
    }

    /// Ends an open delivery.
    pub(crate) async fn cancel(
        &self,
        tx: &mut LedgerTx,
        tenant_id: TenantId,
        id: DeliveryId,
        action: &Action,
    ) -> Result<(DeliveryView, Moved), Error> {
        let mut moved = Moved::new(self, id.shard());
        let Some(row) = tx.delivery_lock(tenant_id, id).await? else {
            let ended = self.ended(tenant_id, id).await?;
            return match ended.state {
                ViewState::Cancelled(_) => Ok((ended, moved)),
                state => Err(refuse_ended(state)),
            };
        };
        moved.lanes.insert(row.endpoint_id);
        moved.cancelled = Some((row.endpoint_id, id));
        self.0.schedule.forget(row.endpoint_id, id);
        tx.delivery_remove(id).await?;
        tx.action_record(id, row.endpoint_id, tenant_id, row.attempt_count, action)
            .await?;
        Ok((view(&row, ViewState::Cancelled(action.acted_at)), moved))
    }

    /// Makes dead letters due at once. Returns how many.
    pub(crate) async fn redrive(
        &self,
        tx: &mut LedgerTx,
        filter: &OpenFilter,
        action: &Action,
    ) -> Result<(usize, Moved), Error> {
        if let Some(endpoint_id) = filter.endpoint_id {
            self.check_enabled(endpoint_id)?;
        }
        let redriven = tx.dead_letter_redrive(filter, action).await?;
        let mut moved = Moved::new(self, filter.shard);
        moved
            .lanes
            .extend(redriven.iter().map(|(_, endpoint_id)| *endpoint_id));
        Ok((redriven.len(), moved))
    }

    fn check_enabled(&self, endpoint_id: EndpointId) -> Result<(), Error> {
        let registry = self.0.core.registry.snapshot();
        let state = registry
            .endpoint(endpoint_id)
            .map(|endpoint| endpoint.endpoint.state);
        if state == Some(ObjectState::Disabled) {
            return Err(Error::precondition(
                Reason::EndpointDisabled,
                "the endpoint is disabled: resume it first",
            ));
        }
        Ok(())
    }

    async fn ended(&self, tenant_id: TenantId, id: DeliveryId) -> Result<DeliveryView, Error> {
        let ended = self.0.core.store.delivery_get(tenant_id, id).await?;
        ended.ok_or(Error::NotFound("delivery"))
    }
}

fn refuse_ended(state: ViewState) -> Error {
    let (reason, text) = match state {
        ViewState::Delivered(_) => (Reason::DeliveryEnded, "the delivery is delivered"),
        ViewState::Cancelled(_) => (Reason::DeliveryEnded, "the delivery is cancelled"),
        ViewState::Pending(_) | ViewState::Dead(..) => (
            Reason::DeliveryChanged,
            "the delivery just changed: read it again",
        ),
    };
    Error::precondition(reason, text)
}

fn view(row: &OpenDelivery, state: ViewState) -> DeliveryView {
    DeliveryView {
        id: row.id,
        endpoint_id: row.endpoint_id,
        state,
        attempt_count: row.attempt_count,
        last: match state {
            ViewState::Cancelled(_) => None,
            _ => row.last,
        },
    }
}
