//! A node's stream of requests: taken up, put together, judged side by side, answered in batches.
//!
//! What a stream holds is bounded by not reading on. Only bodies that are still incomplete could then fill it for ever; so
//! there are so many of them, each has its time, and when they alone are too much, the newest is answered 503. What all
//! streams hold is bounded by refusing what finds no room. At a shutdown nothing more is read, and what is complete is
//! answered before the stream ends.

use std::{collections::HashMap, pin::Pin};

use posthorn::node::v1;
use tokio::{
    sync::{mpsc, watch},
    task::{AbortHandle, JoinError, JoinSet},
    time::{Instant, sleep_until},
};
use tokio_stream::{Stream, StreamExt as _};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{
    Inbound, Posted,
    head::is_well_formed,
    incomplete::{Complete, Incomplete, detached},
    judge::Refused,
    reply,
    settings::edge_settings,
    streams::{Full, OpenStream},
};
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
/// How many requests of one stream can be incomplete. A node sends the first 256 KiB of a body at once, so more than these
/// would fill the stream.
const INCOMPLETE_MAX: usize = 256;
/// What a request counts for besides its head and its body, and what a header does besides its text, in bytes.
const REQUEST_BYTES: usize = 2 * 1_024;
const HEADER_BYTES: usize = 128;
/// The longest part of a body in one message, in bytes.
const PART_BYTES_MAX: usize = 256 * 1_024;
/// How many headers a request has at most.
const HEADERS_MAX: usize = 64;
/// The longest head, in bytes.
const HEAD_BYTES_MAX: usize = 24 * 1_024;
/// How many answers go into one message, and how long their bodies may be together, in bytes.
const ANSWERS_MAX: usize = 1_024;
const ANSWER_BYTES_MAX: usize = 1_024 * 1_024;
/// The answer to what there is no room for, and to what took too long to come.
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
    inbound: Inbound,
    to_node: mpsc::Sender<Result<v1::ForwardResponse, Status>>,
    /// What the stream holds.
    open: OpenStream,
    /// Requests whose bodies are not complete.
    incomplete: Incomplete,
    /// Requests that are judged.
    working: HashMap<u64, Working>,
    tasks: JoinSet<(u64, Answer)>,
    answers: Vec<v1::ForwardedAnswer>,
    last_number: u64,
}

struct Working {
    abort: AbortHandle,
    bytes: usize,
}

