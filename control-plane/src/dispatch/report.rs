//! Reports: what a holder says of its leases, judged and queued to be written.
//!
//! A report under the delivery's current lease decides what happens next. One under a lost lease is logged; it changes
//! nothing, except that a success is always taken. A lease from before this process counts when nobody else has made
//! that attempt. Whoever reports has shown that the lease was granted to it: what is said of other leases does not come this
//! far.

use std::time::Duration;

use bytes::Bytes;
use rand::Rng;
use tokio::sync::watch;

use super::{
    Dispatch,
    schedule::{Granted, Reported, Settled},
};
use crate::{
    error::Error,
    model::{
        delivery::{Attempt, AttemptResult, DeadReason, Decision, Trace},
        id::{DeliveryId, EndpointId, TenantId},
        lease::{HolderId, LeaseKey},
    },
    registry::Registry,
    retry::{self, RetryPolicy},
    store::OutcomeRow,
};

/// How long reading a delivery waits after the database failed.
const LOAD_PAUSE: Duration = Duration::from_millis(200);

/// What a holder says of a lease that it was given.
#[derive(Debug, Clone)]
pub(super) enum Report {
    /// It did not begin.
    NotStarted(LeaseKey),
    /// It made the attempt.
    Attempted(Attempted),
}

/// An attempt that was made.
#[derive(Debug, Clone)]
pub(super) struct Attempted {
    /// The lease that it was made under.
    pub(super) lease: LeaseKey,
    /// What came of it.
    pub(super) result: AttemptResult,
    /// The first bytes of the answer, or what a handler says.
    pub(super) excerpt: Bytes,
    /// How it went.
    pub(super) trace: Option<Box<Trace>>,
    /// How long it took, in milliseconds.
    pub(super) duration_ms: u32,
    /// How long ago it began, in milliseconds.
    pub(super) age_ms: u64,
}

/// What a report meets.
struct ReportedDelivery {
    endpoint_id: EndpointId,
    tenant_id: TenantId,
    /// The delivery's current lease. None: the lease was lost.
    current: Option<Granted>,
}

impl Report {
    /// The lease that it is of.
    pub(super) fn lease(&self) -> LeaseKey {
        match self {
            Self::NotStarted(lease) => *lease,
            Self::Attempted(attempted) => attempted.lease,
        }
    }
}

impl Dispatch {
    /// Takes a message of reports. `acknowledged` gets its sequence once all of it is durable.
    pub(super) async fn report(
        &self,
        holder: HolderId,
        reports: Vec<Report>,
        sequence: u64,
        acknowledged: &watch::Sender<u64>,
    ) -> Result<(), Error> {
        let (mut attempts, mut released) = (Vec::with_capacity(reports.len()), Vec::new());
        for report in reports {
            match report {
                Report::NotStarted(lease) => released.push(lease),
                Report::Attempted(attempted) => attempts.push(attempted),
            }
        }
        self.0.schedule.release(holder, released.into_iter());
        let leases = attempts.iter().map(|attempted| attempted.lease);
        let reported = self.0.schedule.report(holder, leases);
        let registry = self.0.core.registry.snapshot();
        let mut rows = Vec::with_capacity(attempts.len());
        for (attempted, reported) in attempts.into_iter().zip(reported) {
            let lease = attempted.lease;
            let standing = match ReportedDelivery::known(&registry, &reported) {
                Some(standing) => Some(standing),
                None => self.look_up(holder, lease, reported).await?,
            };
            let Some(standing) = standing else { continue };
            let row = self.judge(&registry, holder, attempted, &standing);
            if is_gone(row.decision) {
                let now_ms = self.0.core.clock.now_ms();
                let registry = &self.0.core.registry;
                registry.disable_gone(standing.endpoint_id, now_ms).await;
            }
            rows.push(row);
        }
        self.queue_outcomes(rows, sequence, acknowledged.clone())
            .await
    }

    /// Notes a report that is dropped, because its sender does not hold the lease.
    pub(super) fn refuse_report(&self, holder: HolderId, lease: LeaseKey) {
        self.0.core.metrics.stale_reports.inc();
        let delivery_id = lease.delivery_id;
        tracing::warn!(%holder, %delivery_id, "{holder} reported on a lease of {delivery_id} that it does not hold");
    }

