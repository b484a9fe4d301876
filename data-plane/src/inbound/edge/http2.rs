//! HTTP/2 as the edge speaks it: hyper's, with the edge's limits. Only over TLS, where both sides agreed on it.

use std::{
    future::pending,
    net::IpAddr,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    body::{Body as _, Incoming},
    server::conn::http2,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use posthorn::node::v1::Header;
use posthorn_guard::flood::{Counted, Counting, Flood};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Notify,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{
    body::{Body, Fault},
    gate::{Answer, Gate},
    head::{Head, Length},
    refusal::{ALLOW, CONTENT_TYPE, Refusal},
    request_id::{REQUEST_ID, RequestId},
};
use crate::clock;

const STREAMS_MAX: u32 = 100;
const WINDOW_BYTES: u32 = 256 * 1024;
const SEND_BYTES: usize = 64 * 1024;
/// Streams that a client opened and reset before anyone looked at them.
const RESETS_PENDING_MAX: usize = 20;
/// Streams that were reset because of what the client sent.
const ERRORS_MAX: usize = 100;
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// What may come since a request last came further, in bytes: more than the heads of all streams and their windows.
const FLOOD_BYTES_MAX: u64 = 2 * 1024 * 1024;
/// How long requests under way may take once the connection takes no more.
const GRACE: Duration = Duration::from_secs(25);

/// Serves one connection to its end, or until `stop` is cancelled and the requests under way are answered.
pub(super) async fn serve<S>(stream: S, peer: IpAddr, gate: Arc<Gate>, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let use_of = Arc::new(Use::new());
    let service = {
        let (gate, use_of) = (gate.clone(), use_of.clone());
        service_fn(move |request| {
            let (gate, one) = (gate.clone(), use_of.clone().begin());
            async move {
                let response = respond(request, peer, &gate, &one.0.flood).await;
                drop(one);
                response
            }
        })
    };
    let flood = use_of.flood.clone();
    let stream = TokioIo::new(Counted::new(stream, Counting(flood)));
    let served = builder(gate.limits.head.bytes).serve_connection(stream, service);
    let mut served = pin!(served);
    tokio::select! {
        ended = served.as_mut() => return log(ended),
        () = use_of.until_over(&gate, &stop) => {}
        () = use_of.flood.much() => {}
    }
    served.as_mut().graceful_shutdown();
    if let Ok(ended) = timeout(GRACE, served).await {
        log(ended);
    }
}

fn builder(head_bytes: usize) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(u32::try_from(head_bytes).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(RESETS_PENDING_MAX)
        .max_local_error_reset_streams(ERRORS_MAX)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .max_send_buf_size(SEND_BYTES)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}

fn log(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        debug!(%error, "an HTTP/2 connection failed");
    }
}

/// What a connection was and is used for.
struct Use {
    begun: AtomicU32,
    under_way: AtomicU32,
    changed: Notify,
    flood: Arc<Flood>,
}

/// A request under way.
struct One(Arc<Use>);

impl Use {
    fn new() -> Self {
        Self {
            begun: AtomicU32::new(0),
            under_way: AtomicU32::new(0),
            changed: Notify::new(),
            flood: Arc::new(Flood::new(FLOOD_BYTES_MAX)),
        }
    }

    fn begin(self: Arc<Self>) -> One {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.under_way.fetch_add(1, Ordering::Relaxed);
        self.flood.forget();
        self.changed.notify_one();
        One(self)
    }

    /// Waits until the connection is to take no more requests: it has had them or its time, is idle, or the edge closes.
    async fn until_over(&self, gate: &Gate, stop: &CancellationToken) {
        let age = clock::now() + gate.limits.times.age;
        let ended = async {
            tokio::select! {
                () = stop.cancelled() => {}
                () = sleep_until(age) => {}
            }
        };
        let mut ended: Pin<&mut _> = pin!(ended);
        let mut idle_from = clock::now();
        while self.begun.load(Ordering::Relaxed) < gate.limits.requests_per_connection {
            let until = self.idle_until(gate, idle_from);
            let is_idle = self.under_way.load(Ordering::Relaxed) == 0;
            let has_asked = self.begun.load(Ordering::Relaxed) > 0;
            let idle = is_idle.then(|| gate.crowd.idle(has_asked));
            let goes = async {
                match &idle {
                    Some(idle) => idle.goes().await,
                    None => pending().await,
                }
            };
            tokio::select! {
                () = &mut ended => return,
                () = sleep_until(until), if is_idle => return,
                () = goes => return,
                () = self.changed.notified() => idle_from = clock::now(),
            }
        }
    }

