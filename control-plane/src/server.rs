//! The gRPC server: every service, and the layers that each call passes through.

use posthorn::node::v1::node_service_server::NodeServiceServer;
use posthorn::v1::{
    FILE_DESCRIPTOR_SET, admin_service_server::AdminServiceServer,
    api_key_service_server::ApiKeyServiceServer, audit_service_server::AuditServiceServer,
    delivery_service_server::DeliveryServiceServer, endpoint_service_server::EndpointServiceServer,
    event_service_server::EventServiceServer, event_type_service_server::EventTypeServiceServer,
    inbound_service_server::InboundServiceServer, source_service_server::SourceServiceServer,
    tenant_service_server::TenantServiceServer,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{server::NamedService, service::RoutesBuilder};
use tower::ServiceBuilder;

use crate::{
    audit::Denials,
    clock::Clock,
    incoming::{Incoming, TlsError},
    registry::SharedRegistry,
    rpc::{
        AccessLayer, Admin, ApiKeys, Audits, CallsLayer, Deliveries, Endpoints, EventTypes, Events,
        FramingLayer, Inbounds, Nodes, Sources, Tenants, UnaryLayer,
    },
};

/// The longest message of a caller, in bytes: no method's limit is higher.
const MESSAGE_BYTES_MAX: usize = 4 * 1_024 * 1_024;
/// The longest message of a node: no method's limit is higher.
const NODE_MESSAGE_BYTES_MAX: usize = 16 * 1_024 * 1_024;

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
    /// `AuditService`.
    pub audits: Audits,
    /// `AdminService`.
    pub admin: Admin,
}

/// Why the server could not run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The certificate or its key.
    #[error("the certificate or key of the gRPC server cannot be used")]
    Tls(#[from] TlsError),
    /// The descriptors of the contract.
    #[error("reflection cannot be served")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// Serves until `shutdown`, then finishes the calls that are under way, which are counted in `calls`.
pub(crate) async fn serve(
    incoming: Incoming,
    (registry, clock): (SharedRegistry, Clock),
    services: Services,
    denials: Denials,
    calls: TaskTracker,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    let routes = routes(services).await?.prepare();
    let service = ServiceBuilder::new()
        .layer(FramingLayer::new(calls))
        .layer(UnaryLayer)
        .layer(AccessLayer::new(
            registry,
            clock,
            denials,
            incoming.metrics.clone(),
        ))
        .layer(CallsLayer::new(&incoming.limits, incoming.metrics.clone()))
        .service(routes);
    incoming.serve(service, shutdown).await;
    Ok(())
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
        AuditServiceServer: services.audits, MESSAGE_BYTES_MAX;
        AdminServiceServer: services.admin, MESSAGE_BYTES_MAX;
    }
    Ok(routes.routes())
}

fn name_of<S: NamedService>(_: &S) -> &'static str {
    S::NAME
}
