//! `EventService`.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use posthorn::v1::{self, emit_result, event_service_server::EventService};
use prost::Message as _;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::{
    Caller, Page, QueryFingerprint,
    convert::{id, timestamp},
    decode_status,
    message::Paid,
    new_event,
    time_range::TimeRange,
};
use crate::{
    core::Core,
    dispatch::{Accepted, Dispatch},
    error::Error,
    model::{api_key::Role, event::Event, event_type::EventTypeName, id::uuid_floor},
    store::{EventFilter, EventSummary},
};

/// How many events one message of a stream may carry.
const STREAM_EVENTS_MAX: usize = 1_000;
/// For how long the caller's half of a stream that we ended is held.
const FAREWELL: Duration = Duration::from_secs(1);
/// How many messages of one stream may wait for their commit.
const STREAM_REQUESTS_MAX: usize = 16;

/// Serves `EventService`.
#[derive(Debug, Clone)]
pub(crate) struct Events {
    core: Core,
    dispatch: Dispatch,
    shutdown: CancellationToken,
}

impl Events {
    /// A service over the store that emits through the engine; its streams end at `shutdown`.
    pub(crate) fn new(core: Core, dispatch: Dispatch, shutdown: CancellationToken) -> Self {
        Self {
            core,
            dispatch,
            shutdown,
        }
    }

    async fn emit(
        &self,
        caller: &Caller,
        request: v1::EmitEventRequest,
    ) -> Result<v1::EmitEventResponse, Error> {
        let now_ms = self.core.clock.now_ms();
        let tenant = caller.tenant(&self.core.registry.snapshot(), &request.tenant_id)?;
        let event = new_event::parse(request, self.dispatch.payload_bytes_max(), now_ms)?;
        Ok(accepted(self.dispatch.emit(&tenant, event, now_ms).await?))
    }

    /// Emits the events of one message and waits for all of them.
    async fn emit_batch(
        self,
        caller: &Caller,
        request: v1::EmitEventsRequest,
    ) -> v1::EmitEventsResponse {
        let now_ms = self.core.clock.now_ms();
        let mut waiting = Vec::with_capacity(request.events.len());
        for event in request.events {
            waiting.push(self.queue(caller, event, now_ms).await);
        }
        let mut results = Vec::with_capacity(waiting.len());
        for emitting in waiting {
            let result = match emitting {
                Ok(emitting) => emitting.accepted().await,
                Err(error) => Err(error),
            };
            results.push(emit_result(result));
        }
        v1::EmitEventsResponse {
            sequence: request.sequence,
            results,
        }
    }

    async fn queue(
        &self,
        caller: &Caller,
        request: v1::EmitEventRequest,
        now_ms: i64,
    ) -> Result<crate::dispatch::Emitting, Error> {
        let tenant = caller.tenant(&self.core.registry.snapshot(), &request.tenant_id)?;
        let event = new_event::parse(request, self.dispatch.payload_bytes_max(), now_ms)?;
        self.dispatch.emit_queued(&tenant, event, now_ms).await
    }

