//! Verifying again what was rejected or quarantined, by the source's settings and secrets of now.
//!
//! The record keeps its id, so that the event has it too, and changes its verdict in the transaction that writes the event.

use bytes::Bytes;
use posthorn::v1::{self, InboundActionKind};

use super::{Inbounds, erased, event::event, view::request_proto};
use crate::{
    clock,
    dispatch::Written,
    error::Error,
    ingest::{Content, Judgement, Posted},
    model::{
        inbound::{InboundRequest, Verdict, claim},
        source::SourceState,
    },
    registry::TenantEntry,
    rpc::{Begun, Call, Caller},
    store::{self, Claimed, Tx},
};

impl Inbounds {
    pub(super) async fn reverify(
        &self,
        caller: Caller,
        request: v1::ReverifyInboundRequestRequest,
    ) -> Result<v1::ReverifyInboundRequestResponse, Error> {
        let now = clock::now_ms();
        let tenant = self.tenant(caller, &request.tenant_id)?;
        let reason = super::reason(&request.reason)?;
        let call = Call::new(
            &caller,
            "ReverifyInboundRequest",
            &request,
            &request.request_id,
            now,
        )?;
        if let Some(response) = call.earlier(&self.store).await? {
            return Ok(response);
        }
        let found = self.find(&tenant, &request.inbound_request_id).await?;
        check_verdict(&found)?;
        let body = self.store.inbound_body(&found).await?.ok_or_else(erased)?;
        let content = self.judged_again(&found, &body).await?;
        // The day of the request may be one whose events are gone already.
        let day = found.id.event().created_at();
        self.store
            .partition_ensure(day)
            .await
            .map_err(|error| no_room(&error))?;
        let mut mutation = match call.begin(&self.store).await? {
            Begun::Repeat(response) => return Ok(response),
            Begun::Fresh(mutation) => mutation,
        };
        let mut record = lock(mutation.tx(), &found).await?;
        let written = self
            .accept(mutation.tx(), &tenant, &mut record, content, body)
            .await?;
        let action = super::action(caller, &record, InboundActionKind::Reverify, reason, now);
        mutation.tx().inbound_action_record(&action).await?;
        let response = v1::ReverifyInboundRequestResponse {
            request: Some(request_proto(&record)),
        };
        mutation.commit(&response).await?;
        if let Some(written) = written {
            written.committed();
        }
        Ok(response)
    }

    /// What a request holds that passes now, judged as of when it was received.
    async fn judged_again(&self, request: &InboundRequest, body: &Bytes) -> Result<Content, Error> {
        let live = self.registry.snapshot().source(request.source_id).cloned();
        let live =
            live.ok_or_else(|| precondition("its source is gone, or its secret does not open"))?;
        if live.source.state != SourceState::Enabled {
            return Err(precondition("its source is not enabled"));
        }
        if let Some(verifier) = &live.verifier
            && !(verifier.credential_headers().is_empty()
                && verifier.credential_parameters().is_empty())
        {
            return Err(precondition(
                "its credential was a token, which is never kept: ask the provider to send it again",
            ));
        }
        let posted = Posted::recorded(request, body.clone());
        match self.ingest.judge(&live, &posted).await {
            Judgement::Genuine(content) => Ok(content),
            Judgement::Handshake => Err(precondition("it is a handshake, and no event")),
            Judgement::Refused(refused) => {
                let reason = refused.reason;
                Err(precondition(&format!("it fails again: {reason}")))
            }
        }
    }

    /// Makes a request that passes now what it would be if it came now, and its event if it is accepted.
    async fn accept(
        &self,
        tx: &mut Tx,
        tenant: &TenantEntry,
        record: &mut InboundRequest,
        content: Content,
        body: Bytes,
    ) -> Result<Option<Written>, Error> {
        record.verdict = Verdict::Accepted;
        record.reason.clear();
        record.claim = claim(&content.provider_event_id, &record.body_hash);
        record
            .provider_event_id
            .clone_from(&content.provider_event_id);
        record.event_type = content.event_type.clone();
        settle(tx, record).await?;
        // From now on the event holds the body, its own or that of the one that it repeats.
        if record.verdict != Verdict::Conflict && !record.held {
            tx.inbound_body_drop(record.id).await?;
        }
        let Some(event_id) = record.event_id() else {
            return Ok(None);
        };
        let event = event(record, content, body);
        let written = self
            .dispatch
            .emit_within(tx, tenant, event_id, event)
            .await
            .map_err(|error| {
                if is_no_partition(&error) {
                    no_room(&error)
                } else {
                    error
                }
            })?;
        Ok(Some(written))
    }
}

/// The request, held against changes, if it still neither verified nor went.
async fn lock(tx: &mut Tx, found: &InboundRequest) -> Result<InboundRequest, Error> {
    let locked = tx.inbound_lock(found.tenant_id, found.id).await?;
    let record = locked.ok_or(Error::NotFound("inbound request"))?;
    check_verdict(&record)?;
    Ok(record)
}

/// Takes the claim of a request that passes, or makes it a repeat of the one that has it.
async fn settle(tx: &mut Tx, record: &mut InboundRequest) -> Result<(), Error> {
    match tx.inbound_claim(record).await? {
        Claimed::Won => {}
        Claimed::Lost {
            original_id,
            verdict,
        } => {
            record.original_id = Some(original_id);
            record.verdict = verdict;
            tx.inbound_rewrite(record).await?;
        }
        Claimed::Raced => {
            let text = "a request with the same id comes in at this moment: repeat the call";
            return Err(Error::Unavailable(text.to_owned()));
        }
    }
    Ok(())
}

/// Whether the day of an event has no partition, because retention took it in between.
fn is_no_partition(error: &Error) -> bool {
    matches!(error, Error::Internal(cause) if store::has_no_partition(cause.as_ref()))
}

/// The day of the request could not be made ready for its event: somebody else makes or drops it at this moment.
fn no_room(error: &(dyn std::error::Error + 'static)) -> Error {
    tracing::warn!(error = ?error, "the day of an inbound request has no partition now");
    let text = "the day of the request is being made ready for its event: repeat the call";
    Error::Unavailable(text.to_owned())
}

fn check_verdict(request: &InboundRequest) -> Result<(), Error> {
    match request.verdict {
        Verdict::Rejected | Verdict::Quarantined => Ok(()),
        Verdict::Accepted | Verdict::Duplicate | Verdict::Conflict => {
            Err(precondition("it verified already"))
        }
    }
}

fn precondition(text: &str) -> Error {
    Error::FailedPrecondition(text.to_owned())
}
