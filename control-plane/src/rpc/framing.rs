//! The frame of a call: gRPC over POST, and one message in a call that takes one.
//!
//! tonic serves a request of any method and content type, lets what follows the first message of a plain call pass
//! unread, and waits for that message as long as its sender likes. The first two are refused here with HTTP status 405
//! and 415, the third with `INVALID_ARGUMENT`, and a message must be there within 10 s. Calls are counted too, so that a
//! drain knows when the last one has its answer.
//! <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>

use std::{
    future::{Ready, ready},
    pin::Pin,
    task::{Context, Poll, ready as poll_ready},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body::Frame;
use tokio::time::Sleep;
use tokio_util::{
    either::Either,
    task::{TaskTracker, task_tracker::TrackedFuture},
};
use tonic::{Status, body::Body};
use tower::{Layer, Service};

use super::access::is_unary;
use crate::error::Error;

/// The length of what stands before each message: a flag, and the message's length.
const PREFIX_BYTES: usize = 5;
const CONTENT_TYPES: [&str; 2] = ["application/grpc", "application/grpc+proto"];
/// How long the message of a plain call may take to arrive.
const MESSAGE_WITHIN: Duration = Duration::from_secs(10);

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
        let request = if is_unary(request.uri().path()) {
            request.map(|body| Body::new(OneMessage::new(body)))
        } else {
            request
        };
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

/// A body that may hold one message.
struct OneMessage {
    body: Body,
    frame: FrameState,
    deadline: Pin<Box<Sleep>>,
}

/// How far the message has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FrameState {
    /// So many bytes of its prefix are there, with the length as far as it is known.
    Prefix(usize, u32),
    /// So many of its bytes are missing.
    Message(usize),
}

impl OneMessage {
    fn new(body: Body) -> Self {
        Self {
            body,
            frame: FrameState::Prefix(0, 0),
            deadline: Box::pin(tokio::time::sleep(MESSAGE_WITHIN)),
        }
    }
}

impl FrameState {
    /// Takes more bytes. None: there are more than the message has.
    fn take(self, bytes: &[u8]) -> Option<Self> {
        let Some((first, rest)) = bytes.split_first() else {
            return Some(self);
        };
        match self {
            Self::Message(missing) => missing.checked_sub(bytes.len()).map(Self::Message),
            // The flag that says whether the message is compressed.
            Self::Prefix(0, _) => Self::Prefix(1, 0).take(rest),
            Self::Prefix(have, length) => {
                let length = length << 8 | u32::from(*first);
                let next = if have + 1 == PREFIX_BYTES {
                    Self::Message(usize::try_from(length).unwrap_or(usize::MAX))
                } else {
                    Self::Prefix(have + 1, length)
                };
                next.take(rest)
            }
        }
    }
}

impl http_body::Body for OneMessage {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Poll::Ready(polled) = Pin::new(&mut self.body).poll_frame(context) else {
            poll_ready!(self.deadline.as_mut().poll(context));
            let status = Status::deadline_exceeded("the message did not arrive within 10 s");
            return Poll::Ready(Some(Err(status)));
        };
        if let Some(Ok(frame)) = &polled
            && let Some(data) = frame.data_ref()
        {
            let Some(state) = self.frame.take(data) else {
                let status = Error::invalid("", "this call takes one message").into();
                return Poll::Ready(Some(Err(status)));
            };
            self.frame = state;
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: FrameState = FrameState::Prefix(0, 0);

    #[test]
    fn one_message_passes_however_it_is_cut() {
        let message = [0, 0, 0, 0, 3, b'a', b'b', b'c'];
        for cut in 0..=message.len() {
            let (first, rest) = message.split_at(cut);
            let state = START.take(first).and_then(|state| state.take(rest));
            assert_eq!(state, Some(FrameState::Message(0)), "{cut}");
        }
    }

    #[test]
    fn what_follows_the_message_is_refused() {
        assert_eq!(START.take(&[0, 0, 0, 0, 1, b'a', 0]), None);
        assert_eq!(START.take(&[0, 0, 0, 0, 0, 0]), None);
    }

    #[test]
    fn a_message_that_is_cut_off_is_left_to_the_decoder() {
        assert_eq!(START.take(&[0, 0, 0]), Some(FrameState::Prefix(3, 0)));
        assert_eq!(START.take(&[1, 0, 0, 1, 0]), Some(FrameState::Message(256)));
    }
}
