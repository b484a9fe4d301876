//! The operations listener: `/healthz`, `/readyz` and `/metrics` over HTTP/1.1.
//!
//! It is meant for the inside of a network: no credential is asked for and no TLS is spoken. One request is answered per
//! connection, and every connection has a deadline, so that a stuck client costs one of a bounded number of places for a
//! bounded time. It does not promise an answer when all places are taken.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::{encoding::text::encode, registry::Registry};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use crate::Readiness;

/// How many connections are served at one time; more wait in the operating system's queue.
const CONNECTIONS_MAX: usize = 64;
/// How long a client may take to send its request's head.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection may live in all.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest request head in bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// How long to wait after the operating system had no connection to give, as when file descriptors ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// A bound listener that does not answer yet.
#[derive(Debug)]
pub struct Operations {
    listener: TcpListener,
    addr: SocketAddr,
}

impl Operations {
    /// Binds `addr`. Port 0 takes any free port.
    ///
    /// # Errors
    ///
    /// When the address cannot be bound.
    pub async fn bind(addr: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        Ok(Self { listener, addr })
    }

    /// The address that is bound, with its real port.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Answers until `shutdown` is cancelled, then lets the requests under way finish within their deadline.
    ///
    /// Cancel it last, so that a draining process can still be asked whether it is ready.
    pub async fn serve(
        self,
        metrics: Arc<Registry>,
        readiness: Readiness,
        shutdown: CancellationToken,
    ) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(ended) = connections.join_next() => log_panic(ended),
                accepted = self.listener.accept(), if connections.len() < CONNECTIONS_MAX => {
                    match accepted {
                        Ok((stream, _)) => {
                            connections.spawn(connection(stream, metrics.clone(), readiness.clone()));
                        }
                        Err(cause) => {
                            warn!(%cause, "cannot accept connections for metrics and health");
                            sleep(ACCEPT_PAUSE).await;
                        }
                    }
                }
            }
        }
        while let Some(ended) = connections.join_next().await {
            log_panic(ended);
        }
    }
}

fn log_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(cause) = ended {
        error!(%cause, "a connection for metrics and health broke down");
    }
}

async fn connection(stream: TcpStream, metrics: Arc<Registry>, readiness: Readiness) {
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = answer(request.method(), request.uri().path(), &metrics, &readiness);
        async move { Ok::<_, Infallible>(answer) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(CONNECTION_TIMEOUT, served).await {
        Ok(Ok(())) => {}
        Ok(Err(cause)) => debug!(%cause, "a connection for metrics and health failed"),
        Err(_) => debug!("a connection for metrics and health was too slow"),
    }
}

fn answer(
    method: &Method,
    path: &str,
    metrics: &Registry,
    readiness: &Readiness,
) -> Response<Full<Bytes>> {
    match (path, method) {
        ("/healthz", &Method::GET) => text(StatusCode::OK, "ok\n"),
        ("/readyz", &Method::GET) => ready(readiness),
        ("/metrics", &Method::GET) => open_metrics(metrics),
        ("/healthz" | "/readyz" | "/metrics", _) => {
            let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
            answer
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET"));
            answer
        }
        _ => text(StatusCode::NOT_FOUND, "not found\n"),
    }
}

fn ready(readiness: &Readiness) -> Response<Full<Bytes>> {
    if readiness.is_ready() {
        return text(StatusCode::OK, "ready\n");
    }
    let mut missing = readiness.missing().join("\n");
    missing.push('\n');
    text(StatusCode::SERVICE_UNAVAILABLE, missing)
}

fn open_metrics(metrics: &Registry) -> Response<Full<Bytes>> {
    let mut lines = String::new();
    match encode(&mut lines, metrics) {
        Ok(()) => with_type(StatusCode::OK, lines, OPEN_METRICS),
        Err(cause) => {
            error!(%cause, "the metrics cannot be written");
            text(StatusCode::INTERNAL_SERVER_ERROR, "cannot be written\n")
        }
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    with_type(status, body, TEXT)
}

fn with_type(
    status: StatusCode,
    body: impl Into<Bytes>,
    content_type: HeaderValue,
) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

#[cfg(test)]
mod tests;
