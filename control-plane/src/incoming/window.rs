//! HTTP/2's flow control: what a peer may send before anybody reads it, which an HTTP/2 library keeps.
//!
//! A plain call reads at once, so only what streams are made to wait with is kept: that many bytes for each of them.

/// The window of a stream, in bytes.
pub(crate) const STREAM_BYTES: u32 = 512 * 1_024;
/// The window of a connection, in bytes.
pub(crate) const CONNECTION_BYTES: u32 = 2 * 1_024 * 1_024;
