//! Accepting what was taken for a repeat and was none: a duplicate or a conflict becomes the event that it would have been.
//!
//! The record keeps its id, so that the event has it too, and what it had been taken to repeat.

use posthorn::v1;

use super::{Inbounds, event::of_day, view::request_proto};
use crate::{
    audit::Record,
    error::{Error, Reason},
    model::{
        claim::ClaimKey,
        inbound::{InboundAction, InboundActionKind, InboundRequest, Part, Verdict},
    },
    rpc::{Call, Caller, Made},
    store::LedgerTx,
};

impl Inbounds {
    pub(super) async fn accept(
        &self,
        caller: &Caller,
        request: v1::AcceptInboundRequestRequest,
    ) -> Result<v1::AcceptInboundRequestResponse, Error> {
        let now = self.core.clock.now_ms();
        let tenant = self.tenant(caller, &request.tenant_id)?;
        let reason = super::reason(&request.reason)?;
        let call = Call::new(caller, &request, now)?;
        if let Some(response) = call.earlier(&self.core.store).await? {
            return Ok(response);
        }
        let found = self.find(&tenant, &request.inbound_request_id).await?;
        if is_accepted(&found)? {
            return Ok(response(&found));
        }
        let body = self
            .core
            .store
            .inbound_body(&found)
            .await?
            .ok_or(Error::Erased)?;
        let event = self.event_now(&found, body).await?;
        self.ensure_day(&found).await?;
        let change = async |tx: &mut LedgerTx| {
            let locked = tx.inbound_lock(found.tenant_id, found.id).await?;
            let mut record = locked.ok_or(Error::NotFound("inbound request"))?;
            let audited = Record::of(record.tenant_id, record.id).because(&reason);
            if is_accepted(&record)? {
                return Ok(Made::new(response(&record), audited));
            }
            let audited = audited.setting(
                "verdict",
                Some(record.verdict.as_str()),
                Verdict::Accepted.as_str(),
            );
            record.verdict = Verdict::Accepted;
            record.claim = ClaimKey::own(&record.provider_event_id, record.id);
            let events = vec![(record.id.event(), event)];
            let written = self.dispatch.emit_within(tx, &tenant, events).await;
            let written = written.map_err(of_day)?;
            tx.inbound_accept(&record).await?;
            if !record.held {
                // From now on the event holds it.
                tx.inbound_body_drop(record.id).await?;
            }
            let action = InboundAction {
                event_id: record.event_id(),
                ..super::action(
                    caller,
                    &record,
                    InboundActionKind::Accept,
                    reason,
                    (now, &mut self.core.rng()),
                )
            };
            tx.inbound_action_record(&action).await?;
            let response = response(&record);
            Ok(Made::new(response, audited).then(move |_| written.committed()))
        };
        self.mutations.make_in(tenant.shard, call, change).await
    }
}

fn response(record: &InboundRequest) -> v1::AcceptInboundRequestResponse {
    v1::AcceptInboundRequestResponse {
        request: Some(request_proto(record)),
    }
}

/// Whether a request is an event already.
///
/// # Errors
/// When it can be none.
fn is_accepted(record: &InboundRequest) -> Result<bool, Error> {
    match (record.verdict, record.part) {
        (Verdict::Rejected | Verdict::Quarantined, _) => Err(Error::precondition(
            Reason::NotVerified,
            "only a duplicate or a conflict can be accepted; one that was rejected or quarantined can be verified again",
        )),
        (_, Part::Batch) => Err(Error::precondition(
            Reason::IsBatch,
            "it is a batch: accept its items, which GetInboundRequest shows, or replay it",
        )),
        (verdict, _) => Ok(verdict == Verdict::Accepted),
    }
}
