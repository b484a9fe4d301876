//! Reports: what a node says of its leases, judged and queued to be written.
//!
//! A report under the delivery's current lease decides what happens next. One under a lost lease is logged; it changes
//! nothing, except that a success is always taken. A lease from before this process counts when nobody else has made
//! that attempt.

use std::time::Duration;

use bytes::Bytes;
use posthorn::v1::{self, outcome::Result as NodeResult};
use tokio::sync::watch;

use super::{
    Dispatch,
    outcome::PendingOutcome,
    scheduler::{Granted, Reported, Settled},
};
use crate::{
    clock,
    error::Error,
    model::{
        delivery::{Attempt, AttemptOutcome, DeadReason, OpenDelivery, OpenState},
        endpoint::EndpointState,
        id::{DeliveryId, EndpointId, NodeId, TenantId},
    },
    retry::{self, Decision, Fact, RetryPolicy},
    store::{Consequence, DueDelivery, OutcomeRow},
};

/// How many outcomes one message may carry.
const OUTCOMES_MAX: usize = 1_024;
/// How much of an answer's body a report may carry, in bytes.
const EXCERPT_BYTES_MAX: usize = 4_096;
/// How long reading a delivery waits after the database failed.
const LOAD_PAUSE: Duration = Duration::from_millis(200);
/// How long a `Retry-After` header may be, in characters.
const RETRY_AFTER_CHARS_MAX: usize = 64;

/// A report, checked.
#[derive(Debug, Clone)]
pub(super) struct Report {
    pub(super) lease_id: u64,
    pub(super) delivery_id: DeliveryId,
    pub(super) attempt: u32,
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
    retry_after: String,
    excerpt: Bytes,
}

/// Checks the reports of one message. `path` names it in errors.
pub(super) fn parse(outcomes: Vec<v1::Outcome>, path: &str) -> Result<Vec<Report>, Error> {
    if outcomes.len() > OUTCOMES_MAX {
        return Err(Error::invalid(
            path,
            format!("must be at most {OUTCOMES_MAX}"),
        ));
    }
    let numbered = outcomes.into_iter().enumerate();
    numbered
        .map(|(index, outcome)| parse_one(outcome, &format!("{path}[{index}]")))
        .collect()
}

fn parse_one(outcome: v1::Outcome, path: &str) -> Result<Report, Error> {
    let delivery_id = outcome.delivery_id.parse();
    let delivery_id = delivery_id.map_err(|error: crate::model::id::ParseIdError| {
        Error::invalid(format!("{path}.delivery_id"), error.to_string())
    })?;
    if outcome.attempt == 0 {
        return Err(Error::invalid(
            format!("{path}.attempt"),
            "must be at least 1",
        ));
    }
    let what = match outcome.result {
        None => return Err(Error::invalid(format!("{path}.result"), "must be set")),
        Some(NodeResult::NotStarted(_)) => What::NotStarted,
        Some(NodeResult::Error(kind)) => parse_error(kind, path)?,
        Some(NodeResult::Answer(answer)) => parse_answer(answer, path)?,
    };
    Ok(Report {
        lease_id: outcome.lease_id,
        delivery_id,
        attempt: outcome.attempt,
        what,
        duration_ms: outcome.duration_ms,
        age_ms: outcome.age_ms,
    })
}

fn parse_error(kind: i32, path: &str) -> Result<What, Error> {
    let kind = v1::ErrorKind::try_from(kind).ok();
    let kind = kind.filter(|kind| *kind != v1::ErrorKind::Unspecified);
    let kind =
        kind.ok_or_else(|| Error::invalid(format!("{path}.error"), "must be a known error kind"))?;
    Ok(What::Attempted(Made {
        outcome: AttemptOutcome::failed(kind),
        retry_after: String::new(),
        excerpt: Bytes::new(),
    }))
}

