//! What an HTTP/2 client sends without any request coming further: floods of pings and settings. Nothing else bounds
//! them, since hyper answers each.
//!
//! Their bytes are counted, whatever they are. A connection that has sent too many is told to go; one that goes on
//! nevertheless is cut.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Notify,
};

/// More than the longest heads of all streams and their windows: what can come before anyone looks at a request.
const BYTES_MAX: u64 = 2 * 1024 * 1024;

/// How much came since a request last came further.
#[derive(Debug, Default)]
pub(super) struct Vain {
    bytes: AtomicU64,
    much: Notify,
}

impl Vain {
    /// A request began, got more of its body, or ended.
    pub(super) fn forget(&self) {
        self.bytes.store(0, Ordering::Relaxed);
    }

    /// Waits until more came than is borne.
    pub(super) async fn much(&self) {
        while self.bytes.load(Ordering::Relaxed) <= BYTES_MAX {
            self.much.notified().await;
        }
    }

    fn came(&self, bytes: usize) {
        let before = self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        if before + bytes as u64 > BYTES_MAX {
            self.much.notify_one();
        }
    }

    fn is_cut(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) > 2 * BYTES_MAX
    }
}

/// A connection whose bytes are counted as they are read.
pub(super) struct Counted<S> {
    pub(super) stream: S,
    pub(super) vain: Arc<Vain>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.vain.is_cut() {
            let flood = io::Error::other("the client sends much and asks nothing");
            return Poll::Ready(Err(flood));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        self.vain.came(buffer.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
