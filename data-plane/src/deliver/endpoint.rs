//! One version of an endpoint, and the connections that are kept for it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{HeaderValue, Uri};
use posthorn_guard::{Policy, Target, TargetError};
use tokio::time::Instant;

use super::connection::{Connection, Http1, Http2};
use crate::lock::{KEPT, Lock};

/// How long a connection is kept without use.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// How many idle connections are kept for one endpoint.
const IDLE_PER_ENDPOINT_MAX: usize = 256;
/// How many HTTP/2 connections are kept for one endpoint; each carries many requests.
const HTTP2_PER_ENDPOINT_MAX: usize = 16;

/// One version of an endpoint: what its URL says, and its connections.
pub(crate) struct Endpoint {
    version: u64,
    url: String,
    target: Target,
    origin_form: Uri,
    absolute_form: Uri,
    host: HeaderValue,
    /// False when a newer version took its place: nothing is kept for it any more.
    current: AtomicBool,
    kept: Lock<Kept, KEPT>,
    idle: Arc<AtomicUsize>,
    idle_max: usize,
}

/// Why a URL leads nowhere.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EndpointError {
    /// The guard refuses what is written.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The guard's parser takes it and the HTTP library does not.
    #[error("not a URI")]
    Uri,
}

#[derive(Default)]
struct Kept {
    /// Least recently used first.
    http1: Vec<Idle>,
    http2: Vec<(Http2, Instant)>,
}

struct Idle {
    connection: Http1,
    since: Instant,
    _place: Place,
}

/// One of the pool's places for idle connections.
struct Place(Arc<AtomicUsize>);

impl Endpoint {
    /// A version of an endpoint that keeps nothing yet. `idle` counts the pool's idle connections.
    pub(super) fn new(
        version: u64,
        url: &str,
        policy: &Policy,
        idle: Arc<AtomicUsize>,
        idle_max: usize,
    ) -> Result<Self, EndpointError> {
        let target = Target::parse(url, policy)?;
        let uri = |text: &str| text.parse::<Uri>().map_err(|_| EndpointError::Uri);
        Ok(Self {
            version,
            url: url.to_owned(),
            origin_form: uri(target.path_and_query())?,
            absolute_form: uri(target.as_str())?,
            host: HeaderValue::try_from(target.authority()).map_err(|_| EndpointError::Uri)?,
            target,
            current: AtomicBool::new(true),
            kept: Lock::default(),
            idle,
            idle_max,
        })
    }

    /// Whether it is this version with this URL.
    pub(super) fn is(&self, version: u64, url: &str) -> bool {
        self.version == version && self.url == url
    }

    /// Whether it is newer than the version.
    pub(super) fn is_newer_than(&self, version: u64) -> bool {
        self.version > version
    }

    /// Where it is.
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// The request's target in HTTP/1.1.
    pub(crate) fn origin_form(&self) -> Uri {
        self.origin_form.clone()
    }

    /// The request's target in HTTP/2.
    pub(crate) fn absolute_form(&self) -> Uri {
        self.absolute_form.clone()
    }

    /// The `host` header.
    pub(crate) fn host(&self) -> HeaderValue {
        self.host.clone()
    }

    /// A kept connection, the most recently used first.
    pub(crate) fn take(&self, now: Instant) -> Option<Connection> {
        let mut kept = self.kept.lock();
        if let Some((shared, used)) = kept.http2.iter_mut().find(|(shared, _)| shared.has_room()) {
            *used = now;
            return Some(Connection::Http2(shared.clone()));
        }
        while let Some(idle) = kept.http1.pop() {
            if !idle.connection.is_closed() {
                return Some(Connection::Http1(idle.connection));
            }
        }
        None
    }

    /// Keeps a connection that is ready for its next request, or closes it.
    pub(crate) fn keep(&self, connection: Http1, now: Instant) {
        if !self.current.load(Ordering::Acquire) {
            return;
        }
        let Some(place) = Place::take(&self.idle, self.idle_max) else {
            return;
        };
        let mut kept = self.kept.lock();
        if kept.http1.len() < IDLE_PER_ENDPOINT_MAX {
            kept.http1.push(Idle {
                connection,
                since: now,
                _place: place,
            });
        }
    }

    /// Lets other requests use the connection as well.
    pub(crate) fn share(&self, connection: &Http2, now: Instant) {
        let mut kept = self.kept.lock();
        let room = kept.http2.len() < HTTP2_PER_ENDPOINT_MAX;
        if room && self.current.load(Ordering::Acquire) {
            kept.http2.push((connection.clone(), now));
        }
    }

    /// Lets no other request use the connection: it failed, or may be dead.
    pub(crate) fn discard(&self, connection: &Http2) {
        let mut kept = self.kept.lock();
        kept.http2.retain(|(shared, _)| !shared.is_same(connection));
    }

    /// Keeps nothing any more.
    pub(super) fn retire(&self) {
        self.current.store(false, Ordering::Release);
        *self.kept.lock() = Kept::default();
    }

    /// Closes what was idle for too long. Whether anything is left.
    pub(super) fn sweep(&self, now: Instant) -> bool {
        let mut kept = self.kept.lock();
        let fresh = |since: Instant| now.saturating_duration_since(since) < IDLE_MAX;
        kept.http1
            .retain(|idle| fresh(idle.since) && !idle.connection.is_closed());
        kept.http2
            .retain(|(shared, used)| fresh(*used) && !shared.is_closed());
        !kept.http1.is_empty() || !kept.http2.is_empty()
    }
}

impl Place {
    fn take(taken: &Arc<AtomicUsize>, max: usize) -> Option<Self> {
        let place = Self(taken.clone());
        // Dropping the place gives it back.
        let before = taken.fetch_add(1, Ordering::Relaxed);
        (before < max).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
