//! An HTTP server that webhooks are delivered to: answers as told, and remembers what came.

mod answer;
mod record;
mod refused;

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Instant};

use bytes::Bytes;
use http::{HeaderMap, Request as HttpRequest, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};
use tokio_rustls::TlsAcceptor;

pub use answer::Answer;
pub use record::{Received, Request};
pub use refused::Refused;

use record::Records;

use crate::Authority;

/// A request, as an observer sees it.
#[derive(Debug)]
pub struct Arrival<'a> {
    /// The path.
    pub path: &'a str,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The body.
    pub body: &'a Bytes,
    /// When the whole request had come in.
    pub at: Instant,
}

/// The ALPN name of HTTP/2.
const HTTP_2: &str = "h2";

/// A running receiver on 127.0.0.1, with HTTP/1.1 and kept connections. Ends when dropped.
#[derive(Debug)]
pub struct Receiver {
    scheme: &'static str,
    addr: SocketAddr,
    records: Arc<Records>,
    task: JoinHandle<()>,
}

impl Receiver {
    /// Starts one that records every request and answers 200 until told otherwise.
    pub async fn start() -> Self {
        Self::recorded(Transport::Plain).await
    }

    /// The same over TLS with a certificate of this authority, speaking one version of HTTP: `h2` or `http/1.1`.
    pub async fn start_tls(authority: &Authority, alpn: &str) -> Self {
        Self::recorded(Transport::Tls(authority.acceptor(alpn))).await
    }

    async fn recorded(transport: Transport) -> Self {
        let records = Arc::new(Records::default());
        let recorder = Arc::clone(&records);
        Self::serve(transport, records, move |request| {
            let records = Arc::clone(&recorder);
            async move {
                let (headers, body) = (request.headers.clone(), request.body.clone());
                let (answer, earlier) = records.add(request);
                answer.give((&headers, &body), earlier).await
            }
        })
        .await
    }

    /// Starts one that answers 200 to everything and records nothing, but shows each request to `observer`. For loads.
    pub async fn observed(observer: impl Fn(&Arrival<'_>) + Send + Sync + 'static) -> Self {
        let observer = Arc::new(observer);
        Self::serve(Transport::Plain, Arc::default(), move |request| {
            observer(&Arrival {
                path: &request.path,
                headers: &request.headers,
                body: &request.body,
                at: request.arrived_at,
            });
            std::future::ready(answer::empty(200))
        })
        .await
    }

    /// The URL of a path, which begins with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.addr)
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// From now on answers requests to `path` like this; a sequence begins anew.
    pub fn answer(&self, path: &str, answer: Answer) {
        self.records.set_answer(path, answer);
    }

    /// What came to `path`.
    pub fn received(&self, path: &str) -> Received {
        Received::new(Arc::clone(&self.records), path)
    }

    async fn serve<A, F>(transport: Transport, records: Arc<Records>, answer: A) -> Self
    where
        A: Fn(Request) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
    {
        let listener = TcpListener::bind(("127.0.0.1", 0))
            .await
            .expect("loopback has a free port");
        let addr = listener.local_addr().expect("a listener has an address");
        let scheme = transport.scheme();
        let task = tokio::spawn(async move {
            // Dropped with this task, and the connections with it.
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve_connection(transport.clone(), stream, answer.clone()));
                while connections.try_join_next().is_some() {}
            }
        });
        Self {
            scheme,
            addr,
            records,
            task,
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a connection is spoken over.
#[derive(Clone)]
enum Transport {
    Plain,
    Tls(TlsAcceptor),
}

impl Transport {
    fn scheme(&self) -> &'static str {
        match self {
            Self::Plain => "http",
            Self::Tls(_) => "https",
        }
    }
}

async fn serve_connection<A, F>(transport: Transport, stream: TcpStream, answer: A)
where
    A: Fn(Request) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    stream.set_nodelay(true).expect("a stream takes the option");
    match transport {
        Transport::Plain => serve_stream(stream, Version::Http1, answer).await,
        Transport::Tls(acceptor) => {
            // A handshake that fails is the peer's to report.
            if let Ok(stream) = acceptor.accept(stream).await {
                let version = Version::of(stream.get_ref().1.alpn_protocol());
                serve_stream(stream, version, answer).await;
            }
        }
    }
}

/// A version of HTTP.
enum Version {
    Http1,
    Http2,
}

impl Version {
    fn of(alpn: Option<&[u8]>) -> Self {
        if alpn == Some(HTTP_2.as_bytes()) {
            Self::Http2
        } else {
            Self::Http1
        }
    }
}

async fn serve_stream<S, A, F>(stream: S, version: Version, answer: A)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Fn(Request) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let service = service_fn(move |request: HttpRequest<Incoming>| {
        let answer = answer.clone();
        async move {
            let Some(request) = read(request).await else {
                return Ok(answer::empty(400));
            };
            Ok::<_, Infallible>(answer(request).await)
        }
    });
    let stream = TokioIo::new(stream);
    // An error is the peer's broken connection, which is the peer's to report.
    let _ = match version {
        Version::Http1 => {
            http1::Builder::new()
                .serve_connection(stream, service)
                .await
        }
        Version::Http2 => {
            http2::Builder::new(TokioExecutor::new())
                .serve_connection(stream, service)
                .await
        }
    };
}

/// Reads a whole request, or nothing when the peer breaks off.
async fn read(request: HttpRequest<Incoming>) -> Option<Request> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.ok()?.to_bytes();
    Some(Request {
        path: head.uri.path().to_owned(),
        headers: head.headers,
        body,
        arrived_at: Instant::now(),
    })
}