/// Takes what a node forwards until its stream ends or `shutdown`.
pub(crate) async fn forward(
    inbound: Inbound,
    parts: ForwardParts,
    shutdown: CancellationToken,
) -> Result<(), Status> {
    let open = inbound.0.streams.open(parts.key_id);
    inbound.0.core.metrics.opened("forward", &open);
    let mut changes = inbound.0.core.registry.source_changes();
    let mut forwarding = Forwarding {
        inbound: inbound.clone(),
        to_node: parts.to_node,
        open: open?,
        incomplete: Incomplete::within(inbound.0.body_timeout),
        working: HashMap::new(),
        tasks: JoinSet::new(),
        answers: Vec::new(),
        last_number: 0,
    };
    inbound.0.core.metrics.forwards.inc();
    let ended = tokio::select! {
        ended = forwarding.stand(parts.from_node, &mut changes, &shutdown) => ended,
        status = key_end(&inbound.0.dispatch, parts.key_id) => Err(status),
    };
    inbound.0.core.metrics.forwards.dec();
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
            let reads = ended.is_none() && self.open.bytes() < HELD_BYTES_MAX;
            let over = self.incomplete.next_over();
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
                Some(number) = until_over(over) => self.drop_incomplete(number, "forward_late"),
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
        let settings = edge_settings(
            &self.inbound.0.core.registry.snapshot(),
            self.inbound.0.body_timeout,
        );
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
        let now_ms = self.inbound.0.core.clock.now_ms();
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

    /// Takes up a request, whole or with the first part of its body. What comes of the body of one that is refused is
    /// dropped.
    fn begin(&mut self, mut head: v1::ForwardedRequest, now_ms: i64) -> Result<(), Status> {
        let head_bytes = check(&head)?;
        let number = head.number;
        if number <= self.last_number {
            return Err(Error::invalid("requests.number", "must rise").into());
        }
        self.last_number = number;
        if !is_well_formed(&head) {
            self.refuse(number, &MALFORMED, MALFORMED.reason);
            return Ok(());
        }
        let is_incomplete = head.more;
        if is_incomplete && self.incomplete.len() >= INCOMPLETE_MAX {
            self.refuse(number, &NO_ROOM, "forward_incomplete");
            return Ok(());
        }
        let bytes = head_bytes + head.body.len();
        if let Err(full) = self.open.take(bytes) {
            self.refuse(number, &NO_ROOM, full.reason());
            return Ok(());
        }
        let source = std::mem::take(&mut head.source_id);
        let body = detached(&std::mem::take(&mut head.body));
        let posted = Posted::forwarded(head, body, now_ms);
        let request = Complete {
            source,
            posted,
            bytes,
        };
        if is_incomplete {
            self.incomplete.begin(number, request, clock::monotonic());
        } else {
            self.work(number, request);
        }
        Ok(())
    }

    /// Adds to the body of a request. Parts of one that was abandoned or refused are dropped.
    fn add(&mut self, part: &v1::BodyPart) -> Result<(), Status> {
        if part.data.len() > PART_BYTES_MAX {
            return Err(Error::invalid("parts.data", "must be at most 256 KiB").into());
        }
        let Some(so_far) = self.incomplete.body_bytes(part.number) else {
            return Ok(());
        };
        if so_far + part.data.len() > BODY_BYTES_MAX as usize {
            return Err(Error::invalid("parts", "a body must be at most 25 MiB").into());
        }
        if let Err(full) = self.open.take(part.data.len()) {
            self.drop_incomplete(part.number, full.reason());
            return Ok(());
        }
        self.incomplete.add(part.number, &part.data);
        if !part.more
            && let Some(complete) = self.incomplete.finish(part.number, clock::monotonic())
        {
            self.work(part.number, complete);
        }
        Ok(())
    }

    /// Judges a request in a task of its own.
    fn work(&mut self, number: u64, request: Complete) {
        let Complete {
            source,
            posted,
            bytes,
        } = request;
        let inbound = self.inbound.clone();
        let abort = self
            .tasks
            .spawn(async move { (number, inbound.take(&source, posted).await) });
        self.working.insert(number, Working { abort, bytes });
    }

    /// Answers a request that is not taken up, and counts why.
    fn refuse(&mut self, number: u64, refused: &Refused, reason: &'static str) {
        self.inbound.count_refusal(reason);
        let answer = reply::refusal(refused);
        self.answers.push(reply::proto(number, answer));
    }

    /// Refuses a request whose body is not complete.
    fn drop_incomplete(&mut self, number: u64, reason: &'static str) {
        self.abandon(number);
        self.refuse(number, &NO_ROOM, reason);
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
            self.open.give(working.bytes);
            self.answers.push(reply::proto(number, answer));
        }
    }

    /// Nobody waits for this request any more.
    fn abandon(&mut self, number: u64) {
        if let Some(bytes) = self.incomplete.drop(number) {
            self.open.give(bytes);
        }
        if let Some(working) = self.working.remove(&number) {
            self.open.give(working.bytes);
            working.abort.abort();
        }
    }

    /// Refuses the newest incomplete requests while they alone hold more than the stream may.
    fn make_room(&mut self) {
        while self.open.bytes() >= HELD_BYTES_MAX && self.working.is_empty() {
            let Some(number) = self.incomplete.newest() else {
                return;
            };
            self.drop_incomplete(number, NO_ROOM.reason);
        }
    }
}

impl Full {
    fn reason(self) -> &'static str {
        match self {
            Self::Key => "forward_key_full",
            Self::All => "forward_full",
        }
    }
}

/// Waits until the time of a request is over. None: there is no request to wait for.
async fn until_over(next: Option<(u64, Instant)>) -> Option<u64> {
    let (number, at) = next?;
    sleep_until(at).await;
    Some(number)
}

/// Holds a request that begins to its limits. What its head is charged for.
fn check(head: &v1::ForwardedRequest) -> Result<usize, Status> {
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
    Ok(REQUEST_BYTES + head_bytes + HEADER_BYTES * head.headers.len())
}
