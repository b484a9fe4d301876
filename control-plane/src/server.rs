//! The gRPC server: every service, and the layers that each call passes through.

use std::time::Duration;

use posthorn::v1::{
    FILE_DESCRIPTOR_SET, api_key_service_server::ApiKeyServiceServer,
    delivery_service_server::DeliveryServiceServer, endpoint_service_server::EndpointServiceServer,
    event_service_server::EventServiceServer, event_type_service_server::EventTypeServiceServer,
    inbound_service_server::InboundServiceServer, node_service_server::NodeServiceServer,
    source_service_server::SourceServiceServer, tenant_service_server::TenantServiceServer,
};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{
    server::NamedService,
    service::RoutesBuilder,
    transport::{Identity, Server, ServerTlsConfig},
};

use crate::{
    incoming::incoming,
    registry::SharedRegistry,
    rpc::{
        AccessLayer, ApiKeys, Deliveries, Endpoints, EventTypes, Events, FramingLayer, Inbounds,
        Nodes, Sources, Tenants, UnaryLayer,
    },
};

/// The longest message of a caller, in bytes.
const MESSAGE_BYTES_MAX: usize = 4 * 1_024 * 1_024;
/// The longest message of a node: a thousand outcomes with their excerpts.
const NODE_MESSAGE_BYTES_MAX: usize = 16 * 1_024 * 1_024;
/// How often a silent peer is asked for a sign of life, and how long it may take.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(3);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(6);
/// Flow control windows, in bytes: a stream of a node must carry a full message without waiting for the other side.
const STREAM_WINDOW_BYTES: u32 = 2 * 1_024 * 1_024;
const CONNECTION_WINDOW_BYTES: u32 = 8 * 1_024 * 1_024;
/// How many calls one connection may have under way.
const STREAMS_MAX: u32 = 1_024;
/// The longest head of a request, in bytes.
const HEAD_BYTES_MAX: u32 = 16 * 1_024;
/// How many streams a peer may open and reset before its connection is closed.
const PENDING_RESETS_MAX: usize = 20;

/// The services of the API.
pub(crate) struct Services {
    /// `EventService`.
    pub events: Events,
    /// `EventTypeService`.
    pub event_types: EventTypes,
    /// `TenantService`.
    pub tenants: Tenants,
    /// `ApiKeyService`.
    pub api_keys: ApiKeys,
    /// `EndpointService`.
    pub endpoints: Endpoints,
    /// `DeliveryService`.
    pub deliveries: Deliveries,
    /// `SourceService`.
    pub sources: Sources,
    /// `InboundService`.
    pub inbounds: Inbounds,
    /// `NodeService`.
    pub nodes: Nodes,
}

/// Why the server could not run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The certificate or its key.
    #[error("the certificate or key of the gRPC server cannot be used")]
    Tls(#[source] tonic::transport::Error),
    /// The descriptors of the contract.
    #[error("reflection cannot be served")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// Serving.
    #[error("the gRPC server failed")]
    Serve(#[source] tonic::transport::Error),
}

/// A server with this certificate, if any. Made before anything is served, so that a certificate that cannot be used
/// ends the start and nothing else.
pub(crate) fn server(tls: Option<Identity>) -> Result<Server, ServeError> {
    let server = Server::builder();
    let Some(identity) = tls else {
        return Ok(server);
    };
    let config = ServerTlsConfig::new().identity(identity);
    server.tls_config(config).map_err(ServeError::Tls)
}

/// Serves until `shutdown`, then finishes the calls that are under way, which are counted in `calls`.
pub(crate) async fn serve(
    server: Server,
    listener: TcpListener,
    registry: SharedRegistry,
    services: Services,
    calls: TaskTracker,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    let routes = routes(services).await?;
    server
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(STREAMS_MAX)
        .http2_max_header_list_size(HEAD_BYTES_MAX)
        .http2_max_pending_accept_reset_streams(Some(PENDING_RESETS_MAX))
        .layer(FramingLayer::new(calls))
        .layer(UnaryLayer)
        .layer(AccessLayer::new(registry))
        .add_routes(routes)
        .serve_with_incoming_shutdown(incoming(listener), shutdown.cancelled_owned())
        .await
        .map_err(ServeError::Serve)
}

async fn routes(services: Services) -> Result<tonic::service::Routes, ServeError> {
    let (health, health_service) = tonic_health::server::health_reporter();
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    let mut routes = RoutesBuilder::default();
    routes.add_service(health_service);
    // grpcurl before 1.9 asks for v1alpha, what is newer for v1.
    routes.add_service(reflection().build_v1()?);
    routes.add_service(reflection().build_v1alpha()?);
    macro_rules! serve {
        ($($server:ident: $service:expr, $bytes_max:expr;)*) => {
            $(
                let server = $server::new($service).max_decoding_message_size($bytes_max);
                health.set_service_status(name_of(&server), tonic_health::ServingStatus::Serving).await;
                routes.add_service(server);
            )*
        };
    }
    serve! {
        EventServiceServer: services.events, MESSAGE_BYTES_MAX;
        EventTypeServiceServer: services.event_types, MESSAGE_BYTES_MAX;
        TenantServiceServer: services.tenants, MESSAGE_BYTES_MAX;
        ApiKeyServiceServer: services.api_keys, MESSAGE_BYTES_MAX;
        EndpointServiceServer: services.endpoints, MESSAGE_BYTES_MAX;
        DeliveryServiceServer: services.deliveries, MESSAGE_BYTES_MAX;
        SourceServiceServer: services.sources, MESSAGE_BYTES_MAX;
        InboundServiceServer: services.inbounds, MESSAGE_BYTES_MAX;
        NodeServiceServer: services.nodes, NODE_MESSAGE_BYTES_MAX;
    }
    Ok(routes.routes())
}

fn name_of<S: NamedService>(_: &S) -> &'static str {
    S::NAME
}
