//! The frame of a call: gRPC over POST.
//!
//! tonic serves a request of any method and content type. They are refused here with HTTP status 405 and 415. Calls are
//! counted too, so that a drain knows when the last one has its answer.
//! <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>

use std::{
    future::{Ready, ready},
    task::{Context, Poll},
};

use http::{Method, Request, Response, StatusCode, header::CONTENT_TYPE};
use tokio_util::{
    either::Either,
    task::{TaskTracker, task_tracker::TrackedFuture},
};
use tonic::body::Body;
use tower::{Layer, Service};

const CONTENT_TYPES: [&str; 2] = ["application/grpc", "application/grpc+proto"];

/// Refuses what is no gRPC call.
#[derive(Debug, Clone, Default)]
pub(crate) struct FramingLayer {
    calls: TaskTracker,
}

impl FramingLayer {
    /// A layer that counts the calls under way in `calls`.
    pub(crate) fn new(calls: TaskTracker) -> Self {
        Self { calls }
    }
}

/// The service that [`FramingLayer`] makes.
#[derive(Debug, Clone)]
pub(crate) struct Framing<S> {
    inner: S,
    calls: TaskTracker,
}

impl<S> Layer<S> for FramingLayer {
    type Service = Framing<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Framing {
            inner,
            calls: self.calls.clone(),
        }
    }
}

impl<S> Service<Request<Body>> for Framing<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Either<TrackedFuture<S::Future>, Ready<Result<S::Response, S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if let Err(status) = check(&request) {
            let mut refused = Response::new(Body::empty());
            *refused.status_mut() = status;
            return Either::Right(ready(Ok(refused)));
        }
        let call = self.inner.call(request);
        Either::Left(self.calls.track_future(call))
    }
}

/// Whether a request is a gRPC call at all.
fn check(request: &Request<Body>) -> Result<(), StatusCode> {
    if request.method() != Method::POST {
        return Err(StatusCode::METHOD_NOT_ALLOWED);
    }
    let content_type = request.headers().get(CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok());
    let essence = content_type.and_then(|value| value.split(';').next());
    if essence.is_some_and(|essence| CONTENT_TYPES.contains(&essence.trim())) {
        Ok(())
    } else {
        Err(StatusCode::UNSUPPORTED_MEDIA_TYPE)
    }
}
