//! Open deliveries whose endpoint is gone. An endpoint is deleted in the registry first; its deliveries are cancelled here,
//! right after that by whoever deleted it, and by a sweep when that did not happen or an event was emitted meanwhile.

use super::Dispatch;
use crate::{
    model::id::{EndpointId, KeyId, Shard},
    outage,
    store::{OpenLane, Result},
};

/// Why they end.
const DELETED: &str = "the endpoint was deleted";

/// Cancels what is open for endpoints that are gone.
pub(super) async fn cancel(dispatch: &Dispatch, lanes: &[OpenLane]) {
    let registry = dispatch.0.core.registry.snapshot();
    let is_there = |id| registry.endpoint(id).is_some() || registry.is_sealed(id);
    for lane in lanes.iter().filter(|lane| !is_there(lane.endpoint_id)) {
        dispatch
            .cancel_orphans(lane.shard, lane.endpoint_id, None)
            .await;
    }
}

impl Dispatch {
    /// Cancels what is open for an endpoint that was deleted, with a key if somebody did. What fails is made up for.
    pub(crate) async fn cancel_orphans(&self, shard: Shard, id: EndpointId, by: Option<KeyId>) {
        match self.try_cancel_orphans(shard, id, by).await {
            Ok(0) => {}
            Ok(cancelled) => {
                tracing::info!(endpoint_id = %id, cancelled, "cancelled what was open for deleted {id}");
            }
            Err(error) => {
                outage::log(
                    &error,
                    "what is open for a deleted endpoint is cancelled a little later",
                );
            }
        }
        self.0.schedule.remove(id);
    }

    async fn try_cancel_orphans(
        &self,
        shard: Shard,
        id: EndpointId,
        by: Option<KeyId>,
    ) -> Result<u64> {
        let mut tx = self.0.core.store.begin_in(shard).await?;
        let now_ms = self.0.core.clock.now_ms();
        let cancelled = tx.delivery_cancel_all(shard, id, by, DELETED, now_ms);
        let cancelled = cancelled.await?;
        tx.commit().await?;
        Ok(cancelled)
    }
}
