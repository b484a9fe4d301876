//! Endpoints that said that they are gone.

use super::{Changed, SharedRegistry};
use crate::{
    audit::Record,
    error::Error,
    model::{
        id::{EndpointId, TenantId},
        object::ObjectState,
    },
    store::Change,
};

/// Why they are disabled.
const GONE: &str = "the endpoint answered 410 Gone";

impl SharedRegistry {
    /// Disables an endpoint that answered 410 Gone. Whoever has heard of it sees the endpoint disabled; what cannot be
    /// written now is made up for by its next event.
    pub(crate) async fn disable_gone(&self, id: EndpointId, now_ms: i64) {
        let snapshot = self.snapshot();
        let live = snapshot.endpoint(id).map(|live| &live.endpoint);
        if live.is_some_and(|endpoint| endpoint.state == ObjectState::Disabled) {
            return;
        }
        match self
            .try_disable(id, live.map(|endpoint| endpoint.tenant_id), now_ms)
            .await
        {
            Ok(()) => tracing::warn!(endpoint_id = %id, "endpoint {id} is disabled: {GONE}"),
            Err(error) => {
                tracing::error!(endpoint_id = %id, error = ?error, "could not disable endpoint {id}");
            }
        }
    }

    async fn try_disable(
        &self,
        id: EndpointId,
        tenant_id: Option<TenantId>,
        now_ms: i64,
    ) -> Result<(), Error> {
        let mut tx = self.inner.loader.store().begin().await?;
        // An endpoint that is deleted meanwhile needs no disabling.
        let done = tx.endpoint_disable(id, GONE, now_ms).await?;
        if done != Change::Done {
            return self.commit(tx, [Changed::Endpoint(id)], Vec::new()).await;
        }
        let record = Record::of(tenant_id, id)
            .because(GONE)
            .setting("state", None, "ENDPOINT_STATE_DISABLED")
            .by_posthorn("DisableGoneEndpoint", now_ms, &mut self.inner.loader.rng());
        self.commit_recorded(tx, Changed::Endpoint(id), &record)
            .await
    }
}
