//! What a request is verified against.

use crate::{Fetched, Request, Secret};

/// A request and what it is verified against.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The request.
    pub request: &'a Request<'a>,
    /// The source's secrets, the current one first. The first ten are tried.
    pub secrets: &'a [Secret],
    /// The remote keys that were fetched for [`crate::Verifier::key_request`].
    pub fetched: &'a [Fetched],
    /// When the request was received, in milliseconds since 1970.
    pub now_ms: i64,
}
