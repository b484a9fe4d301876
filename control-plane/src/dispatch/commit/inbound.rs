//! Receiving: an inbound request, its events and their deliveries, durable in one group commit, then on to the schedule.
//!
//! Whoever forwarded the request hears of it after the commit. A request whose sender has gone by the time that its
//! commit begins is dropped unwritten: nobody was told that it is kept. Records of what was not accepted are written
//! beside that, a few at a time, and dropped when too many wait: they are for people, and no promise hangs on them.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{Arrival, Load, Pending, Writing, arrival, shutting_down};
use crate::{
    dispatch::Dispatch,
    error::Error,
    model::{id::InboundId, inbound::InboundRequest, source::Answer},
    outage,
    store::{self, InboundRow, KeptRow, Receipt},
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
    /// It is an event, or some of its items are.
    Accepted {
        /// How many endpoints and handlers that goes to.
        delivery_count: u32,
        /// The accepted request that one of its items is a conflict of.
        conflict: Option<InboundId>,
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

impl Received {
    /// What became of a request, by its rows: the events that are new count before what it repeats.
    fn of(rows: &[InboundRow], receipts: &[Receipt]) -> Self {
        let events = rows.iter().map(InboundRow::emit).zip(receipts);
        let new = events.filter(|(_, receipt)| **receipt == Receipt::New);
        let new = new.filter_map(|(emit, _)| Some(u32::from(emit?.event.delivery_count)));
        let counts = new.collect::<Vec<_>>();
        let repeated = receipts.iter().find_map(|receipt| match receipt {
            Receipt::New => None,
            Receipt::Duplicate(original) => Some(Self::Duplicate {
                original: original.posted_id,
                answer: original.answer.clone(),
            }),
            Receipt::Conflict(original) => Some(Self::Conflict {
                original: original.posted_id,
                answer: original.answer.clone(),
            }),
        });
        match repeated {
            Some(repeated) if counts.is_empty() => repeated,
            _ => Self::Accepted {
                delivery_count: counts.iter().sum(),
                conflict: receipts.iter().find_map(|receipt| match receipt {
                    Receipt::Conflict(original) => Some(original.posted_id),
                    Receipt::New | Receipt::Duplicate(_) => None,
                }),
            },
        }
    }
}

type Reply = oneshot::Sender<Result<Received, Error>>;

/// A request that waits for its commit.
#[derive(Debug)]
pub(super) struct PendingInbound {
    /// One row, or a batch's and those of its items.
    rows: Vec<InboundRow>,
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
    /// Takes a request over that verified, or a batch with its items. Returns when it is durable.
    ///
    /// # Errors
    /// `Exhausted` when too much waits, `Unavailable` when the database is away: then it may have been written, and its
    /// repeat finds out.
    pub(crate) async fn receive(&self, arrivals: Vec<Arrival>) -> Result<Received, Error> {
        let rows = self.rows(arrivals)?;
        let permit = Arc::clone(&self.0.queues.receiving).try_acquire_many_owned(weight_of(&rows));
        let permit = permit.map_err(|_| {
            Error::Exhausted("too many inbound requests wait to be written".to_owned())
        })?;
        let (reply, answer) = oneshot::channel();
        let pending = PendingInbound {
            rows,
            reply,
            _permit: permit,
        };
        let sent = self.0.queues.inbounds.send(pending).await;
        sent.map_err(|_| shutting_down())?;
        answer.await.unwrap_or_else(|_| Err(shutting_down()))
    }

    /// Keeps the record of a request that was not accepted, unless too many wait. False: it is dropped. Never waits, and
    /// promises nothing.
    pub(crate) fn keep(&self, request: InboundRequest, body: Bytes) -> bool {
        let permit = Arc::clone(&self.0.queues.keeping).try_acquire_many_owned(weight(&body));
        let Ok(permit) = permit else {
            return false;
        };
        let body = Some(body);
        let pending = PendingKeep {
            row: KeptRow { request, body },
            permit,
        };
        self.0.queues.keeps.try_send(pending).is_ok()
    }
}

/// What a body counts for in a queue.
fn weight(body: &Bytes) -> u32 {
    u32::try_from(1 + body.len() / 1_024).unwrap_or(u32::MAX)
}

/// What rows count for in the queue: each as one, and its body.
fn weight_of(rows: &[InboundRow]) -> u32 {
    let bytes = arrival::load(rows).bytes;
    u32::try_from(rows.len() + bytes / 1_024).unwrap_or(u32::MAX)
}

impl Pending for PendingInbound {
    fn load(&self) -> Load {
        arrival::load(&self.rows)
    }

    async fn commit(dispatch: &Dispatch, mut batch: Vec<Self>) {
        batch.retain(|pending| !pending.reply.is_closed());
        if batch.is_empty() {
            return;
        }
        let mut rows = Vec::with_capacity(batch.len());
        let mut replies = Vec::with_capacity(batch.len());
        for pending in batch {
            replies.push((pending.rows.len(), pending.reply));
            rows.extend(pending.rows);
        }
        let writing = dispatch.writing(rows);
        match write(dispatch, writing.rows()).await {
            Ok(receipts) => accept(writing, &receipts, replies),
            Err(error) if replies.len() > 1 && error.is_fault_of_a_row() => {
                // One row that the database refuses must not take the others with it, but those of its own request.
                tracing::warn!(error = ?error, requests = replies.len(), "an inbound batch was refused; writing its requests one by one");
                let singly = writing.split(replies.iter().map(|(count, _)| *count));
                for (one, reply) in singly.into_iter().zip(replies) {
                    match write(dispatch, one.rows()).await {
                        Ok(receipts) => accept(one, &receipts, vec![reply]),
                        Err(error) => refuse(one, vec![reply], error),
                    }
                }
            }
            Err(error) => refuse(writing, replies, error),
        }
    }
}

async fn write(dispatch: &Dispatch, rows: &[InboundRow]) -> Result<Vec<Receipt>, store::Error> {
    let store = &dispatch.0.core.store;
    let batch = || store.inbound_batch(rows);
    super::write(dispatch, "inbound", rows.len(), batch).await
}

/// Hands what was written to the schedule and answers those who wait: each with how many of the rows are its own.
fn accept(writing: Writing<InboundRow>, receipts: &[Receipt], replies: Vec<(usize, Reply)>) {
    let is_new = receipts.iter().map(|receipt| *receipt == Receipt::New);
    let rows = writing.written(is_new);
    let (mut rows, mut receipts) = (rows.as_slice(), receipts);
    for (count, reply) in replies {
        let received = Received::of(&rows[..count], &receipts[..count]);
        (rows, receipts) = (&rows[count..], &receipts[count..]);
        // The sender may have gone; the request stays, and its repeat is a duplicate.
        let _ = reply.send(Ok(received));
    }
}

/// Answers those whose requests were not written, or perhaps were.
fn refuse(writing: Writing<InboundRow>, replies: Vec<(usize, Reply)>, error: store::Error) {
    drop(writing);
    let mut error = Some(Error::from(error));
    for (_, reply) in replies {
        let away = || Error::Unavailable("the database did not answer".to_owned());
        let _ = reply.send(Err(error.take().unwrap_or_else(away)));
    }
}

/// Writes records of what was not accepted until `shutdown`, then those that wait.
pub(super) async fn run_keeping(
    mut queue: mpsc::Receiver<PendingKeep>,
    (dispatch, shutdown): (Dispatch, CancellationToken),
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
        if let Err(error) = dispatch.0.core.store.inbound_keep(&rows).await {
            outage::log(&error, "records of refused inbound requests were not kept");
        }
        drop(permits);
    }
}
