//! The generated gRPC clients with a credential, and short forms of the calls that most tests begin with.

use std::net::SocketAddr;

use bytes::Bytes;
use posthorn::node::v1::node_service_client::NodeServiceClient;
use posthorn::v1::{
    CreateApiKeyRequest, CreateEndpointRequest, CreateEndpointResponse, CreateSourceRequest,
    CreateSourceResponse, CreateTenantRequest, EmitEventRequest, EmitEventResponse,
    EndpointSettings, Role, SourceSettings, TenantSettings,
    admin_service_client::AdminServiceClient, api_key_service_client::ApiKeyServiceClient,
    audit_service_client::AuditServiceClient, delivery_service_client::DeliveryServiceClient,
    emit_event_request::Content, endpoint_service_client::EndpointServiceClient,
    event_service_client::EventServiceClient, event_type_service_client::EventTypeServiceClient,
    inbound_service_client::InboundServiceClient, source_service_client::SourceServiceClient,
    tenant_service_client::TenantServiceClient,
};
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};

/// A channel whose calls carry a credential.
pub type Authorized = InterceptedService<Channel, Bearer>;

/// Puts `authorization: Bearer <key>` on every call.
#[derive(Clone, Debug)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(credential) = &self.0 {
            request
                .metadata_mut()
                .insert("authorization", credential.clone());
        }
        Ok(request)
    }
}

/// A connection to a control plane under one credential. Clones share the connection.
#[derive(Clone, Debug)]
pub struct Client {
    /// What the short forms send as `tenant_id`. Empty: the credential's own.
    pub tenant_id: String,
    channel: Channel,
    bearer: Bearer,
}

