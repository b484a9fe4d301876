//! A provider that writes the bytes of its requests itself.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::{PATIENCE, connect};

/// A connection to an edge.
pub(crate) struct Client<S = TcpStream> {
    pub(crate) stream: S,
    buffer: Vec<u8>,
}

/// An answer, its head as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines
            .find(|(field, _)| *field == name)
            .map(|(_, value)| value)
    }

    /// Whether it says that the connection closes.
    pub(crate) fn closes(&self) -> bool {
        self.header("connection") == Some("close")
    }
}

impl Client {
    /// Connects without TLS.
    pub(crate) async fn connect(edge: SocketAddr) -> Self {
        Self::new(connect(edge).await)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// Speaks over `stream`.
    pub(crate) fn new(stream: S) -> Self {
        let buffer = Vec::new();
        Self { stream, buffer }
    }

    /// Sends bytes. That the edge closes meanwhile is no error.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _closed = self.stream.write_all(bytes.as_ref()).await;
        let _closed = self.stream.flush().await;
    }

    /// The next answer, with a body unless `is_head`.
    pub(crate) async fn answer_to(&mut self, is_head: bool) -> Answer {
        let head = loop {
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
                break String::from_utf8(head).expect("text");
            }
            assert!(
                self.read().await,
                "closed instead of an answer: {:?}",
                self.text()
            );
        };
        let status = head
            .split(' ')
            .nth(1)
            .expect("a status")
            .parse()
            .expect("a number");
        let mut answer = Answer {
            status,
            head,
            body: String::new(),
        };
        let length = answer.header("content-length").unwrap_or("0");
        let length: usize = length.parse().expect("a number");
        if !is_head && status != 100 {
            while self.buffer.len() < length {
                assert!(self.read().await, "closed instead of a body");
            }
            let body = self.buffer.drain(..length).collect();
            answer.body = String::from_utf8(body).expect("text");
        }
        answer
    }

    /// The next answer.
    pub(crate) async fn answer(&mut self) -> Answer {
        self.answer_to(false).await
    }

    /// Waits until the edge closes the connection, having said nothing more.
    pub(crate) async fn closed(&mut self) {
        let more = self.read().await;
        assert!(!more && self.buffer.is_empty(), "{:?}", self.text());
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.buffer).into_owned()
    }

    /// Reads on. False at the end.
    async fn read(&mut self) -> bool {
        let read = timeout(PATIENCE, self.stream.read_buf(&mut self.buffer)).await;
        // A connection that was reset is closed too.
        read.expect("something in time")
            .is_ok_and(|bytes| bytes > 0)
    }
}
