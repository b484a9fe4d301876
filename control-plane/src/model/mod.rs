//! The nouns: values that are valid by construction. Pure; one file each, named as in every other layer.

pub mod api_key;
pub mod delivery;
pub mod endpoint;
pub mod event;
pub mod event_type;
pub mod id;
pub mod secret;
pub mod subscription;
pub mod tenant;
