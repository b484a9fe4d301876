//! The name of a request that the edge itself answers, for whoever looks for it in the node's log.
//!
//! What the control plane answers has the id of its record; the edge gives a name to what has none.

use std::fmt;

use http::HeaderName;
use rand::rngs::SmallRng;

use crate::{clock, lock::Leaf, node_id};

/// The header of every answer.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("posthorn-request-id");

/// Makes names.
pub(super) struct RequestIds(Leaf<SmallRng>);

impl RequestIds {
    /// Names drawn from this generator.
    pub(super) fn new(rng: SmallRng) -> Self {
        Self(Leaf::new(rng))
    }

    /// `edge_` and 26 characters.
    pub(super) fn next(&self) -> RequestId {
        let id = node_id::id("edge", clock::unix_ms(), &mut *self.0.lock());
        RequestId(id)
    }
}

/// A name.
#[derive(Debug, Clone)]
pub(super) struct RequestId(pub(super) String);

impl RequestId {
    /// Its text.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
