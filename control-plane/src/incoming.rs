//! Accepting connections: so many and no more, and each must begin to speak.
//!
//! tonic's own limits begin with HTTP/2. A connection that sends nothing, or half a greeting, would be kept for ever, and
//! running out of descriptors would spin the accept loop. Both are bounded here.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::Sleep,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::{Connected, TcpConnectInfo};

/// How many connections there may be.
const CONNECTIONS_MAX: usize = 4_096;
/// How long a connection may take to greet, in TLS or in HTTP/2.
const GREETING_WITHIN: Duration = Duration::from_secs(5);
/// The length of HTTP/2's greeting, in bytes (RFC 9113 section 3.4). TLS's is longer.
const GREETING_BYTES: usize = 24;
/// How long accepting rests after it failed, such as for want of descriptors.
const PAUSE: Duration = Duration::from_millis(100);
/// How many accepted connections may wait for the server.
const WAITING_MAX: usize = 64;

/// The connections of a listener.
pub(crate) fn incoming(listener: TcpListener) -> ReceiverStream<io::Result<Connection>> {
    let (connections, stream) = mpsc::channel(WAITING_MAX);
    tokio::spawn(async move {
        tokio::select! {
            () = accept(&listener, &connections) => {}
            () = connections.closed() => {}
        }
    });
    ReceiverStream::new(stream)
}

async fn accept(listener: &TcpListener, connections: &mpsc::Sender<io::Result<Connection>>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let connection = Connection::new(stream, permit);
                if connections.send(Ok(connection)).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(error = %error, "could not accept a connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// An accepted connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    /// What is left of the greeting, in bytes, and until when it must be there.
    greeting: Option<(usize, Pin<Box<Sleep>>)>,
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    fn new(stream: TcpStream, permit: OwnedSemaphorePermit) -> Self {
        // Without it, small answers wait for the peer; a connection that refuses it is about to fail anyway.
        let _ = stream.set_nodelay(true);
        Self {
            stream,
            greeting: Some((
                GREETING_BYTES,
                Box::pin(tokio::time::sleep(GREETING_WITHIN)),
            )),
            _permit: permit,
        }
    }

    /// Counts what came against the greeting, and ends the connection when the greeting is late.
    fn poll_greeting(&mut self, context: &mut Context<'_>, came: usize) -> Poll<io::Result<()>> {
        let Some((missing, deadline)) = &mut self.greeting else {
            return Poll::Pending;
        };
        *missing = missing.saturating_sub(came);
        if *missing == 0 {
            self.greeting = None;
            return Poll::Pending;
        }
        deadline
            .as_mut()
            .poll(context)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        let came = buffer.filled().len() - before;
        match self.poll_greeting(context, came) {
            Poll::Ready(late) if polled.is_pending() => Poll::Ready(late),
            _ => polled,
        }
    }
}

impl AsyncWrite for Connection {
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
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
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
