//! A node's stream of requests: taken up, put together, judged side by side, answered in batches.
//!
//! What a stream holds is bounded by not reading on. Only bodies that are still incomplete could then fill it for ever; so
//! when those alone are too much, the newest of them is answered 503. At a shutdown nothing more is read, and what is
//! complete is answered before the stream ends.

use std::{collections::HashMap, pin::Pin};

use bytes::{Bytes, BytesMut};
use posthorn::v1;
use tokio::{
    sync::{mpsc, watch},
    task::{AbortHandle, JoinError, JoinSet},
};
use tokio_stream::{Stream, StreamExt as _};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{Ingest, Posted, head::is_well_formed, judge::Refused, reply, settings::edge_settings};
use crate::{
    clock,
    dispatch::stream::{key_end, shutting_down},
    error::Error,
    model::{
        id::KeyId,
        source::{Answer, BODY_BYTES_MAX},
    },
};

/// How much one stream holds, in bytes.
const HELD_BYTES_MAX: usize = 64 * 1_024 * 1_024;
/// What a request counts for besides its body, in bytes: its head is at most 24 KiB, and most are far shorter.
const OVERHEAD_BYTES: usize = 4 * 1_024;
/// The longest part of a body in one message, in bytes.
const PART_BYTES_MAX: usize = 256 * 1_024;
/// How many headers a request has at most.
const HEADERS_MAX: usize = 64;
/// The longest head, in bytes.
const HEAD_BYTES_MAX: usize = 24 * 1_024;
/// How many answers go into one message, and how long their bodies may be together, in bytes.
const ANSWERS_MAX: usize = 1_024;
const ANSWER_BYTES_MAX: usize = 1_024 * 1_024;
/// The answer to what a stream has no room for.
const NO_ROOM: Refused = Refused::counted(503, "overload");
/// The answer to what no edge should have forwarded.
const MALFORMED: Refused = Refused::counted(400, "malformed_head");
/// The answer to what could not be judged for a fault of ours.
const FAILED: Refused = Refused::counted(503, "unavailable");

/// What a node sends.
pub(crate) type FromNodeStream =
    Pin<Box<dyn Stream<Item = Result<v1::ForwardRequest, Status>> + Send>>;

/// The two ends of a node's stream.
pub(crate) struct ForwardParts {
    /// What the node sends.
    pub from_node: FromNodeStream,
    /// What it is told.
    pub to_node: mpsc::Sender<Result<v1::ForwardResponse, Status>>,
    /// The key that it came with.
    pub key_id: KeyId,
}

/// A stream that stands.
struct Forwarding {
    ingest: Ingest,
    to_node: mpsc::Sender<Result<v1::ForwardResponse, Status>>,
    /// Requests whose bodies are not complete.
    partial: HashMap<u64, Partial>,
    /// Requests that are judged.
    working: HashMap<u64, Working>,
    tasks: JoinSet<(u64, Answer)>,
    answers: Vec<v1::ForwardedAnswer>,
    held_bytes: usize,
    last_number: u64,
}

struct Partial {
    head: v1::ForwardedRequest,
    body: BytesMut,
    began_at: i64,
}

struct Working {
    abort: AbortHandle,
    bytes: usize,
}

/// Takes what a node forwards until its stream ends or `shutdown`.
pub(crate) async fn forward(
    ingest: Ingest,
    parts: ForwardParts,
    shutdown: CancellationToken,
) -> Result<(), Status> {
    let _open = ingest.0.streams.open(parts.key_id)?;
    let mut changes = ingest.0.registry.source_changes();
    let mut forwarding = Forwarding {
        ingest: ingest.clone(),
        to_node: parts.to_node,
        partial: HashMap::new(),
        working: HashMap::new(),
        tasks: JoinSet::new(),
        answers: Vec::new(),
        held_bytes: 0,
        last_number: 0,
    };
    ingest.0.metrics.forwards.inc();
    let ended = tokio::select! {
        ended = forwarding.stand(parts.from_node, &mut changes, &shutdown) => ended,
        status = key_end(&ingest.0.dispatch, parts.key_id) => Err(status),
    };
    ingest.0.metrics.forwards.dec();
    ended
}

