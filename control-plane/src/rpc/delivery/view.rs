//! Deliveries, attempts and actions as callers see them.

use posthorn::v1;

use crate::{
    model::{
        api_key::{Role, Roles},
        delivery::{Action, Attempt, DeliveryView, ViewState},
        id::{InboundId, TenantId},
    },
    rpc::convert::{duration_proto, timestamp},
};

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

/// A delivery of a tenant, whose event this inbound request brought.
pub(super) fn delivery_proto(
    tenant_id: TenantId,
    view: &DeliveryView,
    inbound_id: Option<InboundId>,
) -> v1::Delivery {
    let mut delivery = v1::Delivery {
        delivery_id: view.id.to_string(),
        tenant_id: tenant_id.to_string(),
        event_id: view.id.event().to_string(),
        endpoint_id: view.endpoint_id.to_string(),
        attempt_count: view.attempt_count,
        inbound_request_id: inbound_id.map(|id| id.to_string()).unwrap_or_default(),
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
fn excerpt(attempt: &Attempt, roles: Roles) -> String {
    if roles.has_any(&[Role::Admin, Role::Operator]) {
        String::from_utf8_lossy(&attempt.excerpt).into_owned()
    } else {
        String::new()
    }
}

/// An attempt, for a caller with these roles.
pub(super) fn attempt_proto(attempt: &Attempt, roles: Roles) -> v1::Attempt {
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
        response_excerpt: excerpt(attempt, roles),
        late: attempt.late,
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
