//! Receiving: an inbound request, its event and its deliveries, durable in one group commit, then on to the scheduler.
//!
//! Whoever forwarded the request hears of it after the commit. A request whose sender has gone by the time that its
//! commit begins is dropped unwritten: nobody was told that it is kept. Records of what was not accepted are written
//! beside that, a few at a time, and dropped when too many wait: they are for people, and no promise hangs on them.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{
    Dispatch,
    commit::{self, Pending},
    emit,
};
use crate::{
    error::Error,
    model::{event::NewEvent, id::InboundId, inbound::InboundRequest, source::Answer},
    outage,
    store::{self, EmitRow, InboundRow, KeptRow, Original, Receipt},
};

/// How much may wait for its commit in all, in KiB: each request counts as one and its body.
pub(super) const QUEUE_KIB: usize = 96 * 1_024;
/// How many records of what was not accepted may wait.
pub(super) const KEEP_QUEUE_MAX: usize = 256;
/// How many of them one commit carries.
const KEEP_BATCH_MAX: usize = 32;
/// How long their bodies may be together, in KiB.
pub(super) const KEEP_QUEUE_KIB: usize = 32 * 1_024;

/// What became of a request that verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Received {
    /// It is an event.
    Accepted {
        /// How many endpoints and handlers it goes to.
        delivery_count: u16,
    },
    /// The same body had been accepted under the same claim.
    Duplicate {
        /// As which request.
        original: InboundId,
        /// What a consumer computed as its answer.
        answer: Option<Answer>,
    },
    /// Another body had been accepted under the same claim.
    Conflict {
        /// As which request.
        original: InboundId,
        /// What a consumer computed as its answer.
        answer: Option<Answer>,
    },
}

type Reply = oneshot::Sender<Result<Received, Error>>;

/// A request that waits for its commit.
#[derive(Debug)]
pub(super) struct PendingInbound {
    row: InboundRow,
    reply: Reply,
    _permit: OwnedSemaphorePermit,
}

/// A record that waits to be kept.
#[derive(Debug)]
pub(super) struct PendingKeep {
    row: KeptRow,
    permit: OwnedSemaphorePermit,
}

impl Dispatch {
    /// Takes a request over that verified: `request` is its record as it is when it is accepted, `headers` go out with its
    /// event. Returns when it is durable.
    ///
    /// # Errors
    /// `Exhausted` when too much waits, `Unavailable` when the database is away: then it may have been written, and its
    /// repeat finds out.
    pub(crate) async fn receive(
        &self,
        request: InboundRequest,
        body: Bytes,
        content_type: String,
        headers: Vec<(String, String)>,
        traceparent: Option<String>,
    ) -> Result<Received, Error> {
        let permit = Arc::clone(&self.0.receiving).try_acquire_many_owned(weight(&body));
        let permit = permit.map_err(|_| {
            Error::Exhausted("too many inbound requests wait to be written".to_owned())
        })?;
        let emit = self.emit_row(&request, body, content_type, headers, traceparent)?;
        let (reply, answer) = oneshot::channel();
        let pending = PendingInbound {
            row: InboundRow { request, emit },
            reply,
            _permit: permit,
        };
        let sent = self.0.inbounds.send(pending).await;
        sent.map_err(|_| shutting_down())?;
        answer.await.unwrap_or_else(|_| Err(shutting_down()))
    }

    /// Keeps the record of a request that was not accepted, unless too many wait. False: it is dropped. Never waits, and
    /// promises nothing.
    pub(crate) fn keep(&self, request: InboundRequest, body: Bytes) -> bool {
        let permit = Arc::clone(&self.0.keeping).try_acquire_many_owned(weight(&body));
        let Ok(permit) = permit else {
            return false;
        };
        let body = Some(body);
        let pending = PendingKeep {
            row: KeptRow { request, body },
            permit,
        };
        self.0.keeps.try_send(pending).is_ok()
    }

    /// The event that an accepted request is, with its deliveries.
    fn emit_row(
        &self,
        request: &InboundRequest,
        body: Bytes,
        content_type: String,
        headers: Vec<(String, String)>,
        traceparent: Option<String>,
    ) -> Result<EmitRow, Error> {
        let registry = self.0.registry.snapshot();
        let tenant = registry
            .tenant(request.tenant_id)
            .ok_or(Error::NotFound("tenant"))?;
        let event = NewEvent {
            event_type: request.event_type.clone(),
            payload: body,
            content_type,
            occurred_at: Some(request.received_at),
            idempotency_key: None,
            traceparent,
            source_id: Some(request.source_id),
            headers,
        };
        emit::row_of(tenant, request.id.event(), event)
    }
}

