//! `EndpointService`.
//!
//! A change is committed, then published in the registry, which tells the dispatcher, in that order: whatever acts on it
//! finds it in the database.

mod change;
mod header;
mod rotate;
mod seal;
mod settings;
mod state;
mod view;

use std::sync::Arc;

use posthorn::v1::{self, endpoint_service_server::EndpointService};
use posthorn_guard::Resolver;
use tonic::{Request, Response, Status};

pub(in crate::rpc) use self::{
    change::check_own_sources,
    settings::{sources, subscriptions},
};
use super::{Caller, convert::id};
use crate::{
    dispatch::Dispatch,
    error::Error,
    model::{endpoint::Endpoint, id::EndpointId},
    registry::{SharedRegistry, TenantEntry},
    store::Store,
    vault::Vault,
};

/// Serves `EndpointService`.
#[derive(Clone)]
pub(crate) struct Endpoints {
    store: Store,
    registry: SharedRegistry,
    vault: Arc<Vault>,
    dispatch: Dispatch,
    resolver: Resolver,
}

/// Which endpoint a request is about.
#[derive(Debug, Clone)]
struct Named {
    tenant: Arc<TenantEntry>,
    id: EndpointId,
}

impl Endpoints {
    /// A service over the store. The registry and the dispatcher hear of every change; URLs are judged by the resolver.
    pub(crate) fn new(
        store: Store,
        registry: SharedRegistry,
        vault: Arc<Vault>,
        dispatch: Dispatch,
        resolver: Resolver,
    ) -> Self {
        Self {
            store,
            registry,
            vault,
            dispatch,
            resolver,
        }
    }

    fn tenant(&self, caller: Caller, text: &str) -> Result<Arc<TenantEntry>, Error> {
        caller.tenant(&self.registry.snapshot(), text)
    }

    fn named(&self, caller: Caller, tenant: &str, endpoint: &str) -> Result<Named, Error> {
        let tenant = self.tenant(caller, tenant)?;
        Ok(Named {
            tenant,
            id: id("endpoint_id", endpoint)?,
        })
    }
}

impl Named {
    /// The row that was read, unless it is another tenant's.
    fn own(&self, row: Option<Endpoint>) -> Result<Endpoint, Error> {
        row.filter(|endpoint| endpoint.tenant_id == self.tenant.tenant.id)
            .ok_or(Error::NotFound("endpoint"))
    }
}

#[tonic::async_trait]
impl EndpointService for Endpoints {
    async fn create_endpoint(
        &self,
        request: Request<v1::CreateEndpointRequest>,
    ) -> Result<Response<v1::CreateEndpointResponse>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(
            self.create(caller, request.into_inner()).await?,
        ))
    }

    async fn get_endpoint(
        &self,
        request: Request<v1::GetEndpointRequest>,
    ) -> Result<Response<v1::GetEndpointResponse>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(self.get(caller, request.into_inner()).await?))
    }

    async fn list_endpoints(
        &self,
        request: Request<v1::ListEndpointsRequest>,
    ) -> Result<Response<v1::ListEndpointsResponse>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(
            self.list(caller, request.into_inner()).await?,
        ))
    }

    async fn update_endpoint(
        &self,
        request: Request<v1::UpdateEndpointRequest>,
    ) -> Result<Response<v1::UpdateEndpointResponse>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(
            self.update(caller, request.into_inner()).await?,
        ))
    }

    async fn delete_endpoint(
        &self,
        request: Request<v1::DeleteEndpointRequest>,
    ) -> Result<Response<v1::DeleteEndpointResponse>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(
            self.delete(caller, request.into_inner()).await?,
        ))
    }

    async fn pause_endpoint(
        &self,
        request: Request<v1::PauseEndpointRequest>,
    ) -> Result<Response<v1::PauseEndpointResponse>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(
            self.pause(caller, request.into_inner()).await?,
        ))
    }

    async fn resume_endpoint(
        &self,
        request: Request<v1::ResumeEndpointRequest>,
    ) -> Result<Response<v1::ResumeEndpointResponse>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(
            self.resume(caller, request.into_inner()).await?,
        ))
    }

    async fn rotate_secret(
        &self,
        request: Request<v1::RotateSecretRequest>,
    ) -> Result<Response<v1::RotateSecretResponse>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(
            self.rotate(caller, request.into_inner()).await?,
        ))
    }

    async fn test_endpoint(
        &self,
        request: Request<v1::TestEndpointRequest>,
    ) -> Result<Response<v1::TestEndpointResponse>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(
            self.test(caller, request.into_inner()).await?,
        ))
    }
}
