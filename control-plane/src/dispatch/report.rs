//! Reports: what a node, or a consumer, says of its leases, judged and queued to be written. `parse` reads a node's
//! messages, `handled` makes the reports of a consumer's stream.
//!
//! A report under the delivery's current lease decides what happens next. One under a lost lease is logged; it changes
//! nothing, except that a success is always taken. A lease from before this process counts when nobody else has made
//! that attempt. Whoever reports has shown that the lease was granted to it (`proof`): what is said of other leases does not
//! come this far.

mod handled;
mod parse;

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

pub(super) use self::{
    handled::{Handled, HandledLease},
    parse::{parse, parse_held},
};

use super::{
    Dispatch,
    outcome::PendingOutcome,
    proof::LeaseName,
    scheduler::{Granted, Reported, Settled},
};
use crate::{
    audit::{self, Record},
    clock,
    error::Error,
    model::{
        delivery::{Attempt, AttemptOutcome, DeadReason, OpenDelivery, OpenState},
        id::{DeliveryId, EndpointId, NodeId, TenantId},
        object::ObjectState,
    },
    registry::Changed,
    retry::{self, Decision, Fact, RetryPolicy},
    store::{Change, Consequence, DueDelivery, OutcomeRow},
};

/// How long reading a delivery waits after the database failed.
const LOAD_PAUSE: Duration = Duration::from_millis(200);

/// A report, checked: it is within its limits and on a lease that its sender was given.
#[derive(Debug, Clone)]
pub(super) struct Report {
    pub(super) lease: LeaseName,
    what: What,
    duration_ms: u32,
    age_ms: u64,
}

#[derive(Debug, Clone)]
enum What {
    Attempted(Made),
    NotStarted,
}

/// An attempt that was made.
#[derive(Debug, Clone)]
struct Made {
    outcome: AttemptOutcome,
    /// What the schedule is asked with.
    evidence: Evidence,
    excerpt: Bytes,
}

/// What there is to judge an attempt by.
#[derive(Debug, Clone)]
enum Evidence {
    /// An answer, with its `Retry-After` header.
    Answer(String),
    /// No answer, or a failure that a later attempt may mend.
    NoAnswer,
    /// A handler did its work.
    Handled,
    /// A handler says that no later attempt can mend it.
    Refused,
}

impl Made {
    fn fact(&self, now_ms: i64) -> Fact {
        match (&self.evidence, self.outcome.status_code) {
            (Evidence::Handled, _) => Fact::Handled,
            (Evidence::Refused, _) => Fact::Refused,
            (Evidence::Answer(retry_after), Some(code)) => Fact::Status {
                code,
                retry_after_ms: retry::parse_retry_after(retry_after, now_ms),
            },
            _ => Fact::NoAnswer,
        }
    }
}

impl Report {
    /// The attempt as it is logged, for an endpoint of a tenant.
    fn attempt(
        &self,
        made: &Made,
        node_id: NodeId,
        number: u32,
        (endpoint_id, tenant_id): (EndpointId, TenantId),
        now_ms: i64,
    ) -> Attempt {
        Attempt {
            delivery_id: self.lease.delivery_id,
            number,
            lease_id: self.lease.lease_id,
            endpoint_id,
            tenant_id,
            outcome: made.outcome,
            started_at: now_ms.saturating_sub_unsigned(self.age_ms).max(0),
            duration_ms: self.duration_ms,
            node_id,
            excerpt: made.excerpt.clone(),
            late: false,
        }
    }
}

impl Dispatch {
    /// Takes a message of reports. `acknowledged` gets its sequence once all of it is durable.
    pub(super) async fn report(
        &self,
        node_id: NodeId,
        reports: Vec<Report>,
        sequence: u64,
        acknowledged: &watch::Sender<u64>,
    ) -> Result<(), Error> {
        for report in reports {
            if let Some(row) = self.judge(node_id, report).await? {
                self.queue(PendingOutcome::Row(Box::new(row))).await?;
            }
        }
        // Slots and leases were freed.
        self.wake();
        self.queue(PendingOutcome::Barrier(sequence, acknowledged.clone()))
            .await
    }

