//! The demo's receiver: one path takes everything, another fails twice first. Each request is a line in the terminal.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

/// The path that takes everything.
pub(super) const STEADY: &str = "/steady";
/// The path that fails twice first.
pub(super) const FLAKY: &str = "/flaky";
/// How many requests it fails.
const FAILURES: usize = 2;

/// A bound receiver.
pub(super) struct Receiver {
    listener: TcpListener,
    addr: SocketAddr,
}

impl Receiver {
    /// Binds a free port of this machine.
    pub(super) async fn bind() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let addr = listener.local_addr()?;
        Ok(Self { listener, addr })
    }

    /// Where it listens.
    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Receives for ever.
    pub(super) async fn serve(self) -> Infallible {
        let failed = Arc::new(AtomicUsize::new(0));
        loop {
            // A connection that breaks before it is accepted concerns nobody here.
            if let Ok((stream, _)) = self.listener.accept().await {
                tokio::spawn(converse(stream, Arc::clone(&failed)));
            }
        }
    }
}

async fn converse(stream: TcpStream, failed: Arc<AtomicUsize>) {
    let service = service_fn(move |request| receive(request, Arc::clone(&failed)));
    // The node closes connections as it likes.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn receive(
    request: Request<Incoming>,
    failed: Arc<AtomicUsize>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let fails = request.uri().path() == FLAKY && failed.fetch_add(1, Ordering::Relaxed) < FAILURES;
    let status = if fails {
        StatusCode::INTERNAL_SERVER_ERROR
    } else {
        StatusCode::OK
    };
    let header = |name| {
        request
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or("-")
    };
    let line = format!(
        "  {:<8} attempt {} of {} ({}): answered {}",
        request.uri().path(),
        header("webhook-attempt"),
        header("webhook-id"),
        header("webhook-event-type"),
        status.as_u16(),
    );
    request.into_body().collect().await?;
    println!("{line}");
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    Ok(response)
}
