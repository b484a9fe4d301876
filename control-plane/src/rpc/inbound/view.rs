//! Inbound requests and what was done to them, as the contract shows them.

use posthorn::v1;

use crate::{
    model::{
        id::InboundId,
        inbound::{InboundAction, InboundRequest},
    },
    rpc::convert::timestamp,
};

/// A request in a list: without its headers.
pub(super) fn summary_proto(request: &InboundRequest) -> v1::InboundRequest {
    let id = |id: Option<String>| id.unwrap_or_default();
    v1::InboundRequest {
        inbound_request_id: request.id.to_string(),
        tenant_id: request.tenant_id.to_string(),
        source_id: request.source_id.to_string(),
        verdict: v1::Verdict::from(request.verdict).into(),
        reason: request.reason.clone(),
        provider_event_id: request.provider_event_id.clone(),
        event_type: request.event_type.to_string(),
        event_id: id(request.event_id().map(|id| id.to_string())),
        original_id: id(request.original_id.map(|id| id.to_string())),
        headers: Vec::new(),
        body_bytes: request.body_bytes.into(),
        body_sha256: hex::encode(request.body_hash),
        remote_address: request.remote_address.clone(),
        received_at: Some(timestamp(request.received_at)),
        channel: v1::InboundChannel::from(request.channel).into(),
        answer_status: request.answer_status.into(),
        held: request.held,
        batch_id: id(request
            .part
            .column(request.id)
            .map(|batch| InboundId::from_uuid(batch).to_string())),
    }
}

/// A request by itself.
pub(super) fn request_proto(request: &InboundRequest) -> v1::InboundRequest {
    let headers = request.head.headers.iter();
    let headers = headers.map(|(name, value)| v1::Header {
        name: name.clone(),
        value: value.clone(),
    });
    v1::InboundRequest {
        headers: headers.collect(),
        ..summary_proto(request)
    }
}

/// What was done to a request.
pub(super) fn action_proto(action: &InboundAction) -> v1::InboundAction {
    v1::InboundAction {
        kind: v1::InboundActionKind::from(action.kind).into(),
        acted_at: Some(timestamp(action.acted_at)),
        key_id: action.key_id.to_string(),
        reason: action.reason.clone(),
        event_id: action.event_id.map(|id| id.to_string()).unwrap_or_default(),
    }
}
