//! The order in which locks may be taken: by rising rank.

pub(crate) use posthorn_locks::{Leaf, Lock};

/// The endpoints that have connections.
pub(crate) const ENDPOINTS: u8 = 0;
/// The connections that one of them keeps.
pub(crate) const KEPT: u8 = 1;
/// What is under way of what providers post.
pub(crate) const BOOK: u8 = 10;