    /// Notes a report that is dropped, because its sender does not hold the lease.
    pub(super) fn refuse_report(&self, node_id: NodeId, report: &Report) {
        self.0.metrics.stale_reports.inc();
        let delivery_id = report.lease.delivery_id;
        tracing::warn!(%node_id, %delivery_id, "node {node_id} reported on a lease of {delivery_id} that it does not hold");
    }

    async fn queue(&self, pending: PendingOutcome) -> Result<(), Error> {
        let closed = |_| Error::Unavailable("the control plane shuts down".to_owned());
        self.0.outcomes.send(pending).await.map_err(closed)
    }

    async fn judge(&self, node_id: NodeId, report: Report) -> Result<Option<OutcomeRow>, Error> {
        let now_ms = clock::now_ms();
        let What::Attempted(made) = &report.what else {
            let (id, lease_id) = (report.lease.delivery_id, report.lease.lease_id);
            self.scheduler().release(node_id, id, lease_id, now_ms);
            return Ok(None);
        };
        match self.standing(node_id, &report, now_ms).await? {
            Standing::Current(granted, tenant_id) => {
                let consequence = self.consequence(&granted, made, now_ms);
                if is_gone(consequence) {
                    self.disable(granted.endpoint_id).await;
                }
                let number = granted.attempt_count + 1;
                let of = (granted.endpoint_id, tenant_id);
                Ok(Some(OutcomeRow {
                    attempt: report.attempt(made, node_id, number, of, now_ms),
                    consequence,
                }))
            }
            Standing::Late(endpoint_id, tenant_id) => {
                self.0.metrics.stale_reports.inc();
                let of = (endpoint_id, tenant_id);
                let attempt = report.attempt(made, node_id, report.lease.attempt, of, now_ms);
                Ok(Some(OutcomeRow {
                    attempt: Attempt {
                        late: true,
                        ..attempt
                    },
                    consequence: if made.outcome.succeeded() {
                        Consequence::Deliver
                    } else {
                        Consequence::None
                    },
                }))
            }
            Standing::Nothing => Ok(None),
        }
    }

    async fn standing(
        &self,
        node_id: NodeId,
        report: &Report,
        now_ms: i64,
    ) -> Result<Standing, Error> {
        let (id, lease_id) = (report.lease.delivery_id, report.lease.lease_id);
        let reported = self.scheduler().report(node_id, id, lease_id, now_ms);
        match reported {
            Reported::Current(granted) => {
                let tenant_id = self.tenant_of(&granted, id).await;
                if tenant_id.is_none() {
                    // Cancelled with its endpoint while the attempt was under way.
                    let settled = Settled::Ended;
                    self.scheduler().settle(id, lease_id, settled, now_ms);
                }
                Ok(tenant_id.map_or(Standing::Nothing, |tenant_id| {
                    Standing::Current(granted, tenant_id)
                }))
            }
            Reported::Repeated => Ok(Standing::Nothing),
            Reported::OtherNode => {
                self.refuse_report(node_id, report);
                Ok(Standing::Nothing)
            }
            Reported::Lost => self.standing_of_lost(node_id, report).await,
        }
    }

    /// A report under a lease that was lost: it is logged once, whatever became of the delivery.
    async fn standing_of_lost(&self, node_id: NodeId, report: &Report) -> Result<Standing, Error> {
        let id = report.lease.delivery_id;
        let attempts = self.0.store.attempt_numbers(id).await?;
        let is_logged = attempts.contains(&(report.lease.attempt, report.lease.lease_id));
        let next = attempts.iter().map(|(number, _)| number + 1).max();
        if is_logged || report.lease.attempt > next.unwrap_or(1) {
            self.refuse_report(node_id, report);
            return Ok(Standing::Nothing);
        }
        if let Some(row) = self.0.store.delivery_load(&[id]).await?.pop() {
            return Ok(Standing::Late(row.endpoint_id, row.tenant_id));
        }
        // Not open any more: logged beside its other attempts.
        let attempt = self.0.store.attempt_list(id, (0, i64::MIN), 1).await?.pop();
        Ok(attempt.map_or(Standing::Nothing, |attempt| {
            Standing::Late(attempt.endpoint_id, attempt.tenant_id)
        }))
    }

