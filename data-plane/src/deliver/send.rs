//! One attempt: a leased request, sent at most once, within its time.

use std::{sync::Arc, time::Duration};

use http::header;
use hyper::body::Incoming;
use posthorn::node::v1::{self, HttpAnswer, Lease, outcome::Result as Fact};
use posthorn_guard::Policy;
use posthorn_outbound::Failure;
use tokio::time::{Instant, timeout_at};
use tracing::debug;

use super::{
    answer::{self, Excerpt},
    connect::Dialer,
    connection::{Connection, Http2, Outgoing, SendError},
    endpoint::{Endpoint, EndpointError},
    outcome,
    pool::Pool,
    redact::Secrets,
    request::request,
    trace::{Phase, Trace},
};
use crate::{clock, metrics::Metrics};

/// Performs attempts, any number at one time.
pub(crate) struct Sender {
    pool: Pool,
    dialer: Dialer,
    metrics: Arc<Metrics>,
}

/// What an attempt came to, and the connection that it leaves behind.
pub(crate) struct Performed {
    /// An answer or an error, as it is reported.
    pub(crate) fact: Fact,
    /// How it went.
    pub(crate) trace: Box<v1::Trace>,
    /// The connection, if another request can go over it.
    pub(crate) reusable: Option<Reusable>,
}

/// A connection whose answer was read to its end.
pub(crate) struct Reusable {
    endpoint: Arc<Endpoint>,
    connection: Connection,
}

impl Sender {
    /// A sender that opens connections with the dialer and keeps them in the pool.
    pub(crate) fn new(pool: Pool, dialer: Dialer, metrics: Arc<Metrics>) -> Self {
        Self {
            pool,
            dialer,
            metrics,
        }
    }

    /// Makes the attempt of a lease that began at `began`. Takes the lease's headers and body.
    pub(crate) async fn perform(&self, lease: &mut Lease, began: Instant) -> Performed {
        let mut trace = Trace::default();
        let (fact, reusable) = match self.attempt(lease, began, &mut trace).await {
            Ok((answer, reusable)) => (Fact::Answer(answer), reusable),
            Err(failure) => (Fact::Error(outcome::reported(failure).into()), None),
        };
        let mut trace = Box::new(trace.report(clock::now()));
        if !is_success(&fact) {
            trace.url = std::mem::take(&mut lease.url);
        }
        Performed {
            fact,
            trace,
            reusable,
        }
    }

    /// What it may deliver to.
    pub(crate) fn policy(&self) -> &Policy {
        self.dialer.resolver().policy()
    }

    /// Closes connections that nobody used for a while.
    pub(crate) fn sweep(&self, now: Instant) {
        self.pool.sweep(now);
    }

    async fn attempt(
        &self,
        lease: &mut Lease,
        began: Instant,
        trace: &mut Trace,
    ) -> Result<(HttpAnswer, Option<Reusable>), Failure> {
        let endpoint = self.endpoint(lease)?;
        let secrets = Secrets::of(lease);
        let request = request(lease)?;
        let connect_limit = Duration::from_millis(lease.connect_timeout_ms.into());
        let deadline = began + Duration::from_millis(lease.timeout_ms.into());
        let exchange = self.exchange(&endpoint, request, (connect_limit, began), trace);
        let exchanged = timeout_at(deadline, exchange).await;
        let (response, connection) = match exchanged {
            Ok(exchanged) => exchanged?,
            Err(_) => return Err(trace.timed_out()),
        };
        trace.leave(clock::now());
        trace.answered(response.version());

        let mut answer = answer::read_head(&response)?;
        let is_ambiguous = answer::is_ambiguous(response.headers());
        let is_encoded = answer::is_encoded(response.headers());
        let excerpt = read_body(response.into_body(), deadline).await;
        connection.came_further();
        let complete = excerpt.complete && !is_ambiguous;
        if !is_encoded {
            answer.excerpt = excerpt.without(&secrets);
        }
        let reusable = complete.then_some(Reusable {
            endpoint,
            connection,
        });
        Ok((answer, reusable))
    }

