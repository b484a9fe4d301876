//! The beginning of a connection: TLS where it is served, and the first bytes of HTTP/2.
//! <https://www.rfc-editor.org/rfc/rfc9113#section-3.4>

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use posthorn_guard::tapped::{Tap, Tapped};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::either::Either;

/// What every HTTP/2 client begins with.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection in plaintext or over TLS.
type Stream = Either<TcpStream, TlsStream<TcpStream>>;

/// A connection that has greeted.
pub(super) type Greeted = Tapped<Stream, Unread>;

/// The greeting, which is read again by whoever serves the connection.
#[derive(Debug)]
pub(super) struct Unread(&'static [u8]);

/// Waits for the greeting. An error: there was none, or another.
pub(super) async fn greet(stream: TcpStream, tls: Option<&TlsAcceptor>) -> io::Result<Greeted> {
    // Without it, small answers wait for the peer; a connection that refuses it is about to fail anyway.
    let _about_to_fail = stream.set_nodelay(true);
    let mut stream = match tls {
        None => Either::Left(stream),
        Some(tls) => Either::Right(tls.accept(stream).await?),
    };
    let mut preface = [0; PREFACE.len()];
    stream.read_exact(&mut preface).await?;
    if preface != *PREFACE {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(Tapped::new(stream, Unread(PREFACE)))
}

impl Tap for Unread {
    fn poll_read<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.0.is_empty() {
            return Pin::new(stream).poll_read(context, buffer);
        }
        let (now, later) = self.0.split_at(self.0.len().min(buffer.remaining()));
        buffer.put_slice(now);
        self.0 = later;
        Poll::Ready(Ok(()))
    }
}
