//! The bytes under an HTTP/1.1 connection, with a limit on informational responses.
//!
//! hyper skips 1xx answers and waits for the final one, so an endpoint could keep it reading for as long as the attempt
//! may take. hyper tells of each; when there were too many, the next read fails.

use std::{
    io,
    pin::Pin,
    sync::atomic::{AtomicUsize, Ordering},
    task::{Context, Poll},
};

use hyper::rt::{Read, ReadBufCursor, Write};
use std::sync::Arc;

/// How many informational responses one request may get.
pub(super) const INFORMATIONAL_MAX: usize = 8;

/// An endpoint sent more informational responses than are taken.
#[derive(Debug, thiserror::Error)]
#[error("too many informational responses")]
pub(crate) struct TooManyInformational;

/// Counts the informational responses to one request.
#[derive(Debug, Default)]
pub(crate) struct Informational(AtomicUsize);

impl Informational {
    /// A new request: none so far.
    pub(crate) fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// One more.
    pub(crate) fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether there were more than are taken.
    pub(crate) fn is_too_many(&self) -> bool {
        self.0.load(Ordering::Relaxed) > INFORMATIONAL_MAX
    }
}

/// A stream that fails to be read after too many informational responses.
#[derive(Debug)]
pub(crate) struct Wire<S> {
    stream: S,
    informational: Arc<Informational>,
}

impl<S> Wire<S> {
    /// Wraps the stream of a connection.
    pub(crate) fn new(stream: S, informational: Arc<Informational>) -> Self {
        Self {
            stream,
            informational,
        }
    }
}

impl<S: Read + Unpin> Read for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if self.informational.is_too_many() {
            return Poll::Ready(Err(io::Error::other(TooManyInformational)));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: Write + Unpin> Write for Wire<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }
}
