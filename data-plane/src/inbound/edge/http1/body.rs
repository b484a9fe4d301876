//! The body of an HTTP/1 request, read from the connection as it is asked for.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::{
    chunked::{Chunked, Step},
    head::Framing,
};
use crate::inbound::edge::body::{Body, Fault};

/// How much is read at one time at most, in bytes.
const READ_BYTES: usize = 16 * 1024;
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// A body that is read from `stream` behind what `buffer` holds already.
pub(super) struct Http1Body<'a, S> {
    stream: &'a mut S,
    buffer: &'a mut BytesMut,
    left: Left,
    /// The client waits to be told to go on.
    expects_continue: bool,
}

enum Left {
    Bytes(u64),
    Chunks(Chunked),
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> Http1Body<'a, S> {
    /// Nothing is read yet.
    pub(super) fn new(
        stream: &'a mut S,
        buffer: &'a mut BytesMut,
        framing: Framing,
        expects_continue: bool,
    ) -> Self {
        Self {
            stream,
            buffer,
            left: match framing {
                Framing::Length(bytes) => Left::Bytes(bytes),
                Framing::Chunked => Left::Chunks(Chunked::default()),
            },
            expects_continue,
        }
    }

    /// Passes over what is left if it has come already. Whether the connection now stands before another request.
    pub(super) fn pass_over(mut self) -> bool {
        while let Ok(Some(_)) = self.take() {}
        match self.left {
            Left::Bytes(left) => left == 0,
            Left::Chunks(chunked) => chunked.is_done(),
        }
    }

    fn is_done(&self) -> bool {
        match &self.left {
            Left::Bytes(left) => *left == 0,
            Left::Chunks(chunked) => chunked.is_done(),
        }
    }

    /// What the buffer holds of the body.
    fn take(&mut self) -> Result<Option<Bytes>, Fault> {
        match &mut self.left {
            Left::Bytes(left) => {
                let there = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .min(self.buffer.len());
                *left -= there as u64;
                Ok((there > 0).then(|| self.buffer.split_to(there).freeze()))
            }
            Left::Chunks(chunked) => match chunked.step(self.buffer) {
                Ok(Step::Data(data)) => Ok(Some(data)),
                Ok(Step::More | Step::End) => Ok(None),
                Err(_) => Err(Fault::Malformed),
            },
        }
    }

    /// Reads more into the buffer.
    async fn read(&mut self) -> Result<(), Fault> {
        if self.expects_continue {
            self.expects_continue = false;
            self.go_on().await.map_err(|_| Fault::Gone)?;
        }
        self.buffer.reserve(READ_BYTES);
        match self.stream.read_buf(self.buffer).await {
            Ok(0) | Err(_) => Err(Fault::Gone),
            Ok(_) => Ok(()),
        }
    }

    async fn go_on(&mut self) -> io::Result<()> {
        self.stream.write_all(CONTINUE).await?;
        self.stream.flush().await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Body for Http1Body<'_, S> {
    async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        loop {
            if let Some(data) = self.take()? {
                return Ok(Some(data));
            }
            if self.is_done() {
                return Ok(None);
            }
            self.read().await?;
        }
    }
}
