//! Leases that are lost: with their node, with the time that any attempt can take, or five in a row.

use std::{collections::HashSet, time::Duration};

use super::{
    Dispatch, grant,
    lane::ServedBy,
    scheduler::{Lost, LostTooOften, Settled},
};
use crate::{clock, model::id::NodeId, outage, store};

/// How long a node whose stream broke may take to come back with its leases, and how long a consumer may still be at
/// work on what it held.
pub(super) const GRACE: Duration = Duration::from_secs(2);
/// How often it is looked whether a lease is overdue.
const SWEEP_INTERVAL: Duration = Duration::from_secs(2);

impl Dispatch {
    /// Counts leases that were taken back, and ends as dead what lost too many in a row.
    pub(super) fn bury(&self, lost: Lost) {
        self.0.metrics.leases_lost.inc_by(lost.count as u64);
        for lost in lost.too_often {
            self.0.tasks.spawn(bury(self.clone(), lost));
        }
    }
}

async fn bury(dispatch: Dispatch, lost: LostTooOften) {
    let delivery_id = lost.delivery_id;
    let now_ms = clock::now_ms();
    let written = async {
        let mut tx = dispatch.0.store.begin_in(delivery_id.shard()).await?;
        let is_dead = tx
            .delivery_lose(delivery_id, lost.attempt_count, now_ms)
            .await?;
        tx.commit().await?;
        Ok::<_, store::Error>(is_dead)
    };
    let settled = match written.await {
        Ok(true) => {
            tracing::warn!(%delivery_id, "delivery {delivery_id} is dead: five leases in a row were lost");
            Settled::Ended
        }
        Ok(false) => Settled::Unknown,
        Err(error) => {
            outage::log(&error, "could not end a delivery after lost leases");
            Settled::Unknown
        }
    };
    dispatch
        .scheduler()
        .settle(delivery_id, lost.lease_id, settled, now_ms);
    dispatch.wake();
}

/// Gives the leases of a node to others, unless it comes back in time.
pub(super) async fn give_grace(dispatch: Dispatch, node_id: NodeId, number: u64) {
    tokio::time::sleep(GRACE).await;
    if !dispatch.0.sessions.give_up(node_id, number) {
        return;
    }
    let lost =
        dispatch
            .scheduler()
            .lose((node_id, ServedBy::Nodes), &HashSet::new(), clock::now_ms());
    let count = lost.count;
    tracing::info!(%node_id, count, "node {node_id} did not come back; {count} of its leases are lost");
    dispatch.bury(lost);
    dispatch.wake();
}

/// Takes back, for ever, leases that were held longer than any attempt can take.
pub(super) async fn run_sweeps(dispatch: Dispatch) {
    loop {
        tokio::time::sleep(SWEEP_INTERVAL).await;
        let hold_ms = u64::try_from(grant::HOLD_MAX.as_millis()).unwrap_or(u64::MAX);
        let Some(granted_by) = dispatch.uptime_ms().checked_sub(hold_ms) else {
            continue;
        };
        let lost = dispatch.scheduler().lose_older(granted_by, clock::now_ms());
        dispatch.bury(lost);
        if dispatch.scheduler().has_ready() {
            dispatch.wake();
        }
    }
}
