//! Emitting: an event and its deliveries, durable in one group commit, then on to the schedule.
//!
//! A caller is answered after the commit. When a commit's result is unknown it is repeated as it is for a few seconds; if the database stays away, the
//! callers hear UNAVAILABLE and the lanes read the table anew.

use std::sync::Arc;

use rand::Rng;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::{Load, Pending, Writing, shutting_down};
use crate::{
    dispatch::Dispatch,
    error::{Error, Reason},
    metrics::ResultLabel,
    model::{
        endpoint::Endpoint,
        event::{Event, NewEvent},
        event_type::EventTypeName,
        id::{DELIVERIES_PER_EVENT_MAX, EndpointId, EventId, TenantId},
    },
    registry::TenantEntry,
    store::{self, EmitKey, EmitRow, Emitted},
};

/// How much of one tenant may wait for its commit, in KiB: each event counts as one and its payload.
const TENANT_QUEUE_KIB: usize = 32 * 1_024;
/// The type of test events.
const TEST_EVENT_TYPE: &str = "posthorn.test";

/// An event that is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Accepted {
    /// Its id.
    pub event_id: EventId,
    /// The idempotency key had been used, and this is the event of then.
    pub deduplicated: bool,
    /// How many deliveries it has.
    pub delivery_count: u16,
}

/// An emit that waits for its commit.
#[derive(Debug)]
pub(super) struct PendingEmit {
    row: EmitRow,
    reply: Reply,
    _permit: OwnedSemaphorePermit,
}

/// An emit on its way. Await it to hear what became of it.
#[derive(Debug)]
pub(crate) struct Emitting(oneshot::Receiver<Result<Accepted, Error>>);

impl Emitting {
    /// Waits for the commit.
    pub(crate) async fn accepted(self) -> Result<Accepted, Error> {
        self.0.await.unwrap_or_else(|_| Err(shutting_down()))
    }
}

impl Dispatch {
    /// Emits one event, or sheds it when too many of its tenant wait.
    pub(crate) async fn emit(
        &self,
        tenant: &TenantEntry,
        event: NewEvent,
        now_ms: i64,
    ) -> Result<Accepted, Error> {
        let permit = self
            .queue_of(tenant.tenant.id)
            .try_acquire_many_owned(weight(&event))
            .map_err(|_| {
                self.0
                    .core
                    .metrics
                    .emits
                    .get_or_create(&ResultLabel { result: "shed" })
                    .inc();
                Error::Exhausted(
                    "too many emits of this tenant wait: slow down, or emit over a stream"
                        .to_owned(),
                )
            })?;
        self.submit(
            row(tenant, event, (now_ms, &mut self.0.core.rng()))?,
            permit,
        )
        .await?
        .accepted()
        .await
    }

    /// Queues one event, waiting for room: for streams, whose flow control is the wait.
    pub(crate) async fn emit_queued(
        &self,
        tenant: &TenantEntry,
        event: NewEvent,
        now_ms: i64,
    ) -> Result<Emitting, Error> {
        let queue = self.queue_of(tenant.tenant.id);
        let permit = queue.acquire_many_owned(weight(&event)).await;
        let row = row(tenant, event, (now_ms, &mut self.0.core.rng()))?;
        self.submit(row, permit.map_err(|_| shutting_down())?).await
    }

    async fn submit(&self, row: EmitRow, permit: OwnedSemaphorePermit) -> Result<Emitting, Error> {
        let (reply, answer) = oneshot::channel();
        let pending = PendingEmit {
            row,
            reply,
            _permit: permit,
        };
        self.0
            .queues
            .emits
            .send(pending)
            .await
            .map_err(|_| shutting_down())?;
        Ok(Emitting(answer))
    }

    fn queue_of(&self, tenant_id: TenantId) -> Arc<Semaphore> {
        let mut queued = self.0.queues.queued.lock();
        let queue = queued
            .entry(tenant_id)
            .or_insert_with(|| Arc::new(Semaphore::new(TENANT_QUEUE_KIB)));
        Arc::clone(queue)
    }
}

/// What an event counts for in its tenant's queue.
fn weight(event: &NewEvent) -> u32 {
    u32::try_from(1 + event.payload.len() / 1_024).unwrap_or(u32::MAX)
}

fn row(
    tenant: &TenantEntry,
    event: NewEvent,
    (now_ms, rng): (i64, &mut impl Rng),
) -> Result<EmitRow, Error> {
    if !tenant.accepts(&event.event_type) {
        return Err(Error::invalid(
            "event_type",
            "is not declared: see EventTypeService.ListEventTypes, or declare it with CreateEventType",
        ));
    }
    let id = EventId::new(now_ms, tenant.shard, rng);
    row_of(tenant, id, event)
}

/// An event of this id, to everybody who is subscribed to it.
pub(super) fn row_of(tenant: &TenantEntry, id: EventId, event: NewEvent) -> Result<EmitRow, Error> {
    let endpoints = tenant.subscribers(&event.event_type, event.source_id);
    if endpoints.len() > usize::from(DELIVERIES_PER_EVENT_MAX) {
        return Err(Error::precondition(
            Reason::TooManySubscribers,
            format!(
                "{} endpoints are subscribed to this event type: at most {DELIVERIES_PER_EVENT_MAX} can be",
                endpoints.len()
            ),
        ));
    }
    Ok(row_to(tenant.tenant.id, id, endpoints, event))
}

