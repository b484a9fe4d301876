//! The gRPC services, thin, and what every call passes through before it reaches one.

pub mod access;
mod api_key;
mod convert;
mod delivery;
mod event;
mod endpoint;
mod event_type;
mod framing;
mod mutation;
mod new_event;
mod node;
mod page;
mod tenant;
mod time_range;
mod unary;

pub use access::{AccessLayer, Caller};
pub use framing::FramingLayer;
pub use mutation::{Begun, Call, Mutation, REMEMBERED_MS};
pub use page::{Page, QueryFingerprint};
pub use unary::{UnaryLayer, decode_status};
pub use api_key::ApiKeys;
pub use delivery::Deliveries;
pub use endpoint::Endpoints;
pub use event::Events;
pub use event_type::EventTypes;
pub use node::Nodes;
pub use tenant::Tenants;
