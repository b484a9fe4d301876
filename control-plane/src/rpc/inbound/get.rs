//! Looking at one inbound request, and reading its body.

use posthorn::v1;
use uuid::Uuid;

use super::{
    Inbounds,
    event::content_type,
    view::{action_proto, request_proto, summary_proto},
};
use crate::{
    audit::Record,
    error::Error,
    model::{
        id::uuid_floor,
        inbound::{InboundRequest, Part, Verdict},
    },
    rpc::{Call, Caller, Made},
    store::{InboundFilter, LedgerTx},
};

/// How many items a batch that was taken apart has at most.
const ITEMS_MAX: i64 = 1_000;

impl Inbounds {
    pub(super) async fn get(
        &self,
        caller: &Caller,
        request: v1::GetInboundRequestRequest,
    ) -> Result<v1::GetInboundRequestResponse, Error> {
        let tenant = self.tenant(caller, &request.tenant_id)?;
        let found = self.find(&tenant, &request.inbound_request_id).await?;
        let actions = self.core.store.inbound_action_list(found.id).await?;
        let is_whole = found.verdict == Verdict::Accepted;
        let items = if is_whole && found.part == Part::Batch {
            self.items(&found).await?
        } else {
            Vec::new()
        };
        Ok(v1::GetInboundRequestResponse {
            request: Some(request_proto(&found)),
            items: items.iter().map(summary_proto).collect(),
            actions: actions.iter().map(action_proto).collect(),
        })
    }

    /// The items of a batch, or of the one that it repeats, in their order.
    pub(super) async fn items(&self, batch: &InboundRequest) -> Result<Vec<InboundRequest>, Error> {
        let batch_id = batch.original_id.unwrap_or(batch.id);
        let filter = InboundFilter {
            shard: batch_id.shard(),
            tenant_id: batch.tenant_id,
            source_id: None,
            verdict: None,
            event_type: None,
            provider_event_id: None,
            batch_id: Some(batch_id),
            from: uuid_floor(0),
            below: Uuid::max(),
            limit: ITEMS_MAX,
        };
        let mut items = self.core.store.inbound_list(&filter).await?.rows;
        items.reverse();
        Ok(items)
    }

    pub(super) async fn read(
        &self,
        caller: &Caller,
        request: v1::ReadInboundPayloadRequest,
    ) -> Result<v1::ReadInboundPayloadResponse, Error> {
        let now = self.core.clock.now_ms();
        let tenant = self.tenant(caller, &request.tenant_id)?;
        let reason = super::reason(&request.reason)?;
        let found = self.find(&tenant, &request.inbound_request_id).await?;
        let body = self
            .core
            .store
            .inbound_body(&found)
            .await?
            .ok_or(Error::Erased)?;
        let call = Call::new(caller, &request, now)?;
        let change = async |_: &mut LedgerTx| {
            let response = v1::ReadInboundPayloadResponse {
                body,
                content_type: content_type(&found).to_owned(),
            };
            let record = Record::of(found.tenant_id, found.id).because(reason);
            Ok(Made::new(response, record))
        };
        self.mutations.make_in(tenant.shard, call, change).await
    }
}