/// What a body counts for in a queue.
fn weight(body: &Bytes) -> u32 {
    u32::try_from(1 + body.len() / 1_024).unwrap_or(u32::MAX)
}

fn shutting_down() -> Error {
    Error::Unavailable("the control plane shuts down".to_owned())
}

impl Pending for PendingInbound {
    fn emit(&self) -> &EmitRow {
        &self.row.emit
    }

    async fn commit(dispatch: &Dispatch, mut batch: Vec<Self>) {
        batch.retain(|pending| !pending.reply.is_closed());
        if batch.is_empty() {
            return;
        }
        let (rows, replies): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .map(|pending| (pending.row, pending.reply))
            .unzip();
        dispatch.writing(rows.iter().map(|row| &row.emit));
        match write(dispatch, &rows).await {
            Ok(receipts) => accept(dispatch, &rows, receipts, replies),
            Err(error) if rows.len() > 1 && error.is_fault_of_a_row() => {
                // One row that the database refuses must not take the others with it.
                tracing::warn!(error = ?error, rows = rows.len(), "an inbound batch was refused; writing its rows one by one");
                for (row, reply) in rows.into_iter().zip(replies) {
                    let row = [row];
                    match write(dispatch, &row).await {
                        Ok(receipts) => accept(dispatch, &row, receipts, vec![reply]),
                        Err(error) => refuse(dispatch, &row, vec![reply], error),
                    }
                }
            }
            Err(error) => refuse(dispatch, &rows, replies, error),
        }
    }
}

async fn write(dispatch: &Dispatch, rows: &[InboundRow]) -> Result<Vec<Receipt>, store::Error> {
    let store = &dispatch.0.store;
    commit::write(dispatch, "inbound", rows.len(), || {
        store.inbound_batch(rows)
    })
    .await
}

/// Hands what was written to the scheduler and answers those who wait.
fn accept(dispatch: &Dispatch, rows: &[InboundRow], receipts: Vec<Receipt>, replies: Vec<Reply>) {
    let is_new = receipts.iter().map(|receipt| *receipt == Receipt::New);
    dispatch.schedule(rows.iter().map(|row| &row.emit).zip(is_new));
    for ((row, receipt), reply) in rows.iter().zip(receipts).zip(replies) {
        let received = match receipt {
            Receipt::New => Received::Accepted {
                delivery_count: row.emit.event.delivery_count,
            },
            Receipt::Duplicate(Original { id, answer }) => Received::Duplicate {
                original: id,
                answer,
            },
            Receipt::Conflict(Original { id, answer }) => Received::Conflict {
                original: id,
                answer,
            },
        };
        // The sender may have gone; the request stays, and its repeat is a duplicate.
        let _ = reply.send(Ok(received));
    }
}

/// Answers those whose requests were not written, or perhaps were.
fn refuse(dispatch: &Dispatch, rows: &[InboundRow], replies: Vec<Reply>, error: store::Error) {
    dispatch.doubt(rows.iter().map(|row| &row.emit));
    let mut error = Some(Error::from(error));
    for reply in replies {
        let away = || Error::Unavailable("the database did not answer".to_owned());
        let _ = reply.send(Err(error.take().unwrap_or_else(away)));
    }
}

/// Writes records of what was not accepted until `shutdown`, then those that wait.
pub(super) async fn run_keeping(
    dispatch: Dispatch,
    mut queue: mpsc::Receiver<PendingKeep>,
    shutdown: CancellationToken,
) {
    let mut waiting = Vec::new();
    loop {
        tokio::select! {
            biased;
            received = queue.recv_many(&mut waiting, KEEP_BATCH_MAX) => {
                if received == 0 {
                    return;
                }
            }
            () = shutdown.cancelled(), if !queue.is_closed() => {
                queue.close();
                continue;
            }
        }
        let (rows, permits): (Vec<_>, Vec<_>) = waiting
            .drain(..)
            .map(|PendingKeep { row, permit }| (row, permit))
            .unzip();
        if let Err(error) = dispatch.0.store.inbound_keep(&rows).await {
            outage::log(&error, "records of refused inbound requests were not kept");
        }
        drop(permits);
    }
}
