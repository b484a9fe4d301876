//! Replays: the bytes of an inbound request once more, as a new event.

use posthorn::v1;

use super::Inbounds;
use crate::{
    audit::Record,
    error::{Error, Reason},
    model::{
        event::NewEvent,
        id::EventId,
        inbound::{InboundAction, InboundActionKind, InboundRequest, Part, Verdict},
    },
    rpc::{Call, Caller, Made},
    store::LedgerTx,
};

impl Inbounds {
    pub(super) async fn replay(
        &self,
        caller: &Caller,
        request: v1::ReplayInboundRequestRequest,
    ) -> Result<v1::ReplayInboundRequestResponse, Error> {
        let now = self.core.clock.now_ms();
        let tenant = self.tenant(caller, &request.tenant_id)?;
        let reason = super::reason(&request.reason)?;
        let call = Call::new(caller, &request, now)?;
        if let Some(response) = call.earlier(&self.core.store).await? {
            return Ok(response);
        }
        let found = self.find(&tenant, &request.inbound_request_id).await?;
        let replayed = self.replayed_all(&found).await?;
        let change = async |tx: &mut LedgerTx| {
            let ids = EventId::several(replayed.len(), now, tenant.shard, &mut self.core.rng());
            let (records, events): (Vec<_>, Vec<_>) = replayed.into_iter().unzip();
            let events = ids.iter().copied().zip(events).collect();
            let written = self.dispatch.emit_within(tx, &tenant, events).await?;
            let action = |request: &InboundRequest, event_id| InboundAction {
                event_id,
                ..super::action(
                    caller,
                    request,
                    InboundActionKind::Replay,
                    reason.clone(),
                    (now, &mut self.core.rng()),
                )
            };
            for (record, event_id) in records.iter().zip(&ids) {
                let action = action(record, Some(*event_id));
                tx.inbound_action_record(&action).await?;
            }
            if found.part == Part::Batch {
                tx.inbound_action_record(&action(&found, None)).await?;
            }
            let event_ids = ids.iter().map(ToString::to_string).collect::<Vec<_>>();
            let response = v1::ReplayInboundRequestResponse {
                event_id: event_ids.first().cloned().unwrap_or_default(),
                delivery_count: written.delivery_count(),
                event_ids,
            };
            let audited = Record::of(found.tenant_id, found.id).because(&reason);
            let audited = audited.setting("events", None, ids.len());
            Ok(Made::new(response, audited).then(move |_| written.committed()))
        };
        self.mutations.make_in(tenant.shard, call, change).await
    }

    /// What a replay emits: the request, or each item of a batch, with the record that it is of.
    async fn replayed_all(
        &self,
        request: &InboundRequest,
    ) -> Result<Vec<(InboundRequest, NewEvent)>, Error> {
        if request.part != Part::Batch {
            let event = self.replayed(request).await?;
            return Ok(vec![(request.clone(), event)]);
        }
        let mut replayed = Vec::new();
        for item in self.items(request).await? {
            let event = self.replayed(&item).await?;
            replayed.push((item, event));
        }
        Ok(replayed)
    }

    /// What the replay of one event emits: as the first event was, or as the source forwards now when there is none.
    async fn replayed(&self, request: &InboundRequest) -> Result<NewEvent, Error> {
        if matches!(request.verdict, Verdict::Rejected | Verdict::Quarantined) {
            return Err(Error::precondition(
                Reason::NotVerified,
                "a request that was rejected or quarantined cannot be replayed; it can be verified again",
            ));
        }
        let first = match request.event_id() {
            Some(id) => self.core.store.event_get(request.tenant_id, id).await?,
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
                batch_id: first.batch_id,
                headers: first.headers,
            });
        }
        let body = self
            .core
            .store
            .inbound_body(request)
            .await?
            .ok_or(Error::Erased)?;
        self.event_now(request, body).await
    }
}
