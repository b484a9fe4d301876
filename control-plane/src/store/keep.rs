//! What keeps a database fit: room for what comes, an end of what is old, and whether it takes writes.

pub(super) mod durability;
pub(super) mod heartbeat;
pub(super) mod inbound_retire;
pub(super) mod partition;
