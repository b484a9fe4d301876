//! Bare answers: a hyper server that reads each body and answers 200, under the load that the edge gets.

use std::{convert::Infallible, net::SocketAddr};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
};

/// The server, on threads of its own. Ends when dropped.
#[derive(Debug)]
pub(crate) struct BareServer {
    pub(crate) addr: SocketAddr,
    runtime: Option<Runtime>,
}

impl BareServer {
    /// Starts it on a port of the system's choice.
    pub(crate) async fn start() -> Self {
        let runtime = Builder::new_multi_thread()
            .enable_all()
            .thread_name("bare")
            .build()
            .expect("a runtime can be made");
        let listener = runtime.spawn(TcpListener::bind("127.0.0.1:0"));
        let listener = listener
            .await
            .expect("the runtime lives")
            .expect("loopback has a port");
        let addr = listener.local_addr().expect("a listener has an address");
        runtime.spawn(accept(listener));
        Self {
            addr,
            runtime: Some(runtime),
        }
    }
}

impl Drop for BareServer {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn accept(listener: TcpListener) {
    loop {
        let (stream, _) = listener.accept().await.expect("connections are accepted");
        stream.set_nodelay(true).expect("a stream takes the option");
        let connection = http1::Builder::new();
        tokio::spawn(connection.serve_connection(TokioIo::new(stream), service_fn(answer)));
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Infallible> {
    // The generator sends whole bodies; one that breaks off ends with its connection.
    let _ = request.into_body().collect().await;
    Ok(Response::new(Empty::new()))
}
