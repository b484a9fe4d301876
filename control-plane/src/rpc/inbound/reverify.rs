//! Verifying again what was rejected or quarantined, by the source's settings and secrets of now.
//!
//! The record keeps its id, so that the event has it too, and is written anew in the transaction that writes the event.

use bytes::Bytes;
use posthorn::v1;

use super::{Inbounds, event::of_day, view::request_proto};
use crate::{
    audit::Record,
    dispatch::Arrival,
    error::{Error, Reason},
    inbound::{Judgement, Posted, arrivals},
    model::{
        inbound::{InboundActionKind, InboundRequest, Verdict},
        object::ObjectState,
    },
    rpc::{Call, Caller, Made},
    store::LedgerTx,
};

impl Inbounds {
    pub(super) async fn reverify(
        &self,
        caller: &Caller,
        request: v1::ReverifyInboundRequestRequest,
    ) -> Result<v1::ReverifyInboundRequestResponse, Error> {
        let now = self.core.clock.now_ms();
        let tenant = self.tenant(caller, &request.tenant_id)?;
        let reason = super::reason(&request.reason)?;
        let call = Call::new(caller, &request, now)?;
        if let Some(response) = call.earlier(&self.core.store).await? {
            return Ok(response);
        }
        let found = self.find(&tenant, &request.inbound_request_id).await?;
        check_verdict(&found)?;
        let body = self
            .core
            .store
            .inbound_body(&found)
            .await?
            .ok_or(Error::Erased)?;
        let arrivals = self.judged_again(&found, &body).await?;
        self.ensure_day(&found).await?;
        let change = async |tx: &mut LedgerTx| {
            let before = lock(tx, &found).await?;
            // It is written anew, as if it came now.
            tx.inbound_remove(before.id).await?;
            let received = self.dispatch.receive_within(tx, arrivals).await;
            let written = received.map_err(of_day)?;
            if before.held {
                tx.inbound_body_keep(before.id, &body).await?;
                tx.inbound_set_held(before.id, true).await?;
            }
            let record = tx.inbound_lock(before.tenant_id, before.id).await?;
            let record = record.ok_or(Error::NotFound("inbound request"))?;
            let action = super::action(
                caller,
                &record,
                InboundActionKind::Reverify,
                reason.clone(),
                (now, &mut self.core.rng()),
            );
            tx.inbound_action_record(&action).await?;
            let response = v1::ReverifyInboundRequestResponse {
                request: Some(request_proto(&record)),
            };
            let audited = Record::of(record.tenant_id, record.id).because(&reason);
            let verdicts = (before.verdict.as_str(), record.verdict.as_str());
            let audited = audited.setting("verdict", Some(verdicts.0), verdicts.1);
            Ok(Made::new(response, audited).then(move |_| written.committed()))
        };
        self.mutations.make_in(tenant.shard, call, change).await
    }

    /// What is received of a request that passes now, judged as of when it was received.
    async fn judged_again(
        &self,
        request: &InboundRequest,
        body: &Bytes,
    ) -> Result<Vec<Arrival>, Error> {
        let live = self
            .core
            .registry
            .snapshot()
            .source(request.source_id)
            .cloned();
        let live = live.ok_or_else(|| {
            Error::precondition(
                Reason::SourceGone,
                "its source is gone, or its secret does not open",
            )
        })?;
        if live.source.state != ObjectState::Enabled {
            return Err(Error::precondition(
                Reason::SourceNotEnabled,
                "its source is not enabled",
            ));
        }
        if let Some(verifier) = &live.verifier
            && !(verifier.credential_headers().is_empty()
                && verifier.credential_parameters().is_empty())
        {
            return Err(Error::precondition(
                Reason::CredentialNotKept,
                "its credential was a token, which is never kept: ask the provider to send it again",
            ));
        }
        let posted = Posted::recorded(request, body.clone());
        match self.inbound.judge(&live, &posted).await {
            Judgement::Genuine(content) => {
                let content = self.inbound.as_taken(&live, content);
                let settings = &live.source.settings;
                Ok(arrivals(
                    request.clone(),
                    settings,
                    content,
                    body.clone(),
                    &mut self.core.rng(),
                ))
            }
            Judgement::Handshake => Err(Error::precondition(
                Reason::IsHandshake,
                "it is a handshake, and no event",
            )),
            Judgement::Refused(refused) => {
                let reason = refused.reason;
                Err(Error::precondition(
                    Reason::FailsAgain,
                    format!("it fails again: {reason}"),
                ))
            }
        }
    }
}

/// The request, held against changes, if it still neither verified nor went.
async fn lock(tx: &mut LedgerTx, found: &InboundRequest) -> Result<InboundRequest, Error> {
    let locked = tx.inbound_lock(found.tenant_id, found.id).await?;
    let record = locked.ok_or(Error::NotFound("inbound request"))?;
    check_verdict(&record)?;
    Ok(record)
}

fn check_verdict(request: &InboundRequest) -> Result<(), Error> {
    match request.verdict {
        Verdict::Rejected | Verdict::Quarantined => Ok(()),
        Verdict::Accepted | Verdict::Duplicate | Verdict::Conflict => Err(Error::precondition(
            Reason::VerifiedAlready,
            "it verified already",
        )),
    }
}
