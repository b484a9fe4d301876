//! An HTTP server that webhooks are delivered to: answers as told, and remembers what came.

mod answer;
mod record;
mod refused;

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Instant};

use bytes::Bytes;
use http::{HeaderMap, Request as HttpRequest, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

pub use answer::Answer;
pub use record::{Received, Request};
pub use refused::Refused;

use record::Records;

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

/// A running receiver on 127.0.0.1, with HTTP/1.1 and kept connections. Ends when dropped.
#[derive(Debug)]
pub struct Receiver {
    addr: SocketAddr,
    records: Arc<Records>,
    task: JoinHandle<()>,
}

impl Receiver {
    /// Starts one that records every request and answers 200 until told otherwise.
    pub async fn start() -> Self {
        let records = Arc::new(Records::default());
        let recorder = Arc::clone(&records);
        Self::serve(records, move |request| {
            let records = Arc::clone(&recorder);
            async move {
                let (answer, earlier) = records.add(request);
                answer.give(earlier).await
            }
        })
        .await
    }

    /// Starts one that answers 200 to everything and records nothing, but shows each request to `observer`. For loads.
    pub async fn observed(observer: impl Fn(&Arrival<'_>) + Send + Sync + 'static) -> Self {
        let observer = Arc::new(observer);
        Self::serve(Arc::default(), move |request| {
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
        format!("http://{}{path}", self.addr)
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

    async fn serve<A, F>(records: Arc<Records>, answer: A) -> Self
    where
        A: Fn(Request) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
    {
        let listener = TcpListener::bind(("127.0.0.1", 0))
            .await
            .expect("loopback has a free port");
        let addr = listener.local_addr().expect("a listener has an address");
        let task = tokio::spawn(async move {
            // Dropped with this task, and the connections with it.
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve_connection(stream, answer.clone()));
                while connections.try_join_next().is_some() {}
            }
        });
        Self {
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

async fn serve_connection<A, F>(stream: TcpStream, answer: A)
where
    A: Fn(Request) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    stream.set_nodelay(true).expect("a stream takes the option");
    let service = service_fn(|request: HttpRequest<Incoming>| {
        let answer = answer.clone();
        async move {
            let Some(request) = read(request).await else {
                return Ok(answer::empty(400));
            };
            Ok::<_, Infallible>(answer(request).await)
        }
    });
    // An error is the peer's broken connection, which is the peer's to report.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
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
