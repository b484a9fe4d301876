//! The nouns: values that are valid by construction. Pure; one file each, named as in every other layer.

pub(crate) mod api_key;
pub(crate) mod audit;
pub(crate) mod claim;
pub(crate) mod column;
pub(crate) mod delivery;
pub(crate) mod endpoint;
pub(crate) mod event;
pub(crate) mod event_type;
pub(crate) mod id;
pub(crate) mod inbound;
pub(crate) mod lease;
pub(crate) mod object;
pub(crate) mod secret;
pub(crate) mod shard;
pub(crate) mod source;
pub(crate) mod subscription;
pub(crate) mod tenant;
