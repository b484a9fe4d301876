//! gRPC as somebody with bad intent speaks it: raw HTTP/2 from an address of one's choice, with bodies that never end.

use std::{
    convert::Infallible,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt as _;
use hyper::{
    body::{Body, Frame},
    client::conn::http2::{self, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    net::{TcpSocket, TcpStream},
    task::JoinHandle,
    time::timeout,
};

/// The longest that anything here is waited for: what lasts longer has no end for an attacker's purposes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A connection over which calls can be begun and never ended. Closed when dropped.
pub(crate) struct Wire {
    sender: SendRequest<Endless>,
    addr: SocketAddr,
    connection: JoinHandle<()>,
}

/// A body that sends what it has and then neither goes on nor ends.
#[derive(Clone, Debug)]
pub(crate) struct Endless(Bytes);

impl Wire {
    /// Connects in plaintext.
    ///
    /// Errors: nobody takes the connection.
    pub(crate) async fn open(addr: SocketAddr) -> io::Result<Self> {
        let stream = connect(addr, Ipv4Addr::LOCALHOST.into()).await?;
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        let connection = tokio::spawn(async move {
            // Being cut off is what this connection is for.
            let _ended = connection.await;
        });
        Ok(Self {
            sender,
            addr,
            connection,
        })
    }

    /// Begins a call with these bytes as the start of its body, and returns how long it lasted.
    pub(crate) async fn hang(&self, path: &str, key: Option<&str>, start: Bytes) -> Duration {
        let mut request =
            Request::post(format!("http://{}{path}", self.addr)).header("te", "trailers");
        if let Some(key) = key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let request = request
            .header("content-type", "application/grpc")
            .body(Endless(start))
            .expect("the parts are well-formed");
        let began = Instant::now();
        let mut sender = self.sender.clone();
        let call = async {
            if sender.ready().await.is_err() {
                return;
            }
            if let Ok(answer) = sender.send_request(request).await {
                // Whatever it holds: what counts is that it ends.
                let _answer = answer.into_body().collect().await;
            }
        };
        // No end within the patience shows in how long it lasted.
        let _ended = timeout(PATIENCE, call).await;
        began.elapsed()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.0.is_empty() {
            return Poll::Pending;
        }
        Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.0)))))
    }
}

/// A connection from a local address of one's choice, such as 127.0.0.2.
///
/// Errors: nobody takes it.
pub(crate) async fn connect(addr: SocketAddr, from: IpAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from, 0))?;
    let stream = socket.connect(addr).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// What stands before a message: the flag that says it is not compressed, and its length.
pub(crate) fn prefixed(length: usize, bytes: &[u8]) -> Bytes {
    let length = u32::try_from(length).expect("a message is shorter than 4 GiB");
    [&[0], &length.to_be_bytes()[..], bytes].concat().into()
}
