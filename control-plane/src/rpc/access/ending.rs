//! Streams that are not ours, and end with their key all the same: those of reflection.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use tonic::{Status, body::Body};

use crate::{clock::Clock, error::Error, registry::KeyEntry};

/// The body of an answer that breaks off, with a status that says so, when the caller's key stops working.
pub(super) struct Ending {
    body: Body,
    /// None: it has ended.
    key_end: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Ending {
    /// The body, as long as the key works.
    pub(super) fn with(body: Body, key: Arc<KeyEntry>, clock: Clock) -> Body {
        Body::new(Self {
            body,
            key_end: Some(Box::pin(async move { key.ended(&clock).await })),
        })
    }
}

impl http_body::Body for Ending {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(key_end) = &mut self.key_end else {
            return Poll::Ready(None);
        };
        if key_end.as_mut().poll(context).is_pending() {
            return Pin::new(&mut self.body).poll_frame(context);
        }
        self.key_end = None;
        // What the service would have said goes with it.
        self.body = Body::empty();
        let mut trailers = HeaderMap::new();
        let status = Status::from(Error::Unauthenticated);
        Poll::Ready(Some(
            status
                .add_header(&mut trailers)
                .map(|()| Frame::trailers(trailers)),
        ))
    }

    fn is_end_stream(&self) -> bool {
        self.key_end.is_none() || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::{
        model::{
            api_key::{ApiKey, KeyHash, Roles},
            id::KeyId,
        },
        registry::fixture,
    };

    #[tokio::test]
    async fn a_body_breaks_off_when_its_key_ends() {
        let key = ApiKey {
            id: KeyId::from_uuid(uuid::Uuid::from_u128(1)),
            tenant_id: None,
            name: String::new(),
            roles: Roles::default(),
            created_at: 1,
            expires_at: None,
            revoked_at: None,
            hash: KeyHash::of(""),
        };
        let id = key.id;
        let entry = Arc::clone(fixture::registry([], [key]).key(id).unwrap());
        let endless = http_body_util::StreamBody::new(tokio_stream::pending::<
            Result<Frame<Bytes>, Status>,
        >());
        let mut body = Ending::with(Body::new(endless), Arc::clone(&entry), Clock::system());
        let (frame, ()) = tokio::join!(body.frame(), async { entry.end() });
        let trailers = frame.unwrap().unwrap().into_trailers().unwrap();
        assert_eq!(trailers["grpc-status"], "16");
        assert!(body.frame().await.is_none());
    }
}