impl Forwarding {
    async fn stand(
        &mut self,
        mut from_node: FromNodeStream,
        changes: &mut watch::Receiver<u64>,
        shutdown: &CancellationToken,
    ) -> Result<(), Status> {
        self.send_settings(changes).await?;
        let mut ended = None;
        loop {
            self.send_answers().await?;
            if ended.is_some() && self.working.is_empty() {
                return ended.unwrap_or(Ok(()));
            }
            self.make_room();
            let reads = ended.is_none() && self.held_bytes < HELD_BYTES_MAX;
            tokio::select! {
                biased;
                Some(done) = self.tasks.join_next() => {
                    self.done(done);
                    // Whatever else is done goes into the same message.
                    while let Some(done) = self.tasks.try_join_next() {
                        self.done(done);
                    }
                }
                () = shutdown.cancelled(), if ended.is_none() => ended = Some(Err(shutting_down())),
                other = changes.changed() => {
                    other.map_err(|_| shutting_down())?;
                    self.send_settings(changes).await?;
                }
                message = from_node.next(), if reads => match message {
                    Some(message) => self.take(message?)?,
                    None => ended = Some(Ok(())),
                },
            }
        }
    }

    async fn send(&self, response: v1::ForwardResponse) -> Result<(), Status> {
        let gone = |_| Status::cancelled("the node is gone");
        self.to_node.send(Ok(response)).await.map_err(gone)
    }

    async fn send_settings(&self, changes: &mut watch::Receiver<u64>) -> Result<(), Status> {
        changes.mark_unchanged();
        let settings = edge_settings(&self.ingest.0.registry.snapshot());
        self.send(v1::ForwardResponse {
            answers: Vec::new(),
            settings: Some(settings),
        })
        .await
    }

    /// Sends the answers that are ready.
    async fn send_answers(&mut self) -> Result<(), Status> {
        while !self.answers.is_empty() {
            let mut bytes = 0;
            let fitting = self.answers.iter().take(ANSWERS_MAX).take_while(|answer| {
                bytes += answer.body.len();
                bytes <= ANSWER_BYTES_MAX
            });
            let count = fitting.count().max(1);
            let rest = self.answers.split_off(count);
            let answers = std::mem::replace(&mut self.answers, rest);
            self.send(v1::ForwardResponse {
                answers,
                settings: None,
            })
            .await?;
        }
        Ok(())
    }

    fn take(&mut self, message: v1::ForwardRequest) -> Result<(), Status> {
        let now_ms = clock::now_ms();
        for request in message.requests {
            self.begin(request, now_ms)?;
        }
        for part in message.parts {
            self.add(&part)?;
        }
        // Last: what a message begins, it can give up too.
        for number in message.abandoned {
            self.abandon(number);
        }
        Ok(())
    }

    /// Takes up a request, whole or with the first part of its body.
    fn begin(&mut self, mut head: v1::ForwardedRequest, now_ms: i64) -> Result<(), Status> {
        check(&head)?;
        if head.number <= self.last_number {
            return Err(Error::invalid("requests.number", "must rise").into());
        }
        self.last_number = head.number;
        if !is_well_formed(&head) {
            // What else comes of its body is dropped.
            self.ingest.count_refusal(MALFORMED.reason);
            let answer = reply::refusal(&MALFORMED);
            self.answers.push(reply::proto(head.number, answer));
            return Ok(());
        }
        let body = std::mem::take(&mut head.body);
        self.held_bytes += OVERHEAD_BYTES + body.len();
        if head.more {
            let partial = Partial {
                body: BytesMut::from(body.as_ref()),
                began_at: now_ms,
                head,
            };
            self.partial.insert(partial.head.number, partial);
        } else {
            self.work(head, body, now_ms);
        }
        Ok(())
    }

