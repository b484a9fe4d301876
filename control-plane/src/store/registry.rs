//! The registry: small tables that change by hand.

pub(super) mod api_key;
pub(super) mod change;
pub(super) mod event_type;
pub(super) mod object;
pub(super) mod secret;
pub(super) mod tenant;