    /// Takes the messages of a stream until it ends; each is answered by a task of its own.
    async fn take_stream(
        self,
        caller: Caller,
        mut requests: Streaming<v1::EmitEventsRequest>,
        paid: Paid,
        answers: mpsc::Sender<Result<v1::EmitEventsResponse, Status>>,
    ) {
        let room = Arc::new(Semaphore::new(STREAM_REQUESTS_MAX));
        loop {
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
                return;
            };
            let request = match self.next_request(&caller, &mut requests).await {
                Ok(Some(request)) => request,
                Ok(None) => return,
                Err(status) => {
                    // What was taken before is answered first.
                    let _ = room
                        .acquire_many(u32::try_from(STREAM_REQUESTS_MAX).unwrap_or(1) - 1)
                        .await;
                    let _ = answers.send(Err(status)).await;
                    drop(answers);
                    // Held and not read on: the caller soon stops for want of credit, so that nothing is unread when
                    // the connection ends with a shutdown. The system would reset it, and the status be lost.
                    tokio::time::sleep(FAREWELL).await;
                    drop(requests);
                    return;
                }
            };
            let (service, caller, answers) = (self.clone(), caller.clone(), answers.clone());
            // The events are in memory until they are committed: so long their bytes are paid for.
            let charges = paid.take();
            tokio::spawn(async move {
                let answer = service.emit_batch(&caller, request).await;
                drop(charges);
                // The caller may have gone; its events stay.
                let _ = answers.send(Ok(answer)).await;
                drop(permit);
            });
        }
    }

    /// Waits until the caller's key stops working.
    async fn revoked(&self, caller: &Caller) {
        let key = self.core.registry.snapshot().key(caller.key_id()).cloned();
        if let Some(key) = key {
            key.ended(&self.core.clock).await;
        }
    }

    async fn next_request(
        &self,
        caller: &Caller,
        requests: &mut Streaming<v1::EmitEventsRequest>,
    ) -> Result<Option<v1::EmitEventsRequest>, Status> {
        let message = tokio::select! {
            message = requests.message() => message.map_err(decode_status)?,
            () = self.shutdown.cancelled() => {
                let message = "the control plane shuts down: emit what was not acknowledged again";
                return Err(Error::Unavailable(message.to_owned()).into());
            }
            () = self.revoked(caller) => return Err(Error::Unauthenticated.into()),
        };
        let Some(request) = message else {
            return Ok(None);
        };
        if !caller.is_live(&self.core.registry.snapshot(), self.core.clock.now_ms()) {
            return Err(Error::Unauthenticated.into());
        }
        if !(1..=STREAM_EVENTS_MAX).contains(&request.events.len()) {
            let limit = format!("must be 1 to {STREAM_EVENTS_MAX} events");
            return Err(Error::invalid("events", limit).into());
        }
        Ok(Some(request))
    }

    async fn get(
        &self,
        caller: &Caller,
        request: v1::GetEventRequest,
    ) -> Result<v1::GetEventResponse, Error> {
        let tenant = caller.tenant(&self.core.registry.snapshot(), &request.tenant_id)?;
        let store = &self.core.store;
        let key = new_event::idempotency_key(request.idempotency_key)?;
        let id = match (request.event_id.as_str(), key) {
            (text, None) => id("event_id", text)?,
            ("", Some(key)) => {
                let found = store.event_by_key(tenant.shard, tenant.tenant.id, &key);
                found.await?.ok_or(Error::NotFound("event"))?
            }
            _ => {
                let rule = "is given beside event_id: one of them names the event";
                return Err(Error::invalid("idempotency_key", rule));
            }
        };
        let found = store.event_get(tenant.tenant.id, id).await?;
        let event = found.ok_or(Error::NotFound("event"))?;
        let (pending_count, dead_count) = store.delivery_open_counts(id).await?;
        let payload_bytes = u32::try_from(event.payload.len()).unwrap_or(u32::MAX);
        // What a source brought is read by ReadInboundPayload, which records it.
        let may_read = caller.roles().has_any(&[Role::Admin, Role::Operator]);
        let payload = if may_read && event.source_id.is_none() {
            event.payload.clone()
        } else {
            Bytes::new()
        };
        Ok(v1::GetEventResponse {
            event: Some(event_proto(&event, payload, payload_bytes)),
            pending_count,
            dead_count,
        })
    }

    async fn list(
        &self,
        caller: &Caller,
        request: v1::ListEventsRequest,
    ) -> Result<v1::ListEventsResponse, Error> {
        let tenant = caller.tenant(&self.core.registry.snapshot(), &request.tenant_id)?;
        let range = TimeRange::parse(
            ("created_from", request.created_from.as_ref()),
            ("created_before", request.created_before.as_ref()),
        )?;
        let event_type = match request.event_type.as_str() {
            "" => None,
            name => Some(new_event::event_type(name)?),
        };
        let query = QueryFingerprint::new(
            "ListEvents",
            &[
                tenant.tenant.id.uuid().as_bytes(),
                &range.fingerprint(),
                request.event_type.as_bytes(),
            ],
        );
        let page = Page::parse(request.page_size, &request.page_token, query)?;
        let before = uuid_floor(range.before_ms);
        let filter = EventFilter {
            shard: tenant.shard,
            tenant_id: tenant.tenant.id,
            event_type: event_type.as_ref().map(EventTypeName::as_str),
            from: uuid_floor(range.from_ms),
            below: page.after_uuid()?.map_or(before, |after| before.min(after)),
            limit: page.rows_to_read(),
        };
        let scanned = self.core.store.event_list(&filter).await?;
        let (rows, next_page_token) = page.cut_scanned(scanned, |row| row.event.id.uuid());
        Ok(v1::ListEventsResponse {
            events: rows.iter().map(summary_proto).collect(),
            next_page_token,
        })
    }
}

