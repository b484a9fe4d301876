//! gRPC without a client library: any bytes, any headers, over HTTP/2.

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, request::Builder};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    body::{Body, Frame},
    client::conn::http2,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    net::{TcpSocket, TcpStream},
    sync::mpsc,
    time::timeout,
};
use tonic::Code;

use super::DEADLINE;

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The HTTP status.
    pub(crate) http_status: u16,
    /// The gRPC code from the headers or trailers. None: there was none, or the stream was reset.
    pub(crate) code: Option<Code>,
    /// The gRPC message.
    pub(crate) message: String,
}

/// A call to a path with a key and the usual headers, its body yet to come.
pub(crate) fn call(addr: SocketAddr, path: &str, key: &str) -> Builder {
    let builder = Request::post(format!("http://{addr}{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    if key.is_empty() {
        return builder;
    }
    builder.header("authorization", format!("Bearer {key}"))
}

/// A gRPC message: the flag, the length and the bytes.
pub(crate) fn frame(compressed: bool, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("a message is shorter than 4 GiB");
    let mut frame = vec![u8::from(compressed)];
    frame.extend(length.to_be_bytes());
    frame.extend(message);
    frame
}

/// A protobuf field of wire type 2: text, bytes or a message.
pub(crate) fn field(number: u32, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    prost::encoding::encode_varint(u64::from(number << 3 | 2), &mut bytes);
    prost::encoding::encode_varint(value.len() as u64, &mut bytes);
    bytes.extend(value);
    bytes
}

/// A body whose data the test sends, and which ends when the test drops the sender.
pub(crate) struct Sent(mpsc::UnboundedReceiver<Bytes>);

/// A body with these bytes, and what sends more.
pub(crate) fn open(first: &[u8]) -> (mpsc::UnboundedSender<Bytes>, Sent) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let _always = sender.send(Bytes::copy_from_slice(first));
    (sender, Sent(receiver))
}

impl Body for Sent {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let data = self.0.poll_recv(context);
        data.map(|data| data.map(|data| Ok(Frame::data(data))))
    }
}

/// Sends the call with this body on a connection of its own, and ends the stream.
pub(crate) async fn send(addr: SocketAddr, call: Builder, body: impl Into<Bytes>) -> Answer {
    send_body(addr, call, Full::new(body.into())).await
}

/// Sends the call with this body on a connection of its own.
pub(crate) async fn send_body<B>(addr: SocketAddr, call: Builder, body: B) -> Answer
where
    B: Body<Data = Bytes, Error = Infallible> + Send + Unpin + 'static,
{
    let request: Request<B> = call.body(body).expect("the test's headers are well-formed");
    let exchange = async {
        let stream = connect(addr).await;
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .expect("the control plane speaks HTTP/2");
        let connection = tokio::spawn(connection);
        let answer = match sender.send_request(request).await {
            Ok(response) => read(response).await,
            // A stream that was reset has no answer.
            Err(_) => Answer {
                http_status: 0,
                code: None,
                message: String::new(),
            },
        };
        connection.abort();
        answer
    };
    timeout(DEADLINE, exchange)
        .await
        .expect("the control plane answers")
}

/// A bare connection.
#[expect(
    clippy::disallowed_methods,
    reason = "the tests stand for callers of the control plane"
)]
pub(crate) async fn connect(addr: SocketAddr) -> TcpStream {
    TcpStream::connect(addr)
        .await
        .expect("the control plane listens")
}

/// A bare connection from an address of this machine.
#[expect(
    clippy::disallowed_methods,
    reason = "the tests stand for callers of the control plane"
)]
pub(crate) async fn connect_from(from: IpAddr, addr: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket can be made");
    socket
        .bind(SocketAddr::new(from, 0))
        .expect("an address of this machine");
    socket
        .connect(addr)
        .await
        .expect("the control plane listens")
}

/// Reads an answer to its end.
pub(crate) async fn read(response: Response<hyper::body::Incoming>) -> Answer {
    let (head, body) = response.into_parts();
    let trailers = match body.collect().await {
        Ok(body) => body.trailers().cloned().unwrap_or_default(),
        Err(_) => HeaderMap::new(),
    };
    let either = |name: &str| head.headers.get(name).or(trailers.get(name)).cloned();
    let message = either("grpc-message");
    Answer {
        http_status: head.status.as_u16(),
        code: either("grpc-status").map(|value| Code::from_bytes(value.as_bytes())),
        message: message.map_or_else(String::new, |value| {
            String::from_utf8_lossy(value.as_bytes()).into_owned()
        }),
    }
}
