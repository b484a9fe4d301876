//! Reports: what a node says of its leases, judged and queued to be written.
//!
//! A report under the delivery's current lease decides what happens next. One under a lost lease is logged; it changes
//! nothing, except that a success is always taken. A lease from before this process counts when nobody else has made
//! that attempt.

use posthorn::v1::{self, outcome::Result as NodeResult};
use tokio::sync::mpsc;

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
        id::{DeliveryId, EndpointId, NodeId, TenantId},
    },
    retry::{self, Decision, Fact, RetryPolicy},
    store::{Consequence, DueDelivery, OutcomeRow},
};

/// How many outcomes one message may carry.
const OUTCOMES_MAX: usize = 1_024;
/// How much of an answer's body a report may carry, in bytes.
const EXCERPT_BYTES_MAX: usize = 4_096;
/// How long a `Retry-After` header may be, in characters.
const RETRY_AFTER_CHARS_MAX: usize = 64;

/// A report, checked.
#[derive(Debug, Clone)]
pub(super) struct Report {
    pub(super) lease_id: u64,
    pub(super) delivery_id: DeliveryId,
    attempt: u32,
    what: What,
    duration_ms: u32,
    age_ms: u64,
}

#[derive(Debug, Clone)]
enum What {
    Attempted {
        outcome: AttemptOutcome,
        retry_after: String,
        excerpt: bytes::Bytes,
    },
    NotStarted,
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
    Ok(What::Attempted {
        outcome: AttemptOutcome::failed(kind),
        retry_after: String::new(),
        excerpt: bytes::Bytes::new(),
    })
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
    Ok(What::Attempted {
        outcome: AttemptOutcome::answered(code),
        retry_after: answer.retry_after,
        excerpt: answer.excerpt,
    })
}

impl Dispatch {
    /// Takes a message of reports. `acknowledged` gets its sequence once all of it is durable. Returns how many leases
    /// ended by it.
    pub(super) async fn report(
        &self,
        node_id: NodeId,
        reports: Vec<Report>,
        sequence: u64,
        acknowledged: &mpsc::UnboundedSender<u64>,
    ) -> Result<u32, Error> {
        let mut ended = 0;
        for report in reports {
            match self.judge(node_id, report).await? {
                Judged::Released => ended += 1,
                Judged::Row(row) => {
                    ended += u32::from(!row.attempt.late);
                    self.queue(PendingOutcome::Row(Box::new(row))).await?;
                }
                Judged::Nothing => {}
            }
        }
        // Slots and leases were freed.
        self.wake();
        self.queue(PendingOutcome::Barrier(sequence, acknowledged.clone()))
            .await?;
        Ok(ended)
    }

    async fn queue(&self, pending: PendingOutcome) -> Result<(), Error> {
        let closed = |_| Error::Unavailable("the control plane shuts down".to_owned());
        self.0.outcomes.send(pending).await.map_err(closed)
    }

    async fn judge(&self, node_id: NodeId, report: Report) -> Result<Judged, Error> {
        let now_ms = clock::now_ms();
        let What::Attempted {
            outcome,
            retry_after,
            excerpt,
        } = &report.what
        else {
            let id = report.delivery_id;
            let is_released = self
                .scheduler()
                .release(node_id, id, report.lease_id, now_ms);
            return Ok(if is_released {
                Judged::Released
            } else {
                Judged::Nothing
            });
        };
        let attempt = |number, endpoint_id, tenant_id, late| Attempt {
            delivery_id: report.delivery_id,
            number,
            lease_id: report.lease_id,
            endpoint_id,
            tenant_id,
            outcome: *outcome,
            started_at: now_ms.saturating_sub_unsigned(report.age_ms).max(0),
            duration_ms: report.duration_ms,
            node_id,
            excerpt: excerpt.clone(),
            late,
        };
        match self.standing(node_id, &report, now_ms).await? {
            Standing::Current(granted) => {
                let Some(tenant_id) = self.tenant_of(&granted, report.delivery_id).await? else {
                    // Cancelled with its endpoint while the attempt was under way.
                    let (id, lease_id) = (report.delivery_id, report.lease_id);
                    self.scheduler()
                        .settle(id, lease_id, Settled::Ended, now_ms);
                    return Ok(Judged::Released);
                };
                let number = granted.attempt_count + 1;
                let consequence = self.consequence(&granted, *outcome, retry_after, now_ms);
                if is_gone(consequence) {
                    self.disable(granted.endpoint_id).await;
                }
                Ok(Judged::Row(OutcomeRow {
                    attempt: attempt(number, granted.endpoint_id, tenant_id, false),
                    consequence,
                }))
            }
            Standing::Late(endpoint_id, tenant_id) => {
                self.0.metrics.stale_reports.inc();
                let consequence = if outcome.succeeded() {
                    Consequence::Deliver
                } else {
                    Consequence::None
                };
                Ok(Judged::Row(OutcomeRow {
                    attempt: attempt(report.attempt, endpoint_id, tenant_id, true),
                    consequence,
                }))
            }
            Standing::Nothing => Ok(Judged::Nothing),
        }
    }

