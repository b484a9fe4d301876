//! What an HTTP/2 peer, client or server, sends without any request coming further: floods of pings, settings, priorities
//! and resets. Nothing else bounds them, since an HTTP/2 library answers each.
//!
//! Their bytes are counted, whatever they are. A connection that has brought too many is told to go; one that goes on
//! nevertheless is cut. Counting costs one addition for each read.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, ReadBuf},
    sync::Notify,
};

use crate::tapped::{Tap, Tapped};

/// How much came since a request last came further.
#[derive(Debug)]
pub struct Flood {
    bytes: AtomicU64,
    bytes_max: AtomicU64,
    much: Notify,
}

impl Flood {
    /// Bears so many bytes: more than the longest heads of all streams and the window of the connection together, which
    /// can come before anyone looks at a request.
    pub fn new(bytes_max: u64) -> Self {
        Self {
            bytes: AtomicU64::new(0),
            bytes_max: AtomicU64::new(bytes_max),
            much: Notify::new(),
        }
    }

    /// A request began, got more of its body, or ended.
    pub fn forget(&self) {
        self.bytes.store(0, Ordering::Relaxed);
    }

    /// Time went by: so many bytes are what a quiet peer sends in it.
    pub fn forgive(&self, bytes: u64) {
        let less = |before: u64| Some(before.saturating_sub(bytes));
        let _always = self
            .bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// Bears so many bytes from now on.
    pub fn bear(&self, bytes_max: u64) {
        self.bytes_max.store(bytes_max, Ordering::Relaxed);
        self.forget();
    }

    /// Waits until more came than is borne.
    pub async fn much(&self) {
        while self.bytes.load(Ordering::Relaxed) <= self.bytes_max() {
            self.much.notified().await;
        }
    }

    fn came(&self, bytes: usize) {
        let before = self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        if before + bytes as u64 > self.bytes_max() {
            self.much.notify_one();
        }
    }

    fn is_cut(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) > 2 * self.bytes_max()
    }

    fn bytes_max(&self) -> u64 {
        self.bytes_max.load(Ordering::Relaxed)
    }
}

/// Why a connection was cut.
#[derive(Debug, thiserror::Error)]
#[error("the peer sends much and asks nothing")]
pub struct Flooded;

/// A connection whose bytes are counted as they are read.
pub type Counted<S> = Tapped<S, Counting>;

/// Counts what comes over a connection.
#[derive(Debug)]
pub struct Counting(pub Arc<Flood>);

impl Tap for Counting {
    fn poll_read<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.0.is_cut() {
            return Poll::Ready(Err(io::Error::other(Flooded)));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(stream).poll_read(context, buffer))?;
        self.0.came(buffer.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_peer_that_sends_much_is_told_to_go_and_then_cut() {
        let flood = Flood::new(100);
        flood.came(100);
        assert!(!flood.is_cut());
        flood.came(1);
        flood.much().await;
        assert!(!flood.is_cut());
        flood.came(100);
        assert!(flood.is_cut());
    }

    #[test]
    fn what_comes_further_and_time_make_up_for_bytes() {
        let flood = Flood::new(100);
        flood.came(300);
        assert!(flood.is_cut());
        flood.forgive(50);
        assert!(flood.is_cut());
        flood.forgive(50);
        assert!(!flood.is_cut());
        flood.came(1);
        assert!(flood.is_cut());
        flood.forget();
        assert!(!flood.is_cut());
        flood.came(300);
        flood.bear(1_000);
        flood.came(1_000);
        assert!(!flood.is_cut());
    }
}
