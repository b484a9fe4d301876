//! The event that an inbound request becomes once more, or for the first time.

use bytes::Bytes;

use super::Inbounds;
use crate::{
    ingest::{Content, Posted, examine},
    model::{
        event::{JSON, NewEvent, is_traceparent},
        inbound::{Channel, InboundRequest},
    },
};

impl Inbounds {
    /// The event of a request that verified, by the settings of its source now. One that its source does not take any more
    /// goes out as it came, without its headers.
    pub(super) fn event_now(&self, request: &InboundRequest, body: Bytes) -> NewEvent {
        let registry = self.registry.snapshot();
        let posted = Posted::recorded(request, body.clone());
        let content = registry
            .source(request.source_id)
            .and_then(|live| examine(live, live.verifier.as_ref()?, &posted).ok());
        let content = content.unwrap_or_else(|| Content {
            event_type: request.event_type.clone(),
            provider_event_id: request.provider_event_id.clone(),
            content_type: content_type(request).to_owned(),
            headers: Vec::new(),
        });
        event(request, content, body)
    }
}

/// The event of a request that holds this.
pub(super) fn event(request: &InboundRequest, content: Content, body: Bytes) -> NewEvent {
    let traceparent = header(request, "traceparent").filter(|text| is_traceparent(text));
    NewEvent {
        event_type: request.event_type.clone(),
        payload: body,
        content_type: content.content_type,
        occurred_at: Some(request.received_at),
        idempotency_key: None,
        traceparent: traceparent.map(ToOwned::to_owned),
        source_id: Some(request.source_id),
        headers: content.headers,
    }
}

/// The media type that a request named, or the one of bytes that say nothing about themselves.
pub(super) fn content_type(request: &InboundRequest) -> &str {
    match request.channel {
        Channel::Webhook => header(request, "content-type").unwrap_or("application/octet-stream"),
        // Items of a JSON text.
        Channel::Poll => JSON,
    }
}

fn header<'a>(request: &'a InboundRequest, name: &str) -> Option<&'a str> {
    let mut headers = request.head.headers.iter();
    headers
        .find(|(known, _)| known == name)
        .map(|(_, value)| value.as_str())
}