    async fn standing(
        &self,
        node_id: NodeId,
        report: &Report,
        now_ms: i64,
    ) -> Result<Standing, Error> {
        let id = report.delivery_id;
        let reported = self
            .scheduler()
            .report(node_id, id, report.lease_id, now_ms);
        match reported {
            Reported::Current(granted) => return Ok(Standing::Current(granted)),
            Reported::Repeated => return Ok(Standing::Nothing),
            Reported::OtherNode => {
                self.0.metrics.stale_reports.inc();
                tracing::warn!(%node_id, delivery_id = %id, "node {node_id} reported on another node's lease of {id}");
                return Ok(Standing::Nothing);
            }
            Reported::Lost => {}
        }
        let row = self.0.store.delivery_load(&[id]).await?.pop();
        let Some(row) = row else {
            return self.standing_of_ended(node_id, id).await;
        };
        if !self.scheduler().is_own_lease(report.lease_id)
            && let Some(granted) =
                self.adopt(node_id, report.lease_id, report.attempt, &row, now_ms)
        {
            return Ok(Standing::Current(granted));
        }
        Ok(Standing::Late(row.endpoint_id, row.tenant_id))
    }

    /// Takes a lease from before this process for the delivery's current one, and its report with it.
    fn adopt(
        &self,
        node_id: NodeId,
        lease_id: u64,
        attempt: u32,
        row: &OpenDelivery,
        now_ms: i64,
    ) -> Option<Granted> {
        let due = adoptable(row, attempt)?;
        let uptime_ms = self.uptime_ms();
        let mut scheduler = self.scheduler();
        scheduler.adopt(lease_id, node_id, &due, row.endpoint_id, uptime_ms);
        match scheduler.report(node_id, row.id, lease_id, now_ms) {
            Reported::Current(granted) => Some(granted),
            _ => None,
        }
    }

    /// A report on a delivery that is not open any more: logged beside its other attempts.
    async fn standing_of_ended(&self, node_id: NodeId, id: DeliveryId) -> Result<Standing, Error> {
        let attempt = self.0.store.attempt_list(id, (0, i64::MIN), 1).await?.pop();
        Ok(attempt.map_or_else(
            || {
                tracing::warn!(%node_id, delivery_id = %id, "node {node_id} reported on {id}, which is not known");
                Standing::Nothing
            },
            |attempt| Standing::Late(attempt.endpoint_id, attempt.tenant_id),
        ))
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

    /// Whose delivery it is: as the registry has it, or the table when the endpoint is gone or cannot be signed for.
    async fn tenant_of(
        &self,
        granted: &Granted,
        id: DeliveryId,
    ) -> Result<Option<TenantId>, Error> {
        let registry = self.0.registry.snapshot();
        if let Some(endpoint) = registry.endpoint(granted.endpoint_id) {
            return Ok(Some(endpoint.endpoint.tenant_id));
        }
        let row = self.0.store.delivery_load(&[id]).await?.pop();
        Ok(row.map(|row| row.tenant_id))
    }

    fn consequence(
        &self,
        granted: &Granted,
        outcome: AttemptOutcome,
        retry_after: &str,
        now_ms: i64,
    ) -> Consequence {
        let registry = self.0.registry.snapshot();
        let policy = registry
            .endpoint(granted.endpoint_id)
            .map(|endpoint| &endpoint.retry_policy);
        let made = granted.attempt_count + 1 - granted.attempt_base;
        let fact = outcome
            .status_code
            .map_or(Fact::NoAnswer, |code| Fact::Status {
                code,
                retry_after_ms: retry::parse_retry_after(retry_after, now_ms),
            });
        let default = RetryPolicy::default();
        let die = |reason| Consequence::Die { reason, at: now_ms };
        match retry::decide(policy.unwrap_or(&default), made, fact, &mut clock::rng()) {
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

/// What a report comes to.
enum Judged {
    /// An attempt to write.
    Row(OutcomeRow),
    /// The lease went back.
    Released,
    /// Nothing.
    Nothing,
}

enum Standing {
    /// Under the delivery's current lease.
    Current(Granted),
    /// Under a lost lease, of this endpoint and tenant.
    Late(EndpointId, TenantId),
    /// Not to be written.
    Nothing,
}
