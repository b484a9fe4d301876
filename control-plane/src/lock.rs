//! The order in which locks may be taken: by rising rank.

pub(crate) use posthorn_locks::{Leaf, Lock, Locked};

/// Who publishes in the registry.
pub(crate) const REGISTRY: u8 = 0;
/// What waits to be published.
pub(crate) const PENDING: u8 = 1;
/// Places that are reserved.
pub(crate) const RESERVED: u8 = 2;
/// Keys of providers by address.
pub(crate) const KEYS: u8 = 20;
/// One of them.
pub(crate) const KEY: u8 = 21;
