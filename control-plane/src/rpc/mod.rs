//! The gRPC services, thin, and what every call passes through before it reaches one.

pub(crate) mod access;
mod api_key;
mod blind;
mod consume;
mod convert;
mod delivery;
mod endpoint;
mod event;
mod event_type;
mod framing;
mod inbound;
mod mutation;
mod new_event;
mod node;
mod page;
mod source;
mod tenant;
mod time_range;
mod unary;

pub(crate) use access::{AccessLayer, Caller};
pub(crate) use api_key::ApiKeys;
pub(crate) use blind::blind;
pub(crate) use consume::Consumers;
pub(crate) use delivery::Deliveries;
pub(crate) use endpoint::Endpoints;
pub(crate) use event::Events;
pub(crate) use event_type::EventTypes;
pub(crate) use framing::FramingLayer;
pub(crate) use inbound::Inbounds;
pub(crate) use mutation::{Begun, Call, Mutation, REMEMBERED_MS};
pub(crate) use node::Nodes;
pub(crate) use page::{Page, QueryFingerprint};
pub(crate) use source::Sources;
pub(crate) use tenant::Tenants;
pub(crate) use unary::{UnaryLayer, decode_status};