fn accepted(accepted: Accepted) -> v1::EmitEventResponse {
    v1::EmitEventResponse {
        event_id: accepted.event_id.to_string(),
        deduplicated: accepted.deduplicated,
        delivery_count: u32::from(accepted.delivery_count),
    }
}

fn emit_result(result: Result<Accepted, Error>) -> v1::EmitResult {
    let result = match result {
        Ok(done) => emit_result::Result::Accepted(accepted(done)),
        Err(error) => {
            // The status logs the cause of a bug once, under the id in its message.
            emit_result::Result::Refused(status_proto(&Status::from(error)))
        }
    };
    v1::EmitResult {
        result: Some(result),
    }
}

/// What a failed call would end with. Its details, when it has some, hold all of it.
fn status_proto(status: &Status) -> tonic_types::Status {
    match tonic_types::Status::decode(status.details()) {
        Ok(whole) if !status.details().is_empty() => whole,
        _ => tonic_types::Status {
            code: status.code().into(),
            message: status.message().to_owned(),
            details: Vec::new(),
        },
    }
}

fn summary_proto(summary: &EventSummary) -> v1::Event {
    event_proto(&summary.event, Bytes::new(), summary.payload_bytes)
}

fn event_proto(event: &Event, payload: Bytes, payload_bytes: u32) -> v1::Event {
    v1::Event {
        event_id: event.id.to_string(),
        tenant_id: event.tenant_id.to_string(),
        event_type: event.event_type.to_string(),
        payload,
        content_type: event.content_type.clone(),
        occurred_at: Some(timestamp(event.occurred_at)),
        created_at: Some(timestamp(event.id.created_at())),
        delivery_count: u32::from(event.delivery_count),
        payload_bytes,
        traceparent: event.traceparent.clone().unwrap_or_default(),
        source_id: event.source_id.map(|id| id.to_string()).unwrap_or_default(),
        inbound_request_id: event
            .inbound_id()
            .map(|id| id.to_string())
            .unwrap_or_default(),
    }
}

serves! {
    EventService for Events {
        emit_event => emit(EmitEventRequest) -> EmitEventResponse;
        get_event => get(GetEventRequest) -> GetEventResponse;
        list_events => list(ListEventsRequest) -> ListEventsResponse;
    } with {
        type EmitEventsStream = ReceiverStream<Result<v1::EmitEventsResponse, Status>>;

        async fn emit_events(
            &self,
            request: Request<Streaming<v1::EmitEventsRequest>>,
        ) -> Result<Response<Self::EmitEventsStream>, Status> {
            let caller = Caller::of(&request)?;
            let paid = request.extensions().get::<Paid>().cloned();
            let paid = paid.unwrap_or_default();
            let (answers, stream) = mpsc::channel(STREAM_REQUESTS_MAX);
            let taking = self
                .clone()
                .take_stream(caller, request.into_inner(), paid, answers);
            tokio::spawn(taking);
            Ok(Response::new(ReceiverStream::new(stream)))
        }
    }
}
