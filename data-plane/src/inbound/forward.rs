//! Forwards what came in at the edge to the control plane, and brings back the answers.
//!
//! * [`Forwarder`] is what the edge holds: settings, and a way to ask;
//! * `book` is which requests wait for what: pure state behind one lock;
//! * `outgoing` is the stream that the control plane reads, filled from the book as it reads;
//! * `stream` opens one stream after the other, for as long as the node lives;
//! * `settings` is what the control plane says about sources.
//!
//! Nothing is repeated here. When a stream breaks, everyone who waits on it is told so, and whether a request was kept is
//! known to the control plane alone.

mod book;
mod outgoing;
mod settings;
mod stream;

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use arc_swap::{ArcSwapOption, Guard};
use bytes::Bytes;
use posthorn::node::v1::{ForwardedAnswer, ForwardedRequest};
use tokio::{sync::oneshot, time::Instant};

use self::book::Book;
use crate::lock::{BOOK, Lock};

pub(crate) use self::{
    settings::{SOURCE_ID_BYTES, Settings, SourceId, SourceSettings},
    stream::{Forward, ForwardParts},
};

/// The longest first part of a body, in bytes: a shorter body goes in one piece.
pub(crate) const FIRST_BYTES_MAX: usize = 256 * 1024;
/// The longest further part of a body, in bytes. Short ones share a message with many requests.
pub(crate) const PART_BYTES_MAX: usize = 64 * 1024;

/// What is kept for as long as bytes are in the node's memory: room in a budget.
pub(crate) type Held = Box<dyn Send + Sync>;

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unanswered {
    /// There is no stream to the control plane.
    Away,
    /// The stream broke while the request waited.
    Lost,
}

/// The edge's side of the stream: any number of requests at one time.
#[derive(Default)]
pub(crate) struct Forwarder {
    book: Lock<Book, BOOK>,
    /// Nothing while there is no stream.
    settings: ArcSwapOption<Settings>,
}

impl Forwarder {
    /// How sources are treated. Nothing while there is no stream to the control plane.
    pub(crate) fn settings(&self) -> Guard<Option<Arc<Settings>>> {
        self.settings.load()
    }

    /// Puts a request in line, whole or with the first part of its body. `number` is filled in here, and `age_ms` when
    /// it leaves, from `head_at`.
    pub(crate) fn begin(
        self: &Arc<Self>,
        request: ForwardedRequest,
        held: Option<Held>,
        head_at: Instant,
    ) -> Result<Waiting, Unanswered> {
        let (answer, answered) = oneshot::channel();
        let number = self
            .change(|book| book.enter(request, held, head_at, answer))
            .ok_or(Unanswered::Away)?;
        Ok(Waiting {
            forwarder: self.clone(),
            number,
            answered: Some(answered),
        })
    }

    /// Changes the book, and wakes the stream.
    fn change<T>(&self, change: impl FnOnce(&mut Book) -> T) -> T {
        let mut book = self.book.lock();
        let result = change(&mut book);
        let waker = book.waker();
        drop(book);
        if let Some(waker) = waker {
            waker.wake();
        }
        result
    }
}

/// A request that waits for its answer: a future of it. Dropping it before tells the control plane that nobody waits.
pub(crate) struct Waiting {
    forwarder: Arc<Forwarder>,
    number: u64,
    /// Nothing once it has come.
    answered: Option<oneshot::Receiver<ForwardedAnswer>>,
}

impl Waiting {
    /// Gives the next part of the body, at most [`PART_BYTES_MAX`], when the one before has left. What is returned
    /// resolves when this one has, or when it never will.
    pub(crate) fn part(
        &self,
        data: Bytes,
        more: bool,
        held: Option<Held>,
    ) -> oneshot::Receiver<()> {
        let (left, leaves) = oneshot::channel();
        let number = self.number;
        self.forwarder
            .change(|book| book.add_part(number, data, more, held, left));
        leaves
    }
}

impl Future for Waiting {
    type Output = Result<ForwardedAnswer, Unanswered>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(answered) = &mut self.answered else {
            return Poll::Ready(Err(Unanswered::Lost));
        };
        let answer = std::task::ready!(Pin::new(answered).poll(context));
        self.answered = None;
        Poll::Ready(answer.map_err(|_| Unanswered::Lost))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.answered.is_some() {
            let number = self.number;
            self.forwarder.change(|book| book.abandon(number));
        }
    }
}
