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

use super::{Caller, Mutations, convert::id};
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
    mutations: Mutations,
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
            mutations: Mutations::new(store.clone(), registry.clone()),
            store,
            registry,
            vault,
            resolver,
            public_url,
        }
    }

    #[expect(clippy::unused_async, reason = "as every call is made")]
    async fn providers(
        &self,
        _: &Caller,
        _: v1::ListProvidersRequest,
    ) -> Result<v1::ListProvidersResponse, Error> {
        Ok(providers::list())
    }

    fn tenant(&self, caller: &Caller, text: &str) -> Result<Arc<TenantEntry>, Error> {
        caller.tenant(&self.registry.snapshot(), text)
    }

    fn named(&self, caller: &Caller, tenant: &str, source: &str) -> Result<Named, Error> {
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

serves! {
    SourceService for Sources {
        create_source => create(CreateSourceRequest) -> CreateSourceResponse;
        get_source => get(GetSourceRequest) -> GetSourceResponse;
        list_sources => list(ListSourcesRequest) -> ListSourcesResponse;
        update_source => update(UpdateSourceRequest) -> UpdateSourceResponse;
        delete_source => delete(DeleteSourceRequest) -> DeleteSourceResponse;
        set_source_state => set_state(SetSourceStateRequest) -> SetSourceStateResponse;
        rotate_source_secret => rotate(RotateSourceSecretRequest) -> RotateSourceSecretResponse;
        get_drift_report => drift(GetDriftReportRequest) -> GetDriftReportResponse;
        list_providers => providers(ListProvidersRequest) -> ListProvidersResponse;
    }
}
