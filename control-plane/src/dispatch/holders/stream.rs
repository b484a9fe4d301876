//! What the long streams of nodes and of consumers have in common: how they begin, and what ends them all.

use std::time::Duration;

use tokio_stream::{Stream, StreamExt as _};
use tonic::Status;

use crate::{dispatch::Dispatch, error::Error, model::id::KeyId};

/// How long the other side may take to say hello.
const HELLO_WITHIN: Duration = Duration::from_secs(5);
/// How often it is checked that what a stream needs is still there.
pub(super) const CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// The first message of a stream, unless it takes too long. None: the stream ended without one.
pub(crate) async fn first<T>(
    stream: &mut (impl Stream<Item = Result<T, Status>> + Unpin),
) -> Result<Option<T>, Status> {
    let first = tokio::time::timeout(HELLO_WITHIN, stream.next());
    let first = first
        .await
        .map_err(|_| Status::deadline_exceeded("no hello within 5 s"))?;
    first.transpose()
}

/// What a stream ends with that did not begin with a hello.
pub(crate) fn no_hello() -> Status {
    Error::invalid("message", "the first message must be a hello").into()
}

/// What a stream ends with that has a second hello.
pub(crate) fn second_hello() -> Status {
    Error::invalid("message", "hello must be the first message and only that").into()
}

/// What a stream ends with when its holder opens another.
pub(super) fn replaced() -> Status {
    Status::aborted("the node opened another session")
}

/// What streams end with when the process does.
pub(crate) fn shutting_down() -> Status {
    Error::Unavailable("the control plane shuts down".to_owned()).into()
}

/// Waits until the key of a stream stops working, and returns what the stream ends with.
pub(crate) async fn key_end(dispatch: &Dispatch, key_id: KeyId) -> Status {
    let key = dispatch.0.core.registry.snapshot().key(key_id).cloned();
    if let Some(key) = key {
        key.ended(&dispatch.0.core.clock).await;
    }
    Error::Unauthenticated.into()
}
