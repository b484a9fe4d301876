//! Emitting: an event and its deliveries, durable in one group commit, then on to the scheduler.
//!
//! The batch is whatever queued while the last commit ran; there is no timer at low load. A caller is answered after the
//! commit. When a commit's result is unknown it is repeated as it is for a few seconds; if the database stays away, the
//! callers hear UNAVAILABLE and the lanes are told that the table may hold more than they know.

use std::{collections::HashSet, sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{Dispatch, Entry};
use crate::{
    clock,
    error::Error,
    metrics::Word,
    model::{
        endpoint::LiveEndpoint,
        event::{Event, NewEvent},
        event_type::EventTypeName,
        id::{DELIVERIES_PER_EVENT_MAX, DeliveryId, EndpointId, EventId, TenantId},
    },
    registry::TenantEntry,
    store::{self, EmitKey, EmitRow, Emitted},
};

/// How many events one commit carries.
const BATCH_EVENTS_MAX: usize = 512;
/// How many deliveries one commit carries, unless a single event has more.
const BATCH_DELIVERIES_MAX: usize = 4_096;
/// How many bytes of payloads one commit carries, unless a single event has more.
const BATCH_BYTES_MAX: usize = 8 * 1_024 * 1_024;
/// How much of one tenant may wait for its commit, in KiB: each event counts as one and its payload.
const TENANT_QUEUE_KIB: usize = 32 * 1_024;
/// For how long a commit is repeated while the database does not answer.
const REPEAT_FOR: Duration = Duration::from_secs(3);
/// How long a repeat waits.
const REPEAT_PAUSE: Duration = Duration::from_millis(100);
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
    reply: oneshot::Sender<Result<Accepted, Error>>,
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
    /// The longest payload, in bytes.
    pub(crate) fn payload_bytes_max(&self) -> usize {
        self.0.payload_bytes_max
    }

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
                    .metrics
                    .emits
                    .get_or_create(&Word { result: "shed" })
                    .inc();
                Error::Exhausted(
                    "too many emits of this tenant wait: slow down, or emit over a stream"
                        .to_owned(),
                )
            })?;
        self.submit(row(tenant, event, now_ms)?, permit)
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
        let row = row(tenant, event, now_ms)?;
        self.submit(row, permit.map_err(|_| shutting_down())?).await
    }

    /// Emits a test event to one endpoint.
    pub(crate) async fn emit_test(
        &self,
        endpoint: &LiveEndpoint,
        now_ms: i64,
    ) -> Result<(EventId, DeliveryId), Error> {
        let tenant_id = endpoint.endpoint.tenant_id;
        let event_type =
            EventTypeName::parse(TEST_EVENT_TYPE).map_err(|error| Error::Internal(error.into()))?;
        let payload = serde_json::json!({
            "type": TEST_EVENT_TYPE,
            "endpoint_id": endpoint.endpoint.id.to_string(),
        });
        let event = NewEvent {
            event_type,
            payload: payload.to_string().into(),
            content_type: crate::model::event::JSON.to_owned(),
            occurred_at: None,
            idempotency_key: None,
            traceparent: None,
        };
        let permit = self
            .queue_of(tenant_id)
            .acquire_owned()
            .await
            .map_err(|_| shutting_down())?;
        let row = row_to(tenant_id, vec![endpoint.endpoint.id], event, now_ms);
        let accepted = self.submit(row, permit).await?.accepted().await?;
        Ok((accepted.event_id, accepted.event_id.delivery(1)))
    }

    async fn submit(&self, row: EmitRow, permit: OwnedSemaphorePermit) -> Result<Emitting, Error> {
        let (reply, answer) = oneshot::channel();
        let pending = PendingEmit {
            row,
            reply,
            _permit: permit,
        };
        self.0
            .emits
            .send(pending)
            .await
            .map_err(|_| shutting_down())?;
        Ok(Emitting(answer))
    }

    fn queue_of(&self, tenant_id: TenantId) -> Arc<Semaphore> {
        let mut queued = self
            .0
            .queued
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
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

fn shutting_down() -> Error {
    Error::Unavailable("the control plane shuts down".to_owned())
}

fn row(tenant: &TenantEntry, event: NewEvent, now_ms: i64) -> Result<EmitRow, Error> {
    if !tenant.accepts(&event.event_type) {
        return Err(Error::invalid(
            "event_type",
            "is not declared: see EventTypeService.ListEventTypes, or declare it with CreateEventType",
        ));
    }
    let endpoints = tenant.subscribers(&event.event_type);
    if endpoints.len() > usize::from(DELIVERIES_PER_EVENT_MAX) {
        return Err(Error::FailedPrecondition(format!(
            "{} endpoints are subscribed to this event type: at most {DELIVERIES_PER_EVENT_MAX} can be",
            endpoints.len()
        )));
    }
    Ok(row_to(tenant.tenant.id, endpoints, event, now_ms))
}

fn row_to(
    tenant_id: TenantId,
    endpoints: Vec<EndpointId>,
    event: NewEvent,
    now_ms: i64,
) -> EmitRow {
    let key = event.idempotency_key.clone().map(|key| EmitKey {
        key,
        content_hash: event.content_hash(),
    });
    let event = Event {
        id: EventId::new(now_ms, tenant_id.shard(), &mut crate::clock::rng()),
        tenant_id,
        event_type: event.event_type,
        payload: event.payload,
        content_type: event.content_type,
        occurred_at: event.occurred_at.unwrap_or(now_ms),
        delivery_count: u16::try_from(endpoints.len()).unwrap_or(DELIVERIES_PER_EVENT_MAX),
        traceparent: event.traceparent,
    };
    EmitRow {
        event: Arc::new(event),
        endpoints,
        key,
    }
}

/// Commits what queues until `shutdown`, then what is queued.
pub(super) async fn run(
    dispatch: Dispatch,
    mut queue: mpsc::Receiver<PendingEmit>,
    shutdown: CancellationToken,
) {
    let mut waiting = Vec::new();
    loop {
        if waiting.is_empty() {
            tokio::select! {
                biased;
                received = queue.recv_many(&mut waiting, BATCH_EVENTS_MAX) => {
                    if received == 0 {
                        return;
                    }
                }
                () = shutdown.cancelled(), if !queue.is_closed() => queue.close(),
            }
        }
        let rest = waiting.split_off(batch_len(&waiting));
        let batch = std::mem::replace(&mut waiting, rest);
        if !batch.is_empty() {
            commit(&dispatch, batch).await;
        }
    }
}

/// How many of the emits that wait go into the next commit.
fn batch_len(waiting: &[PendingEmit]) -> usize {
    let (mut deliveries, mut bytes) = (0, 0);
    let fitting = waiting.iter().take_while(|pending| {
        deliveries += pending.row.endpoints.len();
        bytes += pending.row.event.payload.len();
        deliveries <= BATCH_DELIVERIES_MAX && bytes <= BATCH_BYTES_MAX
    });
    fitting.count().max(1).min(waiting.len())
}

async fn commit(dispatch: &Dispatch, batch: Vec<PendingEmit>) {
    let (rows, replies): (Vec<_>, Vec<_>) = batch
        .into_iter()
        .map(|pending| (pending.row, pending.reply))
        .unzip();
    dispatch.scheduler().writing(ids(&rows));
    match write(dispatch, &rows).await {
        Ok(emitted) => accept(dispatch, &rows, emitted, replies),
        Err(error) if rows.len() > 1 && error.is_fault_of_a_row() => {
            // One row that the database refuses must not take the others with it.
            tracing::warn!(error = ?error, rows = rows.len(), "an emit batch was refused; writing its rows one by one");
            for (row, reply) in rows.into_iter().zip(replies) {
                let row = [row];
                match write(dispatch, &row).await {
                    Ok(emitted) => accept(dispatch, &row, emitted, vec![reply]),
                    Err(error) => refuse(dispatch, &row, vec![reply], error),
                }
            }
        }
        Err(error) => refuse(dispatch, &rows, replies, error),
    }
}

fn ids(rows: &[EmitRow]) -> impl Iterator<Item = EventId> {
    rows.iter().map(|row| row.event.id)
}

/// Writes a batch, repeating it for a while when the database does not answer.
async fn write(dispatch: &Dispatch, rows: &[EmitRow]) -> Result<Vec<Emitted>, store::Error> {
    let began = clock::monotonic();
    loop {
        let written = dispatch.0.store.emit_batch(rows).await;
        let elapsed = clock::monotonic().duration_since(began);
        match written {
            Err(store::Error::Unavailable(cause)) if elapsed < REPEAT_FOR => {
                tracing::warn!(error = %cause, rows = rows.len(), "an emit commit failed; repeating it");
                tokio::time::sleep(REPEAT_PAUSE).await;
            }
            Ok(emitted) => {
                dispatch.0.metrics.committed("emit", elapsed, rows.len());
                return Ok(emitted);
            }
            Err(error) => return Err(error),
        }
    }
}

/// Hands what was written to the scheduler and answers the callers.
fn accept(
    dispatch: &Dispatch,
    rows: &[EmitRow],
    emitted: Vec<Emitted>,
    replies: Vec<oneshot::Sender<Result<Accepted, Error>>>,
) {
    let now_ms = clock::now_ms();
    {
        let mut scheduler = dispatch.scheduler();
        scheduler.written(ids(rows));
        let new = rows
            .iter()
            .zip(&emitted)
            .filter(|(_, emitted)| **emitted == Emitted::New);
        for (row, _) in new.filter(|(row, _)| !row.endpoints.is_empty()) {
            let held = dispatch.0.budget.hold(&row.event);
            for (delivery_id, endpoint_id) in row.deliveries() {
                let key = (row.event.id.created_at(), delivery_id);
                scheduler.admit(endpoint_id, key, Entry::fresh(held.clone()), now_ms);
            }
        }
    }
    dispatch.wake();
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
            .metrics
            .emits
            .get_or_create(&Word { result })
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
        Emitted::Conflict => {
            count("conflict");
            Err(Error::AlreadyExists(
                "IDEMPOTENCY_KEY_REUSED: the idempotency_key was used with other content"
                    .to_owned(),
            ))
        }
    }
}

/// Answers callers whose events were not written, or perhaps were.
fn refuse(
    dispatch: &Dispatch,
    rows: &[EmitRow],
    replies: Vec<oneshot::Sender<Result<Accepted, Error>>>,
    error: store::Error,
) {
    let now_ms = clock::now_ms();
    let endpoints = rows
        .iter()
        .flat_map(|row| {
            row.endpoints
                .iter()
                .map(|endpoint_id| (row.event.id.shard(), *endpoint_id))
        })
        .collect::<HashSet<_>>();
    {
        let mut scheduler = dispatch.scheduler();
        scheduler.written(ids(rows));
        for (shard, endpoint_id) in endpoints {
            scheduler.suspect(shard, endpoint_id, now_ms);
        }
    }
    dispatch.wake();
    let failed = dispatch
        .0
        .metrics
        .emits
        .get_or_create(&Word { result: "failed" })
        .clone();
    failed.inc_by(replies.len() as u64);
    let mut error = Some(Error::from(error));
    for reply in replies {
        let away = || Error::Unavailable("the database did not answer".to_owned());
        let _ = reply.send(Err(error.take().unwrap_or_else(away)));
    }
}