fn parse_answer(answer: v1::HttpAnswer, path: &str) -> Result<What, Error> {
    let code = u16::try_from(answer.status_code)
        .ok()
        .filter(|code| (100..=599).contains(code));
    let code = code.ok_or_else(|| {
        Error::invalid(
            format!("{path}.answer.status_code"),
            "must be from 100 to 599",
        )
    })?;
    if answer.excerpt.len() > EXCERPT_BYTES_MAX {
        let limit = format!("must be at most {EXCERPT_BYTES_MAX} bytes");
        return Err(Error::invalid(format!("{path}.answer.excerpt"), limit));
    }
    if answer.retry_after.len() > RETRY_AFTER_CHARS_MAX {
        let limit = format!("must be at most {RETRY_AFTER_CHARS_MAX} characters");
        return Err(Error::invalid(format!("{path}.answer.retry_after"), limit));
    }
    Ok(What::Attempted(Made {
        outcome: AttemptOutcome::answered(code),
        retry_after: answer.retry_after,
        excerpt: answer.excerpt,
    }))
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
            delivery_id: self.delivery_id,
            number,
            lease_id: self.lease_id,
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

    /// Notes a report that is dropped, because the node does not hold the lease.
    pub(super) fn refuse_report(&self, node_id: NodeId, report: &Report) {
        self.0.metrics.stale_reports.inc();
        let delivery_id = report.delivery_id;
        tracing::warn!(%node_id, %delivery_id, "node {node_id} reported on a lease of {delivery_id} that it does not hold");
    }

    async fn queue(&self, pending: PendingOutcome) -> Result<(), Error> {
        let closed = |_| Error::Unavailable("the control plane shuts down".to_owned());
        self.0.outcomes.send(pending).await.map_err(closed)
    }

    async fn judge(&self, node_id: NodeId, report: Report) -> Result<Option<OutcomeRow>, Error> {
        let now_ms = clock::now_ms();
        let What::Attempted(made) = &report.what else {
            let (id, lease_id) = (report.delivery_id, report.lease_id);
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
                let attempt = report.attempt(made, node_id, report.attempt, of, now_ms);
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
        let (id, lease_id) = (report.delivery_id, report.lease_id);
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
        let id = report.delivery_id;
        let attempts = self.0.store.attempt_numbers(id).await?;
        let is_logged = attempts.contains(&(report.attempt, report.lease_id));
        let next = attempts.iter().map(|(number, _)| number + 1).max();
        if is_logged || report.attempt > next.unwrap_or(1) {
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
        let disabled = async {
            let mut tx = self.0.store.begin().await?;
            // An endpoint that is deleted meanwhile needs no disabling.
            let _ = tx
                .endpoint_disable(endpoint_id, reason, clock::now_ms())
                .await?;
            tx.commit().await?;
            self.0.registry.refresh_endpoint(endpoint_id).await
        };
        let registry = self.0.registry.snapshot();
        let state = registry
            .endpoint(endpoint_id)
            .map(|endpoint| endpoint.endpoint.state);
        if state == Some(EndpointState::Disabled) {
            return;
        }
        if let Err(error) = disabled.await {
            // The next event to it answers 410 again.
            tracing::error!(%endpoint_id, error = ?error, "could not disable endpoint {endpoint_id}");
            return;
        }
        tracing::warn!(%endpoint_id, "endpoint {endpoint_id} is disabled: {reason}");
        if let Some(endpoint) = self.0.registry.snapshot().endpoint(endpoint_id) {
            self.endpoint_changed(endpoint);
        }
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
            .map(|endpoint| &endpoint.retry_policy);
        let attempts = granted.attempt_count + 1 - granted.attempt_base;
        let fact = made
            .outcome
            .status_code
            .map_or(Fact::NoAnswer, |code| Fact::Status {
                code,
                retry_after_ms: retry::parse_retry_after(&made.retry_after, now_ms),
            });
        let default = RetryPolicy::default();
        let die = |reason| Consequence::Die { reason, at: now_ms };
        match retry::decide(
            policy.unwrap_or(&default),
            attempts,
            fact,
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
