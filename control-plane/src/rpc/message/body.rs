//! The bytes of a request's body.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::Frame;
use tonic::{Status, body::Body};

/// The next data of a body. What follows data in a request says nothing here.
pub(super) fn poll_data(
    body: &mut Body,
    context: &mut Context<'_>,
) -> Poll<Option<Result<Bytes, Status>>> {
    loop {
        let frame = ready!(http_body::Body::poll_frame(Pin::new(&mut *body), context));
        match frame.map(|frame| frame.map(Frame::into_data)) {
            Some(Ok(Ok(data))) => return Poll::Ready(Some(Ok(data))),
            Some(Ok(Err(_))) => {}
            Some(Err(status)) => return Poll::Ready(Some(Err(status))),
            None => return Poll::Ready(None),
        }
    }
}
