//! One connection to an endpoint, and sending a request over it.
//!
//! A request that was never written comes back, so that it can go over another connection; one that may have been
//! written does not, because the endpoint may have acted on it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use h2::Reason;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1, http2},
    ext::on_informational,
};
use posthorn_guard::flood::Flood;
use posthorn_outbound::Failure;
use tokio::{task::AbortHandle, time::timeout};

use super::wire::Informational;

/// How long a connection may take to be ready for its next request, such as to finish writing the last.
const READY_MAX: Duration = Duration::from_secs(1);
/// How many requests share an HTTP/2 connection: as many as every endpoint is expected to take. Over its own limit an
/// endpoint lets requests wait.
const STREAMS_MAX: usize = 100;

/// A request as it goes to an endpoint.
pub(crate) type Outgoing = Request<Full<Bytes>>;

/// A connection of either protocol.
pub(crate) enum Connection {
    Http1(Http1),
    Http2(Http2),
}

/// An HTTP/1.1 connection: one request at a time. Closed at once when it is dropped.
pub(crate) struct Http1 {
    sender: http1::SendRequest<Full<Bytes>>,
    peer: SocketAddr,
    informational: Arc<Informational>,
    driver: AbortHandle,
}

/// An HTTP/2 connection, shared by its clones. Closed when the last is dropped and every answer has come.
#[derive(Clone)]
pub(crate) struct Http2 {
    sender: http2::SendRequest<Full<Bytes>>,
    peer: SocketAddr,
    /// Counted by its clones.
    users: Arc<()>,
    flood: Arc<Flood>,
}

/// Why there is no answer.
pub(crate) enum SendError {
    /// The endpoint has not seen the request: here it is, with the failure for when there is no other connection.
    Unsent(Box<Outgoing>, Failure),
    /// The endpoint may have seen it.
    Failed(Failure),
}

impl Connection {
    /// Who is at its other end.
    pub(crate) fn peer(&self) -> SocketAddr {
        match self {
            Self::Http1(connection) => connection.peer,
            Self::Http2(connection) => connection.peer,
        }
    }

    /// The body of an answer has been read, so what came before was no flood.
    pub(crate) fn came_further(&self) {
        if let Self::Http2(connection) = self {
            connection.came_further();
        }
    }
}

impl Http1 {
    /// A connection that a task drives.
    pub(crate) fn new(
        sender: http1::SendRequest<Full<Bytes>>,
        peer: SocketAddr,
        informational: Arc<Informational>,
        driver: AbortHandle,
    ) -> Self {
        Self {
            sender,
            peer,
            informational,
            driver,
        }
    }

    /// Sends a request in origin form.
    pub(crate) async fn send(
        &mut self,
        mut request: Outgoing,
    ) -> Result<Response<Incoming>, SendError> {
        self.informational.reset();
        let informational = self.informational.clone();
        on_informational(&mut request, move |_| informational.count());
        let answered = self.sender.try_send_request(request).await;
        if self.informational.is_too_many() {
            return Err(SendError::Failed(Failure::UnexpectedStatus));
        }
        answered.map_err(failure)
    }

    /// Whether the endpoint has closed it.
    pub(crate) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Waits until the next request can be sent. False when that will never be.
    pub(crate) async fn is_reusable(&mut self) -> bool {
        self.sender.is_ready()
            || matches!(timeout(READY_MAX, self.sender.ready()).await, Ok(Ok(())))
    }
}

impl Drop for Http1 {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Http2 {
    /// A connection that a task drives, and what counts its bytes.
    pub(crate) fn new(
        sender: http2::SendRequest<Full<Bytes>>,
        peer: SocketAddr,
        flood: Arc<Flood>,
    ) -> Self {
        Self {
            sender,
            peer,
            users: Arc::new(()),
            flood,
        }
    }

    /// Sends a request in absolute form.
    pub(crate) async fn send(
        &mut self,
        request: Outgoing,
    ) -> Result<Response<Incoming>, SendError> {
        let copy = request.clone();
        let answered = self.sender.try_send_request(request).await;
        let response = answered.map_err(|error| {
            if is_refused_unseen(error.error()) {
                SendError::Unsent(Box::new(copy), Failure::Http2Error)
            } else {
                failure(error)
            }
        })?;
        self.came_further();
        Ok(response)
    }

    /// What came belonged to an answer.
    fn came_further(&self) {
        self.flood.forget();
    }

    /// Whether the endpoint has closed it.
    pub(crate) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Whether another request should go over it. The pool's clone is one of those that are counted.
    pub(crate) fn has_room(&self) -> bool {
        !self.sender.is_closed() && Arc::strong_count(&self.users) <= STREAMS_MAX
    }

    /// Whether both are one connection.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.users, &other.users)
    }
}

fn failure(mut error: TrySendError<Outgoing>) -> SendError {
    let request = error.take_message();
    let kind = posthorn_outbound::of_request(error.error());
    match request {
        Some(request) => SendError::Unsent(Box::new(request), kind),
        None => SendError::Failed(kind),
    }
}

/// HTTP/2 says of these two that the endpoint has not acted on the request: a refused stream, and one that is newer than
/// the last of a connection that closes in order.
fn is_refused_unseen(error: &hyper::Error) -> bool {
    let cause = std::error::Error::source(error);
    let Some(cause) = cause.and_then(|cause| cause.downcast_ref::<h2::Error>()) else {
        return false;
    };
    cause.is_remote()
        && (cause.is_reset() && cause.reason() == Some(Reason::REFUSED_STREAM)
            || cause.is_go_away() && cause.reason() == Some(Reason::NO_ERROR))
}