    /// Adds to the body of a request. Parts of one that was abandoned or refused are dropped.
    fn add(&mut self, part: &v1::BodyPart) -> Result<(), Status> {
        if part.data.len() > PART_BYTES_MAX {
            return Err(Error::invalid("parts.data", "must be at most 256 KiB").into());
        }
        let Some(partial) = self.partial.get_mut(&part.number) else {
            return Ok(());
        };
        if partial.body.len() + part.data.len() > BODY_BYTES_MAX as usize {
            return Err(Error::invalid("parts", "a body must be at most 25 MiB").into());
        }
        partial.body.extend_from_slice(&part.data);
        self.held_bytes += part.data.len();
        if !part.more
            && let Some(partial) = self.partial.remove(&part.number)
        {
            self.work(partial.head, partial.body.freeze(), partial.began_at);
        }
        Ok(())
    }

    /// Judges a request in a task of its own.
    fn work(&mut self, mut head: v1::ForwardedRequest, body: Bytes, began_at: i64) {
        let number = head.number;
        let bytes = OVERHEAD_BYTES + body.len();
        let source_id = std::mem::take(&mut head.source_id);
        let posted = Posted::forwarded(head, body, began_at);
        let ingest = self.ingest.clone();
        let abort = self
            .tasks
            .spawn(async move { (number, ingest.take(&source_id, posted).await) });
        self.working.insert(number, Working { abort, bytes });
    }

    /// Notes what came of a request. One that was abandoned meanwhile is not answered.
    fn done(&mut self, done: Result<(u64, Answer), JoinError>) {
        let (number, answer) = match done {
            Ok(done) => done,
            Err(error) => {
                let mut working = self.working.iter();
                let failed = working.find(|(_, working)| working.abort.id() == error.id());
                let Some((number, _)) = failed else {
                    return;
                };
                tracing::error!(%error, "the judgement of a request failed");
                (*number, reply::refusal(&FAILED))
            }
        };
        if let Some(working) = self.working.remove(&number) {
            self.held_bytes -= working.bytes;
            self.answers.push(reply::proto(number, answer));
        }
    }

    /// Nobody waits for this request any more.
    fn abandon(&mut self, number: u64) {
        if let Some(partial) = self.partial.remove(&number) {
            self.held_bytes -= OVERHEAD_BYTES + partial.body.len();
        }
        if let Some(working) = self.working.remove(&number) {
            self.held_bytes -= working.bytes;
            working.abort.abort();
        }
    }

    /// Refuses the newest incomplete requests while they alone hold more than the stream may.
    fn make_room(&mut self) {
        while self.held_bytes >= HELD_BYTES_MAX && self.working.is_empty() {
            let Some(number) = self.partial.keys().max().copied() else {
                return;
            };
            self.abandon(number);
            self.ingest.count_refusal(NO_ROOM.reason);
            let answer = reply::refusal(&NO_ROOM);
            self.answers.push(reply::proto(number, answer));
        }
    }
}

/// The limits of a request that begins.
fn check(head: &v1::ForwardedRequest) -> Result<(), Status> {
    let fields = head.headers.iter();
    let head_bytes = fields.map(|field| field.name.len() + field.value.len());
    let head_bytes = head_bytes.sum::<usize>() + head.path_query.len() + head.method.len();
    let limits = [
        ("requests.headers", head.headers.len(), HEADERS_MAX),
        ("requests", head_bytes, HEAD_BYTES_MAX),
        ("requests.body", head.body.len(), PART_BYTES_MAX),
    ];
    for (field, len, max) in limits {
        if len > max {
            return Err(Error::invalid(field, format!("must be at most {max}")).into());
        }
    }
    Ok(())
}
