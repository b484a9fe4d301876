//! Leases that are lost: with their holder, with the time that any attempt can take, or five in a row.

use std::{collections::HashSet, time::Duration};

use crate::{
    clock,
    dispatch::{
        Dispatch,
        deaths::Death,
        schedule::{Lost, Settled},
    },
    model::{
        delivery::DeadReason,
        id::EndpointId,
        lease::{HolderId, LeaseKey},
    },
    outage, store,
};

/// How long a node whose stream broke may take to come back with its leases, and how long a consumer may still be at
/// work on what it held.
const GRACE: Duration = Duration::from_secs(2);
/// How often it is looked whether a lease is overdue.
const SWEEP_INTERVAL: Duration = Duration::from_secs(2);

impl Dispatch {
    /// Counts leases that were taken back, and ends as dead what lost too many in a row.
    pub(super) fn count_lost(&self, lost: Lost) {
        self.0.core.metrics.leases_lost.inc_by(lost.count as u64);
        for lost in lost.too_often {
            self.0.tasks.spawn(dead_letter(self.clone(), lost));
        }
    }
}

/// Ends a delivery that lost too many leases.
async fn dead_letter(dispatch: Dispatch, (lease, endpoint_id): (LeaseKey, EndpointId)) {
    let delivery_id = lease.delivery_id;
    let now_ms = dispatch.0.core.clock.now_ms();
    let written = async {
        let mut tx = dispatch.0.core.store.begin_in(delivery_id.shard()).await?;
        let is_dead = tx
            .delivery_lose(delivery_id, lease.attempt - 1, now_ms)
            .await?;
        tx.commit().await?;
        Ok::<_, store::Error>(is_dead)
    };
    let settled = match written.await {
        Ok(true) => {
            let reason = DeadReason::LeaseLost.as_str();
            let death = Death {
                delivery_id,
                endpoint_id,
                reason,
                error: reason,
            };
            dispatch.0.deaths.note(death, clock::monotonic());
            Settled::Ended
        }
        Ok(false) => Settled::Unknown,
        Err(error) => {
            outage::log(&error, "could not end a delivery after lost leases");
            Settled::Unknown
        }
    };
    dispatch.0.schedule.settle([(lease, settled)].into_iter());
}

/// Gives the leases of a holder to others, unless it comes back in time.
pub(super) async fn give_grace(dispatch: Dispatch, holder: HolderId, number: u64) {
    tokio::time::sleep(GRACE).await;
    if !dispatch.0.holders.give_up(holder, number) {
        return;
    }
    let lost = dispatch.0.schedule.lose(holder, &HashSet::new());
    let count = lost.count;
    tracing::info!(%holder, count, "{holder} did not come back; {count} of its leases are lost");
    dispatch.count_lost(lost);
}

/// Takes back, for ever, leases that nodes have held for longer than `hold`.
pub(in crate::dispatch) async fn run_sweeps(dispatch: &Dispatch, hold: Duration) {
    let hold_ms = u64::try_from(hold.as_millis()).unwrap_or(u64::MAX);
    loop {
        tokio::time::sleep(SWEEP_INTERVAL).await;
        let lost = dispatch.0.schedule.lose_older(hold_ms);
        dispatch.count_lost(lost);
        dispatch.0.deaths.sum_up(clock::monotonic());
    }
}
