//! A server that does to each connection what a test says.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinHandle,
};

/// A running server. It stops when it is dropped.
pub(super) struct Zoo {
    address: SocketAddr,
    log: Arc<Log>,
    task: JoinHandle<()>,
}

/// What the server saw.
#[derive(Default)]
pub(super) struct Log {
    connections: AtomicUsize,
    requests: Mutex<Vec<Vec<u8>>>,
    closed: AtomicUsize,
    closing: Notify,
}

impl Zoo {
    /// Starts a server that does `behave` with each connection; a connection ends when that does.
    pub(super) async fn start<F>(behave: impl Fn(TcpStream, Arc<Log>) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into(), behave).await
    }

    async fn start_at<F>(
        address: SocketAddr,
        behave: impl Fn(TcpStream, Arc<Log>) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(address).await.expect("a listener");
        let address = listener.local_addr().expect("an address");
        let log = Arc::new(Log::default());
        let kept = log.clone();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                log.connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(behave(stream, log.clone()));
            }
        });
        Self {
            address,
            log: kept,
            task,
        }
    }

    /// A server that answers every request with these bytes and keeps the connection.
    pub(super) async fn answering(answer: impl Into<Vec<u8>>) -> Self {
        Self::listening((Ipv4Addr::LOCALHOST, 0).into(), answer).await
    }

    /// The same at a certain address.
    pub(super) async fn listening(address: SocketAddr, answer: impl Into<Vec<u8>>) -> Self {
        let answer = Arc::new(answer.into());
        Self::start_at(address, move |mut stream, log| {
            let answer = answer.clone();
            async move {
                while log.read_request(&mut stream).await.is_some() {
                    if stream.write_all(&answer).await.is_err() {
                        break;
                    }
                }
                log.close();
            }
        })
        .await
    }

    /// A server that answers the first request of a connection with these bytes and closes.
    pub(super) async fn answering_once(answer: impl Into<Vec<u8>>) -> Self {
        let answer = Arc::new(answer.into());
        Self::start(move |mut stream, log| {
            let answer = answer.clone();
            async move {
                log.read_request(&mut stream).await;
                let _closed = stream.write_all(&answer).await;
            }
        })
        .await
    }

    /// A server that reads a request and then writes these bytes again and again, until the node closes.
    pub(super) async fn endless(first: impl Into<Vec<u8>>, again: impl Into<Vec<u8>>) -> Self {
        let (first, again) = (Arc::new(first.into()), Arc::new(again.into()));
        Self::start(move |mut stream, log| {
            let (first, again) = (first.clone(), again.clone());
            async move {
                log.read_request(&mut stream).await;
                let mut written = stream.write_all(&first).await;
                while written.is_ok() {
                    written = stream.write_all(&again).await;
                }
                log.close();
            }
        })
        .await
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL over plain http.
    pub(super) fn url(&self) -> String {
        format!("http://{}/hook?a=b", self.address)
    }

    /// How many connections were made to it.
    pub(super) fn connections(&self) -> usize {
        self.log.connections.load(Ordering::SeqCst)
    }

    /// The requests that it has read, heads and bodies as they came.
    pub(super) fn requests(&self) -> Vec<String> {
        let requests = self.log.requests.lock().expect("a log");
        requests
            .iter()
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
            .collect()
    }

    /// Waits until so many connections were closed by the node.
    pub(super) async fn until_closed(&self, count: usize) {
        loop {
            let closing = self.log.closing.notified();
            if self.log.closed.load(Ordering::SeqCst) >= count {
                return;
            }
            closing.await;
        }
    }
}

impl Drop for Zoo {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Log {
    /// Reads one request with a `content-length`. `None` when the node closed before one was whole.
    pub(super) async fn read_request(
        &self,
        stream: &mut (impl AsyncRead + Unpin),
    ) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        loop {
            if let Some(end) = request_end(&bytes)
                && bytes.len() >= end
            {
                self.requests.lock().expect("a log").push(bytes.clone());
                return Some(bytes);
            }
            if stream.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
        }
    }

    /// Notes that the node closed a connection.
    pub(super) fn close(&self) {
        self.closed.fetch_add(1, Ordering::SeqCst);
        self.closing.notify_waiters();
        self.closing.notify_one();
    }
}

/// Reads whatever comes until the peer closes.
pub(super) async fn read_to_end(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    let mut sink = Vec::new();
    let _reset = stream.read_to_end(&mut sink).await;
}

/// Where the request ends, once its head is there.
fn request_end(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&bytes[..head]).to_lowercase();
    let length = text.split("content-length: ").nth(1)?;
    let length: usize = length.split("\r\n").next()?.parse().ok()?;
    Some(head + length)
}
