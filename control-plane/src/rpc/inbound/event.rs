//! The event that an inbound request becomes once more, or for the first time.

use bytes::Bytes;

use super::Inbounds;
use crate::{
    error::Error,
    inbound::{Content, Posted, event, examine, forwarded_to_items},
    model::{
        event::{JSON, NewEvent},
        inbound::{Channel, InboundRequest, Part},
    },
    store,
};

impl Inbounds {
    /// The event of a request that verified, by the settings of its source now. One that its source does not take any more
    /// goes out as it came, without its headers.
    pub(super) async fn event_now(
        &self,
        request: &InboundRequest,
        body: Bytes,
    ) -> Result<NewEvent, Error> {
        let live = self
            .core
            .registry
            .snapshot()
            .source(request.source_id)
            .cloned();
        let mark = &self.core.loop_mark;
        let content = match (live, request.part) {
            (Some(live), Part::Item(batch_id)) => {
                let batch = self
                    .core
                    .store
                    .inbound_get(request.tenant_id, batch_id)
                    .await?;
                let posted = batch.map(|batch| Posted::recorded(&batch, Bytes::new()));
                let headers =
                    posted.map(|posted| forwarded_to_items(&live.source.settings, mark, &posted));
                Some(Content {
                    headers: headers.unwrap_or_default(),
                    ..bare(request)
                })
            }
            (Some(live), _) => {
                let posted = Posted::recorded(request, body.clone());
                let verifier = live.verifier.as_ref();
                verifier.and_then(|verifier| examine((&live, verifier), mark, &posted).ok())
            }
            (None, _) => None,
        };
        let content = Content {
            event_type: request.event_type.clone(),
            ..content.unwrap_or_else(|| bare(request))
        };
        Ok(event(request, content, body))
    }

    /// Makes the day of a request ready for its event: it may be one whose events are gone already.
    pub(super) async fn ensure_day(&self, request: &InboundRequest) -> Result<(), Error> {
        let day = request.id.event().created_at();
        let ensured = self.core.store.partition_ensure(day).await;
        ensured.map_err(|error| no_room(&error))
    }
}

/// An error in writing the event of a day that was made ready: retention took it in between.
pub(super) fn of_day(error: Error) -> Error {
    if is_no_partition(&error) {
        no_room(&error)
    } else {
        error
    }
}

/// Whether the day of an event has no partition.
fn is_no_partition(error: &Error) -> bool {
    matches!(error, Error::Internal(cause) if store::has_no_partition(cause.as_ref()))
}

/// What is known of a request's content without its source.
fn bare(request: &InboundRequest) -> Content {
    Content {
        event_type: request.event_type.clone(),
        provider_event_id: request.provider_event_id.clone(),
        claim: None,
        content_type: content_type(request).to_owned(),
        headers: Vec::new(),
        items: Vec::new(),
    }
}

/// The day of the request could not be made ready for its event: somebody else makes or drops it at this moment.
fn no_room(error: &(dyn std::error::Error + 'static)) -> Error {
    tracing::warn!(error = ?error, "the day of an inbound request has no partition now");
    let text = "the day of the request is being made ready for its event: repeat the call";
    Error::Unavailable(text.to_owned())
}

/// The media type that a request named, or the one of bytes that say nothing about themselves.
pub(super) fn content_type(request: &InboundRequest) -> &str {
    match (request.channel, request.part) {
        (Channel::Webhook, Part::Whole | Part::Batch) => {
            header(request, "content-type").unwrap_or("application/octet-stream")
        }
        // Items of a JSON text.
        _ => JSON,
    }
}

fn header<'a>(request: &'a InboundRequest, name: &str) -> Option<&'a str> {
    let mut headers = request.head.headers.iter();
    headers
        .find(|(known, _)| known == name)
        .map(|(_, value)| value.as_str())
}
