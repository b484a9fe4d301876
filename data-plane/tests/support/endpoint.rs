//! An endpoint that answers when the test lets it.

use std::{net::SocketAddr, sync::Arc};

use posthorn::node::v1::Lease;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
    task::JoinHandle,
    time::timeout,
};

use super::PATIENCE;

/// An endpoint that answers 200 to each request once the test lets it.
pub(crate) struct Endpoint {
    address: SocketAddr,
    requests: mpsc::UnboundedReceiver<String>,
    answers: Arc<Semaphore>,
    task: JoinHandle<()>,
}

impl Endpoint {
    /// Starts one that may answer so many requests.
    pub(crate) async fn start(answers: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("an address");
        let answers = Arc::new(Semaphore::new(answers));
        let (log, requests) = mpsc::unbounded_channel();
        let permits = answers.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, log.clone(), permits.clone()));
            }
        });
        Self {
            address,
            requests,
            answers,
            task,
        }
    }

    /// Lets it answer so many more.
    pub(crate) fn allow(&self, answers: usize) {
        self.answers.add_permits(answers);
    }

    /// The next request that it has read.
    pub(crate) async fn request(&mut self) -> String {
        let request = timeout(PATIENCE, self.requests.recv()).await;
        request.expect("a request in time").expect("a request")
    }

    /// Whether there was another request.
    pub(crate) fn has_request(&mut self) -> bool {
        self.requests.try_recv().is_ok()
    }

    /// A lease of a request to it.
    pub(crate) fn lease(&self, lease_id: u64) -> Lease {
        Lease {
            lease_id,
            delivery_id: format!("dlv_{lease_id}"),
            endpoint_id: "ep_1".to_owned(),
            endpoint_version: 1,
            attempt: 3,
            url: format!("http://{}/{lease_id}", self.address),
            headers: Vec::new(),
            body: format!("body {lease_id}").into(),
            connect_timeout_ms: 10_000,
            timeout_ms: 20_000,
            hold_ms: 30_000,
            proof: format!("proof of {lease_id}").into(),
            secret_headers: Vec::new(),
        }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Reads requests whose bodies end in the lease's number, and answers as permitted.
async fn answer(
    mut stream: TcpStream,
    log: mpsc::UnboundedSender<String>,
    permits: Arc<Semaphore>,
) {
    let mut bytes = Vec::new();
    while stream
        .read_buf(&mut bytes)
        .await
        .is_ok_and(|count| count > 0)
    {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if !text.contains("\r\n\r\nbody ") {
            continue;
        }
        bytes.clear();
        let _over = log.send(text);
        permits.acquire().await.expect("a permit").forget();
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        if stream.write_all(answer).await.is_err() {
            return;
        }
    }
}
