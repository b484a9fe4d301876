//! The stream that the control plane reads: asks the book for a message whenever one can be taken.
//!
//! Nothing is queued between the two: what cannot be sent yet gathers in the book.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use posthorn::node::v1::ForwardRequest;
use tokio_stream::Stream;

use super::{Forwarder, book::Next};
use crate::clock;

/// Messages to the control plane, until the book is closed or has another stream.
pub(super) struct Outgoing {
    pub(super) forwarder: Arc<Forwarder>,
    /// The number of the stream, as the book gave it.
    pub(super) stream: u64,
}

impl Stream for Outgoing {
    type Item = ForwardRequest;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut book = self.forwarder.book.lock();
        match book.next(self.stream, clock::now(), context.waker()) {
            Next::Message(message) => Poll::Ready(Some(message)),
            Next::Nothing => Poll::Pending,
            Next::End => Poll::Ready(None),
        }
    }
}
