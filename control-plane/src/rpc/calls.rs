//! How many calls there may be at one time: of a key, of a tenant, and of all; and what their messages may take.
//!
//! A call has a place of its class until it has ended and its answer is sent, also a change whose caller has gone: it
//! goes on to its end, so that what is committed is also published. A call that reads ends with its caller. Who finds no
//! place is told so, except that a bounded number waits for a short while. Emits and streams hear it at once; other calls
//! after a moment, so that a caller who tries again without a pause costs others little. Revocation takes no place that another
//! kind of call could take, and health none of a key's.

pub(super) mod claim;
mod shares;

use std::{
    convert::Infallible,
    future::ready,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response};
use tokio::time::timeout;
use tonic::{Status, body::Body};
use tower::{Layer, Service, ServiceExt as _};

use self::claim::{Claim, Places, Room};
pub(crate) use self::shares::Shares;
use super::{
    Caller,
    access::{Class, Kind, kind},
    message::{Messages, Paid},
};
use crate::{config::Limits, error::Error, incoming::Peer, metrics::GrpcMetrics};

/// How the messages of a call are compressed that are.
const GRPC_ENCODING: &str = "grpc-encoding";

/// Gives each call its place.
#[derive(Debug, Clone)]
pub(crate) struct CallsLayer {
    room: Arc<Room>,
}

/// The service that [`CallsLayer`] makes.
#[derive(Debug, Clone)]
pub(crate) struct Calls<S> {
    inner: S,
    room: Arc<Room>,
}

/// The places of a call. Dropping them gives them back.
#[derive(Debug)]
pub(crate) struct Permit {
    _places: Places,
    /// What its message takes, as long as it is needed.
    _paid: Paid,
}

/// How long a change may take: more than any does, as long as the database answers.
pub(crate) const CHANGE_WITHIN: Duration = Duration::from_mins(1);

type Answering = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

impl CallsLayer {
    /// A layer with these limits.
    pub(crate) fn new(limits: &Limits, metrics: GrpcMetrics) -> Self {
        Self {
            room: Arc::new(Room::new(limits, metrics)),
        }
    }
}

impl<S> Layer<S> for CallsLayer {
    type Service = Calls<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Calls {
            inner,
            room: self.room.clone(),
        }
    }
}

impl<S> Service<Request<Body>> for Calls<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Some(kind) = kind(request.uri().path()) else {
            return Box::pin(self.inner.call(request));
        };
        let Some(peer) = request.extensions().get::<Arc<Peer>>().cloned() else {
            let bug = Error::Internal("a call came over no connection".into());
            return Box::pin(ready(Ok(Status::from(bug).into_http())));
        };
        let caller = request.extensions().get::<Caller>();
        let claim = Claim::new(&self.room, peer, caller, kind);
        let (request, paid) = framed(request, &claim);
        if let Ok(places) = claim.try_take() {
            let permit = Permit {
                _places: places,
                _paid: paid,
            };
            return run(self.inner.call(request), permit, kind);
        }
        let inner = self.inner.clone();
        Box::pin(async move {
            match claim.take().await {
                Ok(places) => {
                    let permit = Permit {
                        _places: places,
                        _paid: paid,
                    };
                    run(inner.oneshot(request), permit, kind).await
                }
                Err(short) => Ok(claim.refused(short).into_http()),
            }
        })
    }
}

/// Frames the messages of a call: they are paid for before they are kept.
fn framed(mut request: Request<Body>, claim: &Claim) -> (Request<Body>, Paid) {
    let paid = Paid::default();
    let shape = claim.shape(request.uri().path());
    let takes_gzip = takes_gzip(&mut request);
    let mut request = request.map(|body| {
        let messages = Messages::new(body, claim.clone(), shape, paid.clone(), takes_gzip);
        Body::new(messages)
    });
    if !claim.kind().takes_one {
        request.extensions_mut().insert(paid.clone());
    }
    (request, paid)
}

/// Whether what the caller compresses is gzip. Then its messages are unpacked here, and those behind see plain ones.
fn takes_gzip(request: &mut Request<Body>) -> bool {
    let headers = request.headers_mut();
    let is_gzip = headers
        .get(GRPC_ENCODING)
        .is_some_and(|coding| coding == "gzip");
    if is_gzip {
        headers.remove(GRPC_ENCODING);
    }
    is_gzip
}

/// Runs a call with its places.
fn run(
    call: impl Future<Output = Result<Response<Body>, Infallible>> + Send + 'static,
    permit: Permit,
    kind: &Kind,
) -> Answering {
    match kind.class {
        // Its answer is short: the places come back with it.
        Class::Emit => Box::pin(async move {
            let response = call.await;
            drop(permit);
            response
        }),
        Class::Change | Class::Vital => Box::pin(detached(held(call, permit))),
        _ => Box::pin(held(call, permit)),
    }
}

/// The places come back when the answer is sent.
async fn held(
    call: impl Future<Output = Result<Response<Body>, Infallible>>,
    permit: Permit,
) -> Result<Response<Body>, Infallible> {
    let mut response = call.await?;
    response.extensions_mut().insert(Arc::new(permit));
    Ok(response)
}

/// Runs a call to its end, even when nobody waits for it any more, but not for ever.
async fn detached(
    call: impl Future<Output = Result<Response<Body>, Infallible>> + Send + 'static,
) -> Result<Response<Body>, Infallible> {
    match tokio::spawn(timeout(CHANGE_WITHIN, call)).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => {
            let late = "the change did not end in time, and whether it was made is not known: look, or repeat the call";
            Ok(Status::from(Error::Unavailable(late.to_owned())).into_http())
        }
        Err(panic) => Ok(Status::from(Error::Internal(Box::new(panic))).into_http()),
    }
}

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;