fn row_to(
    tenant_id: TenantId,
    id: EventId,
    endpoints: Vec<EndpointId>,
    event: NewEvent,
) -> EmitRow {
    let key = event.idempotency_key.clone().map(|key| EmitKey {
        key,
        content_hash: event.content_hash(),
    });
    let event = Event {
        id,
        tenant_id,
        event_type: event.event_type,
        payload: event.payload,
        content_type: event.content_type,
        occurred_at: event.occurred_at.unwrap_or_else(|| id.created_at()),
        delivery_count: u16::try_from(endpoints.len()).unwrap_or(DELIVERIES_PER_EVENT_MAX),
        traceparent: event.traceparent,
        source_id: event.source_id,
        batch_id: event.batch_id,
        headers: event.headers,
    };
    EmitRow {
        event: Arc::new(event),
        endpoints,
        key,
    }
}

/// An event that tests an endpoint, and goes to it alone.
pub(super) fn test_row(endpoint: &Endpoint, id: EventId) -> Result<EmitRow, Error> {
    let event_type =
        EventTypeName::parse(TEST_EVENT_TYPE).map_err(|error| Error::Internal(error.into()))?;
    let payload = serde_json::json!({
        "type": TEST_EVENT_TYPE,
        "endpoint_id": endpoint.id.to_string(),
    });
    let event = NewEvent {
        event_type,
        payload: payload.to_string().into(),
        content_type: crate::model::event::JSON.to_owned(),
        occurred_at: None,
        idempotency_key: None,
        traceparent: None,
        source_id: None,
        batch_id: None,
        headers: Vec::new(),
    };
    Ok(row_to(endpoint.tenant_id, id, vec![endpoint.id], event))
}

type Reply = oneshot::Sender<Result<Accepted, Error>>;

impl Pending for PendingEmit {
    fn load(&self) -> Load {
        Load::of(&self.row)
    }

    async fn commit(dispatch: &Dispatch, batch: Vec<Self>) {
        let (rows, replies): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .map(|pending| (pending.row, pending.reply))
            .unzip();
        let writing = dispatch.writing(rows);
        match write(dispatch, writing.rows()).await {
            Ok(emitted) => accept(dispatch, writing, emitted, replies),
            Err(error) if replies.len() > 1 && error.is_fault_of_a_row() => {
                // One row that the database refuses must not take the others with it.
                tracing::warn!(error = ?error, rows = replies.len(), "an emit batch was refused; writing its rows one by one");
                let singly = writing.split(std::iter::repeat_n(1, replies.len()));
                for (one, reply) in singly.into_iter().zip(replies) {
                    match write(dispatch, one.rows()).await {
                        Ok(emitted) => accept(dispatch, one, emitted, vec![reply]),
                        Err(error) => refuse(dispatch, one, vec![reply], error),
                    }
                }
            }
            Err(error) => refuse(dispatch, writing, replies, error),
        }
    }
}

async fn write(dispatch: &Dispatch, rows: &[EmitRow]) -> Result<Vec<Emitted>, store::Error> {
    let store = &dispatch.0.core.store;
    super::write(dispatch, "emit", rows.len(), || store.emit_batch(rows)).await
}

/// Hands what was written to the schedule and answers the callers.
fn accept(
    dispatch: &Dispatch,
    writing: Writing<EmitRow>,
    emitted: Vec<Emitted>,
    replies: Vec<Reply>,
) {
    let rows = writing.written(emitted.iter().map(|emitted| *emitted == Emitted::New));
    for ((row, emitted), reply) in rows.iter().zip(emitted).zip(replies) {
        let answer = answer(dispatch, row, emitted);
        // The caller may have gone; the event stays.
        let _ = reply.send(answer);
    }
}

fn answer(dispatch: &Dispatch, row: &EmitRow, emitted: Emitted) -> Result<Accepted, Error> {
    let count = |result| {
        dispatch
            .0
            .core
            .metrics
            .emits
            .get_or_create(&ResultLabel { result })
            .inc()
    };
    match emitted {
        Emitted::New => {
            count("accepted");
            Ok(Accepted {
                event_id: row.event.id,
                deduplicated: false,
                delivery_count: row.event.delivery_count,
            })
        }
        Emitted::Existing {
            event_id,
            delivery_count,
        } => {
            count("deduplicated");
            Ok(Accepted {
                event_id,
                deduplicated: true,
                delivery_count,
            })
        }
        Emitted::Conflict { event_id } => {
            count("conflict");
            Err(Error::KeyReused(event_id.map(|id| id.to_string())))
        }
    }
}

/// Answers callers whose events were not written, or perhaps were.
fn refuse(
    dispatch: &Dispatch,
    writing: Writing<EmitRow>,
    replies: Vec<Reply>,
    error: store::Error,
) {
    drop(writing);
    let failed = dispatch
        .0
        .core
        .metrics
        .emits
        .get_or_create(&ResultLabel { result: "failed" })
        .clone();
    failed.inc_by(replies.len() as u64);
    let mut error = Some(Error::from(error));
    for reply in replies {
        let away = || Error::Unavailable("the database did not answer".to_owned());
        let _ = reply.send(Err(error.take().unwrap_or_else(away)));
    }
}