    /// A new connection must begin as fast as a head must come.
    fn idle_until(&self, gate: &Gate, idle_from: Instant) -> Instant {
        let times = gate.limits.times;
        let is_new = self.begun.load(Ordering::Relaxed) == 0;
        let head = gate.crowd.head_within(times.head);
        idle_from + if is_new { head } else { times.idle }
    }
}

impl Drop for One {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
        self.0.flood.forget();
        self.0.changed.notify_one();
    }
}

/// The client went: there is nobody to respond to, and the stream is reset.
#[derive(Debug, thiserror::Error)]
#[error("the client went")]
struct Gone;

async fn respond(
    request: Request<Incoming>,
    peer: IpAddr,
    gate: &Gate,
    flood: &Flood,
) -> Result<Response<Full<Bytes>>, Gone> {
    let (parts, incoming) = request.into_parts();
    let length = length(&incoming);
    let answer = match head(parts, gate) {
        Ok(head) => {
            let mut body = Http2Body { incoming, flood };
            gate.answer(head, length, &mut body, peer).await
        }
        Err(refusal) => gate.refused(refusal),
    };
    match answer {
        Answer::Given(given) => {
            let mut response = Response::new(Full::new(given.body));
            *response.status_mut() = given.status;
            response.headers_mut().extend(
                given
                    .fields
                    .into_iter()
                    .map(|(name, value)| (Some(name), value)),
            );
            Ok(response)
        }
        Answer::Refused(refusal, id) => Ok(refused(refusal, &id)),
        Answer::Gone => Err(Gone),
    }
}

fn length(incoming: &Incoming) -> Length {
    match incoming.size_hint().exact() {
        Some(bytes) => Length::Known(bytes),
        None => Length::Unknown,
    }
}

/// The same head as HTTP/1 has. What that version checks while it reads is checked here.
fn head(parts: http::request::Parts, gate: &Gate) -> Result<Head, Refusal> {
    let limits = &gate.limits.head;
    let target = match parts.uri.path_and_query() {
        Some(path_query) => path_query.as_str(),
        None => "",
    };
    if target.len() > limits.target_bytes {
        return Err(Refusal::TargetLong);
    }
    if parts.headers.len() > limits.fields {
        return Err(Refusal::HeadLong);
    }
    let mut fields = Vec::with_capacity(parts.headers.len() + 1);
    if let Some(authority) = parts.uri.authority() {
        check_host(authority.as_str(), &parts.headers)?;
        if !parts.headers.contains_key(header::HOST) {
            fields.push(field("host", authority.as_str().as_bytes()));
        }
    }
    let named = parts
        .headers
        .iter()
        .map(|(name, value)| field(name.as_str(), value.as_bytes()));
    fields.extend(named);
    Ok(Head {
        method: parts.method,
        target: Bytes::copy_from_slice(target.as_bytes()),
        fields,
    })
}

/// A `host` beside `:authority` says the same.
fn check_host(authority: &str, headers: &http::HeaderMap) -> Result<(), Refusal> {
    let same = |host: &HeaderValue| host.as_bytes().eq_ignore_ascii_case(authority.as_bytes());
    if headers.get_all(header::HOST).iter().all(same) {
        Ok(())
    } else {
        Err(Refusal::Authority)
    }
}

fn field(name: &str, value: &[u8]) -> Header {
    Header {
        name: name.to_owned(),
        value: Bytes::copy_from_slice(value),
    }
}

fn refused(refusal: Refusal, id: &RequestId) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(refusal.text()));
    *response.status_mut() = refusal.status();
    let headers = response.headers_mut();
    let json = HeaderValue::from_static(CONTENT_TYPE);
    headers.insert(header::CONTENT_TYPE, json);
    headers.extend(HeaderValue::from_str(id.as_str()).map(|id| (REQUEST_ID, id)));
    if let Some(seconds) = refusal.retry_after() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static(seconds));
    }
    if refusal == Refusal::Method {
        headers.insert(header::ALLOW, HeaderValue::from_static(ALLOW));
    }
    response
}

struct Http2Body<'a> {
    incoming: Incoming,
    flood: &'a Flood,
}

impl Body for Http2Body<'_> {
    async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        loop {
            let Some(frame) = self.incoming.frame().await else {
                return Ok(None);
            };
            // A frame that is none ended the stream: hyper has told the client.
            let frame = frame.map_err(|_| Fault::Gone)?;
            match frame.into_data() {
                Ok(data) if !data.is_empty() => {
                    self.flood.forget();
                    return Ok(Some(data));
                }
                _ => {}
            }
        }
    }
}
