//! Replays: the bytes of an inbound request once more, as a new event.

use posthorn::v1::{self, InboundActionKind};

use super::{Inbounds, erased};
use crate::{
    clock,
    error::Error,
    model::{
        event::NewEvent,
        id::EventId,
        inbound::{InboundAction, InboundRequest, Verdict},
    },
    rpc::{Begun, Call, Caller},
};

impl Inbounds {
    pub(super) async fn replay(
        &self,
        caller: Caller,
        request: v1::ReplayInboundRequestRequest,
    ) -> Result<v1::ReplayInboundRequestResponse, Error> {
        let now = clock::now_ms();
        let tenant = self.tenant(caller, &request.tenant_id)?;
        let reason = super::reason(&request.reason)?;
        let call = Call::new(
            &caller,
            "ReplayInboundRequest",
            &request,
            &request.request_id,
            now,
        )?;
        if let Some(response) = call.earlier(&self.store).await? {
            return Ok(response);
        }
        let found = self.find(&tenant, &request.inbound_request_id).await?;
        let event = self.replayed(&found).await?;
        let mut mutation = match call.begin(&self.store).await? {
            Begun::Repeat(response) => return Ok(response),
            Begun::Fresh(mutation) => mutation,
        };
        let event_id = EventId::new(now, tenant.shard, &mut clock::rng());
        let written = self
            .dispatch
            .emit_within(mutation.tx(), &tenant, event_id, event)
            .await?;
        let action = InboundAction {
            event_id: Some(event_id),
            ..super::action(caller, &found, InboundActionKind::Replay, reason, now)
        };
        mutation.tx().inbound_action_record(&action).await?;
        let response = v1::ReplayInboundRequestResponse {
            event_id: event_id.to_string(),
            delivery_count: written.delivery_count().into(),
        };
        mutation.commit(&response).await?;
        written.committed();
        Ok(response)
    }

    /// What a replay emits: as the first event was, or as the source forwards now when there is none.
    async fn replayed(&self, request: &InboundRequest) -> Result<NewEvent, Error> {
        if !matches!(request.verdict, Verdict::Accepted | Verdict::Conflict) {
            return Err(Error::FailedPrecondition(
                "only an accepted request or a conflict can be replayed; one that was rejected or quarantined can be \
                 verified again"
                    .to_owned(),
            ));
        }
        let first = match request.event_id() {
            Some(id) => self.store.event_get(request.tenant_id, id).await?,
            None => None,
        };
        if let Some(first) = first {
            return Ok(NewEvent {
                event_type: first.event_type,
                payload: first.payload,
                content_type: first.content_type,
                occurred_at: Some(first.occurred_at),
                idempotency_key: None,
                traceparent: first.traceparent,
                source_id: first.source_id,
                headers: first.headers,
            });
        }
        let body = self.store.inbound_body(request).await?.ok_or_else(erased)?;
        Ok(self.event_now(request, body))
    }
}
