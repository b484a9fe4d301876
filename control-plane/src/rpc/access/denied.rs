//! Calls that are denied, for the record: by the layer itself, by a service, or amid a stream.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Frame, SizeHint};
use tonic::{Code, Status, body::Body};

use super::Caller;
use crate::audit::{Denial, Denials};

/// A call of a known caller, which may be denied yet.
#[derive(Debug)]
pub(super) struct Watched {
    denials: Denials,
    caller: Caller,
    method: &'static str,
}

impl Watched {
    pub(super) fn new(denials: &Denials, caller: &Caller, method: &'static str) -> Self {
        Self {
            denials: denials.clone(),
            caller: caller.clone(),
            method,
        }
    }

    /// Notes that it is denied.
    pub(super) fn denied(&self, reason: &str) {
        let denial = Denial {
            tenant_id: self.caller.tenant_id(),
            key_id: self.caller.key_id(),
            actor: self.caller.actor(),
            method: self.method,
            reason: reason.to_owned(),
        };
        self.denials.note(denial);
    }

    /// Looks at the status that the call ended with.
    fn look(&self, headers: &HeaderMap) {
        let status = Status::from_header_map(headers);
        if let Some(status) = status.filter(|status| status.code() == Code::PermissionDenied) {
            self.denied(status.message());
        }
    }

    /// Looks at an answer, and at the end of the stream that it may have.
    pub(super) fn answer(self, answer: Response<Body>, is_stream: bool) -> Response<Body> {
        self.look(answer.headers());
        if !is_stream {
            return answer;
        }
        answer.map(|body| {
            Body::new(Stream {
                body,
                watched: self,
            })
        })
    }
}

/// The body of an answer that says how it ended in its trailers.
struct Stream {
    body: Body,
    watched: Watched,
}

impl http_body::Body for Stream {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(trailers) = frame.trailers_ref()
        {
            self.watched.look(trailers);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
