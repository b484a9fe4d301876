//! The gRPC services, thin, and what every call passes through before it reaches one.

/// The trait of a service: its plain calls by table, each with the method that makes it, and what is no plain call as it is.
macro_rules! serves {
    ($service:ident for $server:ty {
        $($rpc:ident => $method:ident($request:ident) -> $response:ident;)*
    } $(with { $($other:tt)* })?) => {
        #[tonic::async_trait]
        impl $service for $server {
            $(
                async fn $rpc(
                    &self,
                    request: tonic::Request<posthorn::v1::$request>,
                ) -> Result<tonic::Response<posthorn::v1::$response>, tonic::Status> {
                    let caller = $crate::rpc::Caller::of(&request)?;
                    let answer = self.$method(&caller, request.into_inner()).await?;
                    Ok(tonic::Response::new(answer))
                }
            )*
            $($($other)*)?
        }
    };
}

pub(crate) mod access;
mod admin;
mod api_key;
mod audit;
mod blind;
mod calls;
mod consume;
mod convert;
mod delivery;
mod endpoint;
mod event;
mod event_type;
mod framing;
mod inbound;
mod message;
mod mutate;
mod new_event;
mod node;
mod object;
mod page;
mod reach;
mod source;
mod tenant;
mod time_range;
mod unary;

pub(crate) use access::{AccessLayer, Caller};
pub(crate) use admin::Admin;
pub(crate) use api_key::ApiKeys;
pub(crate) use audit::Audits;
pub(crate) use blind::blind;
pub(crate) use calls::{CallsLayer, Permit, Shares};
pub(crate) use consume::Consumers;
pub(crate) use delivery::Deliveries;
pub(crate) use endpoint::Endpoints;
pub(crate) use event::Events;
pub(crate) use event_type::EventTypes;
pub(crate) use framing::FramingLayer;
pub(crate) use inbound::Inbounds;
pub(crate) use mutate::{Call, Made, Mutations, REMEMBERED_MS};
pub(crate) use node::Nodes;
pub(crate) use page::{Page, QueryFingerprint};
pub(crate) use source::Sources;
pub(crate) use tenant::Tenants;
pub(crate) use unary::{UnaryLayer, decode_status};
