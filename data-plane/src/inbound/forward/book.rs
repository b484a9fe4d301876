//! Which requests wait to leave, which for an answer, and whose body goes on. Pure: no waiting and no I/O.
//!
//! A message is what there is when the stream can take one, up to its limit: there is no timer. Requests and further
//! parts of long bodies take turns by bytes, so that neither holds up the other, and the parts of several bodies take
//! turns too. At most one part of a body waits here.

use std::{
    collections::{HashMap, VecDeque},
    task::Waker,
};

use bytes::Bytes;
use posthorn::node::v1::{BodyPart, ForwardRequest, ForwardedAnswer, ForwardedRequest};
use tokio::{sync::oneshot, time::Instant};

use super::Held;

/// A message is full at so many bytes of bodies; the last item may exceed it.
const MESSAGE_BYTES: usize = 256 * 1024;
/// A message is full with so many requests, and with so many elements: requests, their headers, and parts. The control
/// plane takes at most 4,096 elements and 1 MiB.
const MESSAGE_REQUESTS: usize = 512;
const MESSAGE_ELEMENTS: usize = 3_072;
/// How many requests a message says are abandoned.
const MESSAGE_ABANDONED: usize = 512;
/// What a request's head counts for besides its path and its headers, in bytes.
const HEAD_BYTES: usize = 512;

/// The requests of one stream. Before the first stream and after each, it takes none.
#[derive(Default)]
pub(super) struct Book {
    open: bool,
    /// The number of the stream that is open or was the last.
    stream: u64,
    /// The last number given. Rises across streams.
    number: u64,
    entries: HashMap<u64, Entry>,
    /// Requests that have not left. Those that nobody waits for any more have no entry.
    fresh: VecDeque<u64>,
    /// Requests that a part waits for to leave. The same holds.
    parts: VecDeque<u64>,
    abandoned: Vec<u64>,
    waker: Option<Waker>,
}

struct Entry {
    answer: oneshot::Sender<ForwardedAnswer>,
    /// Until it has left.
    request: Option<Fresh>,
    part: Option<Part>,
}

struct Fresh {
    request: ForwardedRequest,
    head_at: Instant,
    _held: Option<Held>,
}

struct Part {
    data: Bytes,
    more: bool,
    _held: Option<Held>,
    left: oneshot::Sender<()>,
}

/// What the stream is to do next.
pub(super) enum Next {
    /// Send this.
    Message(ForwardRequest),
    /// Wait to be woken.
    Nothing,
    /// End.
    End,
}

impl Book {
    /// A stream begins: its number.
    pub(super) fn open(&mut self) -> u64 {
        self.open = true;
        self.stream += 1;
        self.stream
    }

    /// The stream has ended: everyone who waits learns it, and nobody new may wait.
    pub(super) fn close(&mut self) {
        self.open = false;
        self.entries.clear();
        self.fresh.clear();
        self.parts.clear();
        self.abandoned.clear();
    }

    /// The waker of the stream, if it waits.
    pub(super) fn waker(&mut self) -> Option<Waker> {
        self.waker.take()
    }

    /// Puts a request in line and numbers it. `None` without a stream.
    pub(super) fn enter(
        &mut self,
        mut request: ForwardedRequest,
        held: Option<Held>,
        head_at: Instant,
        answer: oneshot::Sender<ForwardedAnswer>,
    ) -> Option<u64> {
        if !self.open {
            return None;
        }
        self.number += 1;
        request.number = self.number;
        let entry = Entry {
            answer,
            request: Some(Fresh {
                request,
                head_at,
                _held: held,
            }),
            part: None,
        };
        self.entries.insert(self.number, entry);
        self.fresh.push_back(self.number);
        Some(self.number)
    }

    /// Puts a part of a request's body in line. One that nobody asked for any more is dropped.
    pub(super) fn add_part(
        &mut self,
        number: u64,
        data: Bytes,
        more: bool,
        held: Option<Held>,
        left: oneshot::Sender<()>,
    ) {
        let Some(entry) = self.entries.get_mut(&number) else {
            return;
        };
        debug_assert!(entry.part.is_none(), "the part before has left");
        entry.part = Some(Part {
            data,
            more,
            _held: held,
            left,
        });
        if entry.request.is_none() {
            self.parts.push_back(number);
        }
    }

    /// Nobody waits for the request any more. The control plane is told if it has seen it.
    pub(super) fn abandon(&mut self, number: u64) {
        let entry = self.entries.remove(&number);
        if entry.is_some_and(|entry| entry.request.is_none()) {
            self.abandoned.push(number);
        }
    }

    /// An answer came: who waits for it. Nobody may wait any more.
    pub(super) fn answered(&mut self, number: u64) -> Option<oneshot::Sender<ForwardedAnswer>> {
        let entry = self.entries.remove(&number)?;
        Some(entry.answer)
    }

    /// What a stream is to do now: end, if it is not the one that is open. `waker` is woken when there may be something
    /// else to do.
    pub(super) fn next(&mut self, stream: u64, now: Instant, waker: &Waker) -> Next {
        if !self.open || stream != self.stream {
            return Next::End;
        }
        let message = self.message(now);
        if message == ForwardRequest::default() {
            self.waker = Some(waker.clone());
            return Next::Nothing;
        }
        Next::Message(message)
    }

    fn message(&mut self, now: Instant) -> ForwardRequest {
        let abandoned = self.abandoned.len().min(MESSAGE_ABANDONED);
        let mut message = ForwardRequest {
            abandoned: self.abandoned.drain(..abandoned).collect(),
            ..ForwardRequest::default()
        };
        let (mut of_requests, mut of_parts, mut elements) = (0, 0, 0);
        while of_requests + of_parts < MESSAGE_BYTES
            && elements < MESSAGE_ELEMENTS
            && message.requests.len() < MESSAGE_REQUESTS
        {
            elements += 1;
            let parts_turn = of_parts <= of_requests || self.fresh.is_empty();
            if parts_turn && let Some(part) = self.next_part() {
                of_parts += part.data.len().max(1);
                message.parts.push(part);
            } else if let Some(request) = self.next_fresh(now) {
                of_requests += head_bytes(&request) + request.body.len();
                elements += request.headers.len();
                message.requests.push(request);
            } else if self.parts.is_empty() {
                break;
            }
        }
        message
    }

    fn next_part(&mut self) -> Option<BodyPart> {
        while let Some(number) = self.parts.pop_front() {
            let entry = self.entries.get_mut(&number);
            if let Some(part) = entry.and_then(|entry| entry.part.take()) {
                // Who reads the body may have gone in this moment.
                let _gone = part.left.send(());
                return Some(BodyPart {
                    number,
                    data: part.data,
                    more: part.more,
                });
            }
        }
        None
    }

    fn next_fresh(&mut self, now: Instant) -> Option<ForwardedRequest> {
        while let Some(number) = self.fresh.pop_front() {
            let Some(entry) = self.entries.get_mut(&number) else {
                continue;
            };
            let Some(fresh) = entry.request.take() else {
                continue;
            };
            if entry.part.is_some() {
                self.parts.push_back(number);
            }
            let age = now.saturating_duration_since(fresh.head_at);
            let mut request = fresh.request;
            request.age_ms = u32::try_from(age.as_millis()).unwrap_or(u32::MAX);
            return Some(request);
        }
        None
    }
}

fn head_bytes(request: &ForwardedRequest) -> usize {
    let headers = request.headers.iter();
    let headers = headers.map(|field| field.name.len() + field.value.len());
    HEAD_BYTES + request.path_query.len() + headers.sum::<usize>()
}

#[cfg(test)]
mod tests;
