//! A delivery as a consumer gets it.

use posthorn::v1;
use prost_types::Timestamp;

use super::AnswerWithin;
use crate::{
    dispatch::schedule::Grant,
    model::{endpoint::Handler, event::Event},
};

/// Writes the delivery of a lease.
pub(super) fn handout(
    handler: &Handler,
    event: &Event,
    grant: &Grant,
    answer_within: &AnswerWithin,
) -> v1::Handout {
    let inbound_id = event.inbound_id();
    let header = |(name, value): &(String, String)| v1::Header {
        name: name.clone(),
        value: value.clone(),
    };
    v1::Handout {
        lease_id: grant.key.lease_id,
        delivery_id: grant.key.delivery_id.to_string(),
        handler: handler.handler.clone(),
        attempt: grant.key.attempt,
        event_id: event.id.to_string(),
        event_type: event.event_type.to_string(),
        payload: event.payload.clone(),
        content_type: event.content_type.clone(),
        headers: event.headers.iter().map(header).collect(),
        occurred_at: Some(instant(event.occurred_at)),
        source_id: event.source_id.map(|id| id.to_string()).unwrap_or_default(),
        inbound_request_id: inbound_id.map(|id| id.to_string()).unwrap_or_default(),
        answer_within_ms: inbound_id.map_or(0, |id| answer_within(id)),
        traceparent: event.traceparent.clone().unwrap_or_default(),
    }
}

/// An instant as the contract has it.
fn instant(at_ms: i64) -> Timestamp {
    Timestamp {
        seconds: at_ms.div_euclid(1_000),
        nanos: i32::try_from(at_ms.rem_euclid(1_000) * 1_000_000).unwrap_or(0),
    }
}
