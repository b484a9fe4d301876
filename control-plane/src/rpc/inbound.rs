//! `InboundService`: one file for each thing that is done.

mod accept;
mod event;
mod get;
mod handling;
mod hold;
mod list;
mod replay;
mod reverify;
mod view;

use std::sync::Arc;

use posthorn::v1::{self, inbound_service_server::InboundService};
use rand::Rng;
use tonic::{Request, Response, Status, Streaming};

use super::{
    Caller, Consumers, Mutations,
    consume::ConsumeStream,
    convert::{id, visible_name},
};
use crate::{
    core::Core,
    dispatch::Dispatch,
    error::Error,
    inbound::Inbound,
    model::{
        id::{InboundActionId, InboundId},
        inbound::{InboundAction, InboundActionKind, InboundRequest},
    },
    registry::TenantEntry,
};

/// How many characters a reason may have.
const REASON_CHARS_MAX: usize = 500;

/// Serves `InboundService`.
#[derive(Clone)]
pub(crate) struct Inbounds {
    core: Core,
    mutations: Mutations,
    dispatch: Dispatch,
    inbound: Inbound,
    consumers: Consumers,
}

impl Inbounds {
    /// A service over the store that judges by `inbound`, emits through the engine and hands streams to `consumers`.
    pub(crate) fn new(
        core: Core,
        dispatch: Dispatch,
        inbound: Inbound,
        consumers: Consumers,
    ) -> Self {
        Self {
            mutations: Mutations::new(&core),
            core,
            dispatch,
            inbound,
            consumers,
        }
    }

    fn tenant(&self, caller: &Caller, text: &str) -> Result<Arc<TenantEntry>, Error> {
        caller.tenant(&self.core.registry.snapshot(), text)
    }

    /// A tenant's request by the id in a field.
    async fn find(&self, tenant: &TenantEntry, text: &str) -> Result<InboundRequest, Error> {
        let id = id::<InboundId>("inbound_request_id", text)?;
        let found = self.core.store.inbound_get(tenant.tenant.id, id).await?;
        found.ok_or(Error::NotFound("inbound request"))
    }
}

fn reason(text: &str) -> Result<String, Error> {
    visible_name("reason", text, REASON_CHARS_MAX)
}

/// What a caller does to a request, for its log.
fn action(
    caller: &Caller,
    request: &InboundRequest,
    kind: InboundActionKind,
    reason: String,
    (now, rng): (i64, &mut impl Rng),
) -> InboundAction {
    InboundAction {
        id: InboundActionId::new(now, rng),
        request_id: request.id,
        tenant_id: request.tenant_id,
        kind,
        reason,
        key_id: caller.key_id(),
        acted_at: now,
        event_id: None,
    }
}

serves! {
    InboundService for Inbounds {
        list_inbound_requests => list(ListInboundRequestsRequest) -> ListInboundRequestsResponse;
        get_inbound_request => get(GetInboundRequestRequest) -> GetInboundRequestResponse;
        list_handlings => handlings(ListHandlingsRequest) -> ListHandlingsResponse;
        read_inbound_payload => read(ReadInboundPayloadRequest) -> ReadInboundPayloadResponse;
        reverify_inbound_request => reverify(ReverifyInboundRequestRequest) -> ReverifyInboundRequestResponse;
        replay_inbound_request => replay(ReplayInboundRequestRequest) -> ReplayInboundRequestResponse;
        accept_inbound_request => accept(AcceptInboundRequestRequest) -> AcceptInboundRequestResponse;
        hold_inbound_request => hold(HoldInboundRequestRequest) -> HoldInboundRequestResponse;
        release_inbound_request => release(ReleaseInboundRequestRequest) -> ReleaseInboundRequestResponse;
    } with {
        type ConsumeStream = ConsumeStream;

        async fn consume(
            &self,
            request: Request<Streaming<v1::ConsumeRequest>>,
        ) -> Result<Response<Self::ConsumeStream>, Status> {
            self.consumers.open(request)
        }
    }
}