    /// Disables an endpoint that answered 410 Gone, before the outcome that says so is written: whoever sees the one
    /// sees the other.
    async fn disable(&self, endpoint_id: EndpointId) {
        let reason = "the endpoint answered 410 Gone";
        let registry = self.0.registry.snapshot();
        let live = registry.endpoint(endpoint_id);
        let tenant_id = live.map(|live| live.endpoint.tenant_id);
        if live.is_some_and(|live| live.endpoint.state == ObjectState::Disabled) {
            return;
        }
        let disabled = async {
            let now_ms = clock::now_ms();
            let mut tx = self.0.store.begin().await?;
            // An endpoint that is deleted meanwhile needs no disabling.
            let done = tx.endpoint_disable(endpoint_id, reason, now_ms).await?;
            let record = Record::of(tenant_id, endpoint_id)
                .because(reason)
                .setting("state", None, "ENDPOINT_STATE_DISABLED")
                .by_posthorn("DisableGoneEndpoint", now_ms);
            if done == Change::Done {
                audit::write(&mut tx, &record).await?;
            }
            let changed = [Changed::Endpoint(endpoint_id)];
            self.0.registry.commit(tx, changed, Vec::new()).await?;
            if done == Change::Done {
                audit::log(&record);
            }
            Ok::<_, Error>(())
        };
        if let Err(error) = disabled.await {
            // The next event to it answers 410 again.
            tracing::error!(%endpoint_id, error = ?error, "could not disable endpoint {endpoint_id}");
            return;
        }
        tracing::warn!(%endpoint_id, "endpoint {endpoint_id} is disabled: {reason}");
    }

    /// Whose delivery it is: as the registry has it, or the table when the endpoint is gone or cannot be signed for,
    /// however long the table takes. None: the delivery is gone too.
    async fn tenant_of(&self, granted: &Granted, id: DeliveryId) -> Option<TenantId> {
        let registry = self.0.registry.snapshot();
        if let Some(endpoint) = registry.endpoint(granted.endpoint_id) {
            return Some(endpoint.endpoint.tenant_id);
        }
        loop {
            match self.0.store.delivery_load(&[id]).await {
                Ok(mut rows) => return rows.pop().map(|row| row.tenant_id),
                Err(error) => {
                    tracing::warn!(delivery_id = %id, error = ?error, "could not read delivery {id}; trying again");
                    tokio::time::sleep(LOAD_PAUSE).await;
                }
            }
        }
    }

    fn consequence(&self, granted: &Granted, made: &Made, now_ms: i64) -> Consequence {
        let registry = self.0.registry.snapshot();
        let policy = registry
            .endpoint(granted.endpoint_id)
            .map(|endpoint| registry.retry_policy(endpoint));
        let attempts = granted.attempt_count + 1 - granted.attempt_base;
        let default = RetryPolicy::default();
        let die = |reason| Consequence::Die { reason, at: now_ms };
        match retry::decide(
            policy.unwrap_or(&default),
            attempts,
            made.fact(now_ms),
            &mut clock::rng(),
        ) {
            Decision::Delivered => Consequence::Deliver,
            Decision::RetryIn(wait_ms) => {
                Consequence::RetryAt(now_ms.saturating_add_unsigned(wait_ms))
            }
            Decision::Exhausted => die(DeadReason::AttemptsExhausted),
            Decision::Rejected => die(DeadReason::Rejected),
            Decision::Gone => die(DeadReason::Gone),
        }
    }
}

/// The row as the scheduler holds it, when a lease for this attempt can still be its current one.
pub(super) fn adoptable(row: &OpenDelivery, attempt: u32) -> Option<DueDelivery> {
    (row.state == OpenState::Pending && row.attempt_count + 1 == attempt).then_some(DueDelivery {
        id: row.id,
        due_at: row.next_attempt_at,
        attempt_count: row.attempt_count,
        attempt_base: row.attempt_base,
    })
}

fn is_gone(consequence: Consequence) -> bool {
    matches!(
        consequence,
        Consequence::Die {
            reason: DeadReason::Gone,
            ..
        }
    )
}

/// What a report meets.
enum Standing {
    /// The delivery's current lease, and whose the delivery is.
    Current(Granted, TenantId),
    /// A lost lease; the delivery's endpoint and tenant.
    Late(EndpointId, TenantId),
    /// Nothing that is to be written.
    Nothing,
}