    fn endpoint(&self, lease: &Lease) -> Result<Arc<Endpoint>, Failure> {
        let (id, version) = (&lease.endpoint_id, lease.endpoint_version);
        let endpoint = self.pool.endpoint(id, version, &lease.url, self.policy());
        endpoint.map_err(|error| {
            debug!(endpoint_id = id, %error, "target refused");
            match error {
                EndpointError::Target(_) => Failure::TargetNotAllowed,
                EndpointError::Uri => Failure::ProtocolError,
            }
        })
    }

    /// Sends the request over kept connections until one takes it, or else over a new one.
    async fn exchange(
        &self,
        endpoint: &Endpoint,
        mut request: Outgoing,
        (connect_limit, now): (Duration, Instant),
        trace: &mut Trace,
    ) -> Result<(http::Response<Incoming>, Connection), Failure> {
        while let Some(mut kept) = endpoint.take(now) {
            trace.reach(kept.peer());
            trace.enter(Phase::Answer, clock::now());
            match send(&mut kept, endpoint, request).await {
                Ok(response) => {
                    self.metrics.pool_hits.inc();
                    return Ok((response, kept));
                }
                Err(SendError::Unsent(unsent, _)) => request = *unsent,
                Err(SendError::Failed(failure)) => return Err(failure),
            }
        }
        // In a box of its own, since most attempts have no need of it, and its state is large.
        let opening = self.dialer.open(endpoint.target(), connect_limit, trace);
        let mut opened = Box::pin(opening).await?;
        self.metrics.connections_opened.inc();
        if let Connection::Http2(shared) = &opened {
            endpoint.share(shared, now);
        }
        trace.enter(Phase::Answer, clock::now());
        match send(&mut opened, endpoint, request).await {
            Ok(response) => Ok((response, opened)),
            Err(SendError::Unsent(_, failure) | SendError::Failed(failure)) => Err(failure),
        }
    }
}

impl Reusable {
    /// Keeps the connection for the next lease, once it is ready for one.
    pub(crate) async fn keep(self) {
        // A connection of HTTP/2 is in the pool while it is used.
        if let Connection::Http1(mut connection) = self.connection
            && connection.is_reusable().await
        {
            self.endpoint.keep(connection, clock::now());
        }
    }
}

fn is_success(fact: &Fact) -> bool {
    matches!(fact, Fact::Answer(answer) if (200..300).contains(&answer.status_code))
}

/// Sends the request in the form of the connection's protocol.
async fn send(
    connection: &mut Connection,
    endpoint: &Endpoint,
    mut request: Outgoing,
) -> Result<http::Response<Incoming>, SendError> {
    match connection {
        Connection::Http1(connection) => {
            *request.uri_mut() = endpoint.origin_form();
            request.headers_mut().insert(header::HOST, endpoint.host());
            connection.send(request).await
        }
        Connection::Http2(connection) => {
            *request.uri_mut() = endpoint.absolute_form();
            request.headers_mut().remove(header::HOST);
            let mut doubt = Doubt::new(endpoint, connection);
            let sent = connection.send(request).await;
            doubt.answered = sent.is_ok();
            sent
        }
    }
}

/// Takes a shared connection out of the pool unless it answers: after a failure or a timeout it may be dead.
struct Doubt<'a> {
    endpoint: &'a Endpoint,
    connection: Http2,
    answered: bool,
}

impl<'a> Doubt<'a> {
    fn new(endpoint: &'a Endpoint, connection: &Http2) -> Self {
        Self {
            endpoint,
            connection: connection.clone(),
            answered: false,
        }
    }
}

impl Drop for Doubt<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.endpoint.discard(&self.connection);
        }
    }
}

/// What can be read of the body.
async fn read_body(mut body: Incoming, deadline: Instant) -> Excerpt {
    let mut excerpt = Excerpt::default();
    // Whether the body ended, broke or was too slow: the head has decided.
    let _late = timeout_at(deadline, excerpt.read(&mut body)).await;
    excerpt
}
