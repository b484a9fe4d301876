//! The body of a request, as either version of HTTP gives it.

use bytes::Bytes;

/// A body that is read as it is asked for, so that one that nobody asks for stays unread.
pub(crate) trait Body: Send {
    /// The next bytes, never none; nothing at the end.
    fn next(&mut self) -> impl Future<Output = Result<Option<Bytes>, Fault>> + Send;
}

/// Why a body does not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The client went.
    Gone,
    /// It is not written as HTTP has it.
    Malformed,
}
