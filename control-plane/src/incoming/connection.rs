//! One connection, from its greeting to its end.

use std::{
    convert::Infallible,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use hyper::{server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use posthorn_guard::flood::{Counted, Counting};
use tokio::{net::TcpStream, time::timeout};
use tokio_util::sync::CancellationToken;
use tonic::{Status, body::Body};
use tower::{Service, ServiceExt as _};

use super::{
    greeting::{Greeted, greet},
    life::{self, Over},
    peer::{Standing, UnderWay},
    places::Place,
    tls::{Certificate, acceptor},
    window,
};
use crate::{config::Limits, rpc::Permit};

/// How often a silent peer is asked for a sign of life, and how long it may take.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(3);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(6);
/// How many calls one connection may have under way.
pub(crate) const STREAMS_MAX: u32 = 1_024;
/// The longest head of a request, in bytes.
pub(crate) const HEAD_BYTES_MAX: u32 = 16 * 1_024;
/// How many streams a peer may open and reset before its connection is closed.
pub(crate) const PENDING_RESETS_MAX: usize = 20;
/// How much of an answer waits for a peer that does not read, in bytes.
pub(crate) const SEND_BYTES_MAX: usize = 256 * 1_024;
/// How long the calls of a stranger may take once its connection takes no more.
pub(crate) const STRANGER_GRACE: Duration = Duration::from_secs(30);

/// What connections are served with.
pub(super) struct Serving<S> {
    pub(super) service: S,
    pub(super) tls: Option<Arc<Certificate>>,
    pub(super) limits: Limits,
}

/// Serves a connection to its end.
pub(super) async fn run<S>(
    stream: TcpStream,
    place: Place,
    serving: Arc<Serving<S>>,
    stop: CancellationToken,
) where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send,
{
    let peer = place.peer().clone();
    let converse = async {
        let tls = serving.tls.as_deref().map(acceptor);
        let greeting = greet(stream, tls.as_ref());
        match timeout(serving.limits.greeting_timeout, greeting).await {
            Ok(Ok(greeted)) => serve(greeted, &place, &serving, &stop).await,
            Ok(Err(_)) => place.refuse("greeting"),
            Err(_) => place.refuse("greeting_timeout"),
        }
    };
    tokio::select! {
        () = peer.sent_away() => {}
        () = converse => {}
    }
    drop(place);
}

async fn serve<S>(greeted: Greeted, place: &Place, serving: &Serving<S>, stop: &CancellationToken)
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send,
{
    let peer = place.peer();
    let service = service_fn(|request: Request<hyper::body::Incoming>| {
        let under_way = peer.begin();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer.clone());
        let call = serving.service.clone().oneshot(request);
        async move {
            let response = call.await?;
            Ok::<_, Infallible>(answered(response, under_way))
        }
    });
    let stream = TokioIo::new(Counted::new(greeted, Counting(peer.flood().clone())));
    let mut served = pin!(builder().serve_connection(stream, service));
    tokio::select! {
        ended = served.as_mut() => return log(ended),
        () = stop.cancelled() => {}
        over = life::over(peer, &serving.limits) => if over == Over::NoCall {
            place.refuse("first_call");
        },
        () = peer.flood().much() => place.refuse("flood"),
    }
    served.as_mut().graceful_shutdown();
    // Calls of those who are known go on as long as they like.
    let is_late = async {
        tokio::time::sleep(STRANGER_GRACE).await;
        if peer.standing() != Standing::Stranger {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        ended = served => log(ended),
        () = is_late => {}
    }
}

fn builder() -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .initial_stream_window_size(window::STREAM_BYTES)
        .initial_connection_window_size(window::CONNECTION_BYTES)
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEAD_BYTES_MAX)
        .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
        .max_send_buf_size(SEND_BYTES_MAX);
    builder
}

fn log(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection of gRPC failed");
    }
}

fn answered(mut response: Response<Body>, under_way: UnderWay) -> Response<Answer> {
    let permit = response.extensions_mut().remove::<Arc<Permit>>();
    response.map(|body| Answer {
        body,
        _under_way: under_way,
        _permit: permit,
    })
}

/// The body of an answer. The call is under way until it is sent.
struct Answer {
    body: Body,
    _under_way: UnderWay,
    _permit: Option<Arc<Permit>>,
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
