//! `SourceService`.
//!
//! A change is committed, then published in the registry: whatever judges a request by it finds it in the database.

mod answer;
mod change;
mod drift;
mod poll;
mod poll_change;
mod providers;
mod rotate;
mod scheme;
mod secret;
mod settings;
mod state;
mod title;
mod view;

pub(super) use self::answer::computed as computed_answer;

use std::sync::Arc;

use posthorn::v1::{self, source_service_server::SourceService};
use posthorn_guard::Resolver;
use tonic::{Request, Response, Status};

use super::{Caller, convert::id};
use crate::{
    config::PublicUrl,
    error::Error,
    model::{id::SourceId, source::Source},
    registry::{SharedRegistry, TenantEntry},
    store::Store,
    vault::Vault,
};

/// Serves `SourceService`.
#[derive(Clone)]
pub(crate) struct Sources {
    store: Store,
    registry: SharedRegistry,
    vault: Arc<Vault>,
    resolver: Resolver,
    public_url: PublicUrl,
}

/// Which source a request is about.
#[derive(Debug, Clone)]
struct Named {
    tenant: Arc<TenantEntry>,
    id: SourceId,
}

impl Sources {
    /// A service over the store. The registry hears of every change; URLs to poll are judged by the resolver; sources
    /// are shown below the public URL.
    pub(crate) fn new(
        store: Store,
        registry: SharedRegistry,
        vault: Arc<Vault>,
        resolver: Resolver,
        public_url: PublicUrl,
    ) -> Self {
        Self {
            store,
            registry,
            vault,
            resolver,
            public_url,
        }
    }

    fn tenant(&self, caller: Caller, text: &str) -> Result<Arc<TenantEntry>, Error> {
        caller.tenant(&self.registry.snapshot(), text)
    }

    fn named(&self, caller: Caller, tenant: &str, source: &str) -> Result<Named, Error> {
        let tenant = self.tenant(caller, tenant)?;
        Ok(Named {
            tenant,
            id: id("source_id", source)?,
        })
    }
}

impl Named {
    /// The row that was read, unless it is another tenant's.
    fn own(&self, row: Option<Source>) -> Result<Source, Error> {
        row.filter(|source| source.tenant_id == self.tenant.tenant.id)
            .ok_or(Error::NotFound("source"))
    }
}

#[tonic::async_trait]
impl SourceService for Sources {
    async fn create_source(
        &self,
        request: Request<v1::CreateSourceRequest>,
    ) -> Result<Response<v1::CreateSourceResponse>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(
            self.create(caller, request.into_inner()).await?,
        ))
    }

    async fn get_source(
        &self,
        request: Request<v1::GetSourceRequest>,
    ) -> Result<Response<v1::GetSourceResponse>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(self.get(caller, request.into_inner()).await?))
    }

    async fn list_sources(
        &self,
        request: Request<v1::ListSourcesRequest>,
    ) -> Result<Response<v1::ListSourcesResponse>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(
            self.list(caller, request.into_inner()).await?,
        ))
    }

    async fn update_source(
        &self,
        request: Request<v1::UpdateSourceRequest>,
    ) -> Result<Response<v1::UpdateSourceResponse>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(
            self.update(caller, request.into_inner()).await?,
        ))
    }

    async fn delete_source(
        &self,
        request: Request<v1::DeleteSourceRequest>,
    ) -> Result<Response<v1::DeleteSourceResponse>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(
            self.delete(caller, request.into_inner()).await?,
        ))
    }

    async fn set_source_state(
        &self,
        request: Request<v1::SetSourceStateRequest>,
    ) -> Result<Response<v1::SetSourceStateResponse>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(
            self.set_state(caller, request.into_inner()).await?,
        ))
    }

    async fn rotate_source_secret(
        &self,
        request: Request<v1::RotateSourceSecretRequest>,
    ) -> Result<Response<v1::RotateSourceSecretResponse>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(
            self.rotate(caller, request.into_inner()).await?,
        ))
    }

    async fn list_providers(
        &self,
        request: Request<v1::ListProvidersRequest>,
    ) -> Result<Response<v1::ListProvidersResponse>, Status> {
        Caller::of(&request)?;
        Ok(Response::new(providers::list()))
    }

    async fn get_drift_report(
        &self,
        request: Request<v1::GetDriftReportRequest>,
    ) -> Result<Response<v1::GetDriftReportResponse>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(
            self.drift(caller, request.into_inner()).await?,
        ))
    }
}
