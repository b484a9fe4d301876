//! Deliveries, attempts and actions as callers see them.

use posthorn::v1;

use crate::{
    model::{
        api_key::Role,
        delivery::{Action, Attempt, DeliveryView, Trace, ViewState},
        id::TenantId,
    },
    rpc::{
        Caller,
        convert::{duration_proto, micros_proto, timestamp},
    },
    store::EventBrief,
};

/// Who may see what endpoints say and where they are.
const OPERATING: &[Role] = &[Role::Admin, Role::Operator];

/// The key of an attempt in a page token: its number and its lease.
pub(super) fn attempt_key_bytes(attempt: &Attempt) -> [u8; 12] {
    let number = i32::try_from(attempt.lease.attempt).unwrap_or(i32::MAX);
    place_bytes((number, attempt.lease.lease_id.cast_signed()))
}

/// The same of a place among the attempts of a delivery.
pub(in crate::rpc) fn place_bytes((number, lease_id): (i32, i64)) -> [u8; 12] {
    let mut key = [0; 12];
    key[..4].copy_from_slice(&number.to_be_bytes());
    key[4..].copy_from_slice(&lease_id.to_be_bytes());
    key
}

/// Reads that key.
pub(in crate::rpc) fn attempt_key(bytes: &[u8]) -> Option<(i32, i64)> {
    let (number, lease_id) = bytes.split_first_chunk::<4>()?;
    let number = i32::try_from(u32::from_be_bytes(*number)).ok()?;
    Some((number, i64::from_be_bytes(lease_id.try_into().ok()?)))
}

/// A delivery of a tenant, to the endpoint of this name. No brief: its event is gone.
pub(super) fn delivery_proto(
    tenant_id: TenantId,
    view: &DeliveryView,
    brief: Option<&EventBrief>,
    endpoint_name: String,
) -> v1::Delivery {
    let last_error = view.last.and_then(|last| last.error);
    let origin = brief.and_then(|brief| brief.origin);
    let mut delivery = v1::Delivery {
        delivery_id: view.id.to_string(),
        tenant_id: tenant_id.to_string(),
        event_id: view.id.event().to_string(),
        endpoint_id: view.endpoint_id.to_string(),
        attempt_count: view.attempt_count,
        inbound_request_id: origin.map(|id| id.to_string()).unwrap_or_default(),
        event_type: brief
            .map(|brief| brief.event_type.to_string())
            .unwrap_or_default(),
        endpoint_name,
        last_error_kind: last_error.map_or(0, |kind| v1::ErrorKind::from(kind).into()),
        last_status_code: view
            .last
            .and_then(|last| last.status_code)
            .map_or(0, u32::from),
        ..v1::Delivery::default()
    };
    match view.state {
        ViewState::Pending(due_at) => {
            delivery.set_state(v1::DeliveryState::Pending);
            delivery.next_attempt_at = Some(timestamp(due_at));
        }
        ViewState::Dead(reason, at) => {
            delivery.set_state(v1::DeliveryState::Dead);
            delivery.dead_reason = v1::DeadReason::from(reason).into();
            delivery.ended_at = Some(timestamp(at));
        }
        ViewState::Delivered(at) => {
            delivery.set_state(v1::DeliveryState::Delivered);
            delivery.ended_at = Some(timestamp(at));
        }
        ViewState::Cancelled(at) => {
            delivery.set_state(v1::DeliveryState::Cancelled);
            delivery.ended_at = Some(timestamp(at));
        }
    }
    delivery
}

/// What an endpoint said, what is not UTF-8 replaced. Only for those who may read what it was sent: it may have sent
/// that back.
fn excerpt(attempt: &Attempt, caller: &Caller) -> String {
    if caller.roles().has_any(OPERATING) {
        String::from_utf8_lossy(&attempt.excerpt).into_owned()
    } else {
        String::new()
    }
}

/// An attempt, as this caller may see it.
pub(super) fn attempt_proto(attempt: &Attempt, caller: &Caller) -> v1::Attempt {
    v1::Attempt {
        delivery_id: attempt.lease.delivery_id.to_string(),
        number: attempt.lease.attempt,
        succeeded: attempt.outcome.succeeded(),
        status_code: attempt.outcome.status_code.map_or(0, u32::from),
        error_kind: attempt
            .outcome
            .error
            .map_or(0, |kind| v1::ErrorKind::from(kind).into()),
        started_at: Some(timestamp(attempt.started_at)),
        duration: Some(duration_proto(attempt.duration_ms.into())),
        holder_id: attempt.holder.to_string(),
        response_excerpt: excerpt(attempt, caller),
        late: attempt.late,
        trace: attempt
            .trace
            .as_deref()
            .map(|trace| trace_proto(trace, caller)),
    }
}

fn trace_proto(trace: &Trace, caller: &Caller) -> v1::AttemptTrace {
    let spent = |micros: Option<u32>| micros.map(|micros| micros_proto(micros.into()));
    let sees_peer = caller.tenant_id().is_none() && caller.roles().has_any(OPERATING);
    let peer = trace.peer.filter(|_| sees_peer);
    v1::AttemptTrace {
        url: trace.url.clone(),
        http_version: trace
            .http_version
            .map(|version| version.as_str().to_owned())
            .unwrap_or_default(),
        peer: peer.map(|peer| peer.to_string()).unwrap_or_default(),
        dns: spent(trace.dns_us),
        connect: spent(trace.connect_us),
        tls: spent(trace.tls_us),
        answer: spent(trace.answer_us),
    }
}

/// An action of an operator.
pub(super) fn action_proto(action: &Action) -> v1::DeliveryAction {
    v1::DeliveryAction {
        kind: v1::DeliveryActionKind::from(action.kind).into(),
        reason: action.reason.clone(),
        key_id: action.key_id.map(|id| id.to_string()).unwrap_or_default(),
        acted_at: Some(timestamp(action.acted_at)),
    }
}