/// Makes a method for each service's generated client.
macro_rules! services {
    ($($(#[$doc:meta])* $name:ident: $client:ident,)*) => {
        impl Client {
            $($(#[$doc])* pub fn $name(&self) -> $client<Authorized> {
                $client::with_interceptor(self.channel.clone(), self.bearer.clone())
            })*
        }
    };
}

services! {
    /// The client of `EventService`.
    events: EventServiceClient,
    /// The client of `EventTypeService`.
    event_types: EventTypeServiceClient,
    /// The client of `EndpointService`.
    endpoints: EndpointServiceClient,
    /// The client of `DeliveryService`.
    deliveries: DeliveryServiceClient,
    /// The client of `TenantService`.
    tenants: TenantServiceClient,
    /// The client of `ApiKeyService`.
    api_keys: ApiKeyServiceClient,
    /// The client of `SourceService`.
    sources: SourceServiceClient,
    /// The client of `InboundService`.
    inbound: InboundServiceClient,
    /// The client of `NodeService`.
    node: NodeServiceClient,
    /// The client of `AdminService`.
    admin: AdminServiceClient,
    /// The client of `AuditService`.
    audit: AuditServiceClient,
}

impl Client {
    /// Connects with a key. An empty key: without a credential.
    pub async fn connect(addr: SocketAddr, key: &str) -> Self {
        let endpoint =
            Endpoint::from_shared(format!("http://{addr}")).expect("an address makes a URL");
        let channel = endpoint
            .tcp_nodelay(true)
            .connect()
            .await
            .expect("the control plane accepts connections");
        Self {
            tenant_id: String::new(),
            channel,
            bearer: bearer(key),
        }
    }

    /// Connects over TLS with a key, trusting these roots alone (PEM).
    ///
    /// Errors: no connection, or none that can be trusted.
    pub async fn connect_tls(
        addr: SocketAddr,
        key: &str,
        roots: &str,
    ) -> Result<Self, tonic::transport::Error> {
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(roots));
        let endpoint = Endpoint::from_shared(format!("https://{addr}"))?.tls_config(tls)?;
        Ok(Self {
            tenant_id: String::new(),
            channel: endpoint.connect().await?,
            bearer: bearer(key),
        })
    }

    /// What generated clients are made of: for a service that is not one of Posthorn's.
    pub fn authorized(&self) -> Authorized {
        InterceptedService::new(self.channel.clone(), self.bearer.clone())
    }

    /// The same connection under another key.
    #[must_use]
    pub fn with_key(&self, key: &str) -> Self {
        Self {
            bearer: bearer(key),
            ..self.clone()
        }
    }

    /// The same connection and key, with the short forms acting for a tenant.
    #[must_use]
    pub fn for_tenant(&self, tenant_id: &str) -> Self {
        Self {
            tenant_id: tenant_id.to_owned(),
            ..self.clone()
        }
    }

    /// The connection itself, for what has no client here.
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// Creates a tenant and returns its id. Panics when it is refused.
    pub async fn create_tenant(&self, name: &str) -> String {
        let settings = TenantSettings {
            name: name.to_owned(),
            ..TenantSettings::default()
        };
        let request = CreateTenantRequest {
            settings: Some(settings),
            ..CreateTenantRequest::default()
        };
        let response = self
            .tenants()
            .create_tenant(request)
            .await
            .expect("the tenant is created")
            .into_inner();
        response
            .tenant
            .expect("the answer holds the tenant")
            .tenant_id
    }

    /// Creates a key for the client's tenant and returns it; without a tenant, one of the installation.
    /// Panics when it is refused.
    pub async fn create_key(&self, roles: &[Role]) -> String {
        let request = CreateApiKeyRequest {
            tenant_id: self.tenant_id.clone(),
            name: "made by the harness".to_owned(),
            roles: roles.iter().map(|role| i32::from(*role)).collect(),
            ..CreateApiKeyRequest::default()
        };
        let response = self
            .api_keys()
            .create_api_key(request)
            .await
            .expect("the key is created");
        response.into_inner().api_key
    }

    /// Creates an endpoint. Panics when it is refused.
    pub async fn create_endpoint(
        &self,
        url: &str,
        subscriptions: &[&str],
    ) -> CreateEndpointResponse {
        self.create_endpoint_with(EndpointSettings {
            url: url.to_owned(),
            subscriptions: subscriptions
                .iter()
                .map(|&pattern| pattern.to_owned())
                .collect(),
            ..EndpointSettings::default()
        })
        .await
    }

    /// Creates an endpoint with these settings. Panics when it is refused.
    pub async fn create_endpoint_with(&self, settings: EndpointSettings) -> CreateEndpointResponse {
        let request = CreateEndpointRequest {
            tenant_id: self.tenant_id.clone(),
            settings: Some(settings),
            ..CreateEndpointRequest::default()
        };
        self.endpoints()
            .create_endpoint(request)
            .await
            .expect("the endpoint is created")
            .into_inner()
    }

    /// Creates a source without more settings than its provider, whose secret Posthorn makes. Panics when it is refused.
    pub async fn create_source(&self, provider: &str) -> CreateSourceResponse {
        let settings = SourceSettings {
            provider: provider.to_owned(),
            ..SourceSettings::default()
        };
        self.create_source_with(settings, &[]).await
    }

    /// Creates a source with these settings and secrets. Panics when it is refused.
    pub async fn create_source_with(
        &self,
        settings: SourceSettings,
        secrets: &[&str],
    ) -> CreateSourceResponse {
        let request = CreateSourceRequest {
            tenant_id: self.tenant_id.clone(),
            settings: Some(settings),
            secrets: secrets.iter().map(|&secret| secret.to_owned()).collect(),
            ..CreateSourceRequest::default()
        };
        self.sources()
            .create_source(request)
            .await
            .expect("the source is created")
            .into_inner()
    }

    /// Emits an event. Panics when it is refused.
    pub async fn emit(&self, event_type: &str, payload: impl Into<Bytes>) -> EmitEventResponse {
        let request = self.event(event_type, payload);
        self.events()
            .emit_event(request)
            .await
            .expect("the event is accepted")
            .into_inner()
    }

    /// An event of the client's tenant, to be emitted.
    pub fn event(&self, event_type: &str, payload: impl Into<Bytes>) -> EmitEventRequest {
        EmitEventRequest {
            tenant_id: self.tenant_id.clone(),
            event_type: event_type.to_owned(),
            content: Some(Content::Payload(payload.into())),
            ..EmitEventRequest::default()
        }
    }
}

fn bearer(key: &str) -> Bearer {
    let credential = || {
        format!("Bearer {key}")
            .parse()
            .expect("a key is printable ASCII")
    };
    Bearer((!key.is_empty()).then(credential))
}
