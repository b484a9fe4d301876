//! Looking at one inbound request, and reading its body.

use posthorn::v1::{self, InboundActionKind};

use super::{
    Inbounds, erased,
    event::content_type,
    handling::handlings,
    view::{action_proto, request_proto},
};
use crate::{clock, error::Error, rpc::Caller};

impl Inbounds {
    pub(super) async fn get(
        &self,
        caller: Caller,
        request: v1::GetInboundRequestRequest,
    ) -> Result<v1::GetInboundRequestResponse, Error> {
        let tenant = self.tenant(caller, &request.tenant_id)?;
        let found = self.find(&tenant, &request.inbound_request_id).await?;
        let actions = self.store.inbound_action_list(found.id).await?;
        let registry = self.registry.snapshot();
        let replays = actions.iter().filter_map(|action| action.event_id);
        let events = found.event_id().into_iter().chain(replays);
        Ok(v1::GetInboundRequestResponse {
            request: Some(request_proto(&found)),
            handlings: handlings(&self.store, &registry, events).await?,
            actions: actions.iter().map(action_proto).collect(),
        })
    }

    pub(super) async fn read(
        &self,
        caller: Caller,
        request: v1::ReadInboundPayloadRequest,
    ) -> Result<v1::ReadInboundPayloadResponse, Error> {
        let now = clock::now_ms();
        let tenant = self.tenant(caller, &request.tenant_id)?;
        let reason = super::reason(&request.reason)?;
        let found = self.find(&tenant, &request.inbound_request_id).await?;
        let body = self.store.inbound_body(&found).await?.ok_or_else(erased)?;
        let action = super::action(caller, &found, InboundActionKind::Read, reason, now);
        let mut tx = self.store.begin().await?;
        tx.inbound_action_record(&action).await?;
        tx.commit().await?;
        Ok(v1::ReadInboundPayloadResponse {
            body,
            content_type: content_type(&found).to_owned(),
        })
    }
}
