//! What people look at: pages of long tables, and how much one read may look at.

pub(super) mod delivery_view;
pub(super) mod inbound_view;
pub(super) mod reading;
pub(super) mod scan;