    /// What is to be written of an attempt.
    fn judge(
        &self,
        registry: &Registry,
        holder: HolderId,
        attempted: Attempted,
        standing: &ReportedDelivery,
    ) -> OutcomeRow {
        let now_ms = self.0.core.clock.now_ms();
        let outcome = attempted.result.outcome();
        let decision = match &standing.current {
            Some(granted) => decide(
                registry,
                granted,
                &attempted.result,
                (now_ms, &mut self.0.core.rng()),
            ),
            None if outcome.succeeded() => Decision::Delivered,
            None => Decision::Nothing,
        };
        let started_at = now_ms.saturating_sub_unsigned(attempted.age_ms);
        OutcomeRow {
            attempt: Attempt {
                lease: attempted.lease,
                endpoint_id: standing.endpoint_id,
                tenant_id: standing.tenant_id,
                outcome,
                started_at: started_at.max(0),
                duration_ms: attempted.duration_ms,
                holder,
                excerpt: attempted.excerpt,
                late: standing.current.is_none(),
                trace: attempted.trace,
            },
            decision,
        }
    }

    /// What a report meets that the registry alone cannot tell. None: there is nothing to be written.
    async fn look_up(
        &self,
        holder: HolderId,
        lease: LeaseKey,
        reported: Reported,
    ) -> Result<Option<ReportedDelivery>, Error> {
        match reported {
            Reported::Current(granted) => {
                let tenant_id = self.tenant_of(lease.delivery_id).await;
                if tenant_id.is_none() {
                    // Cancelled with its endpoint while the attempt was under way.
                    let ended = [(lease, Settled::Ended)];
                    self.0.schedule.settle(ended.into_iter());
                }
                Ok(tenant_id.map(|tenant_id| ReportedDelivery {
                    endpoint_id: granted.endpoint_id,
                    tenant_id,
                    current: Some(granted),
                }))
            }
            Reported::Repeated => Ok(None),
            Reported::OtherHolder => {
                self.refuse_report(holder, lease);
                Ok(None)
            }
            Reported::Lost => self.standing_of_lost(holder, lease).await,
        }
    }

    /// A report under a lease that was lost: it is logged once, whatever became of the delivery.
    async fn standing_of_lost(
        &self,
        holder: HolderId,
        lease: LeaseKey,
    ) -> Result<Option<ReportedDelivery>, Error> {
        let (store, id) = (&self.0.core.store, lease.delivery_id);
        let attempts = store.attempt_numbers(id).await?;
        let is_logged = attempts.contains(&(lease.attempt, lease.lease_id));
        let next = attempts.iter().map(|(number, _)| number + 1).max();
        if is_logged || lease.attempt > next.unwrap_or(1) {
            self.refuse_report(holder, lease);
            return Ok(None);
        }
        let late = |endpoint_id, tenant_id| {
            self.0.core.metrics.stale_reports.inc();
            ReportedDelivery {
                endpoint_id,
                tenant_id,
                current: None,
            }
        };
        if let Some(row) = store.delivery_load(&[id]).await?.pop() {
            return Ok(Some(late(row.endpoint_id, row.tenant_id)));
        }
        // Not open any more: logged beside its other attempts.
        let attempt = store.attempt_list(id, (0, i64::MIN), 1).await?.pop();
        Ok(attempt.map(|attempt| late(attempt.endpoint_id, attempt.tenant_id)))
    }

    /// Whose delivery it is whose endpoint is gone or cannot be signed for, however long the table takes. None: the delivery
    /// is gone too.
    async fn tenant_of(&self, id: DeliveryId) -> Option<TenantId> {
        loop {
            match self.0.core.store.delivery_load(&[id]).await {
                Ok(mut rows) => return rows.pop().map(|row| row.tenant_id),
                Err(error) => {
                    tracing::warn!(delivery_id = %id, error = ?error, "could not read delivery {id}; trying again");
                    tokio::time::sleep(LOAD_PAUSE).await;
                }
            }
        }
    }
}

impl ReportedDelivery {
    /// What a report of a current lease meets, if the registry serves its endpoint.
    fn known(registry: &Registry, reported: &Reported) -> Option<Self> {
        let Reported::Current(granted) = reported else {
            return None;
        };
        let live = registry.endpoint(granted.endpoint_id)?;
        Some(Self {
            endpoint_id: granted.endpoint_id,
            tenant_id: live.endpoint.tenant_id,
            current: Some(*granted),
        })
    }
}

fn decide(
    registry: &Registry,
    granted: &Granted,
    result: &AttemptResult,
    (now_ms, rng): (i64, &mut impl Rng),
) -> Decision {
    let policy = registry
        .endpoint(granted.endpoint_id)
        .map(|endpoint| registry.retry_policy(endpoint));
    let made = granted.attempt_count + 1 - granted.attempt_base;
    let default = RetryPolicy::default();
    let policy = policy.unwrap_or(&default);
    retry::decide(policy, made, result, now_ms, rng)
}

fn is_gone(decision: Decision) -> bool {
    let Decision::Dead { reason, .. } = decision else {
        return false;
    };
    reason == DeadReason::Gone
}
