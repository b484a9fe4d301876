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

use super::{Caller, Mutations, object};
use crate::{
    config::PublicUrl, core::Core, error::Error, model::source::SourceSettings,
    registry::TenantEntry,
};

/// Serves `SourceService`.
#[derive(Clone)]
pub(crate) struct Sources {
    core: Core,
    mutations: Mutations,
    public_url: PublicUrl,
}

/// Which source a request is about.
type Named = object::Named<SourceSettings>;

impl Sources {
    /// A service over the store. The registry hears of every change; URLs to poll are judged by the resolver; sources
    /// are shown below the public URL.
    pub(crate) fn new(core: Core, public_url: PublicUrl) -> Self {
        Self {
            mutations: Mutations::new(&core),
            core,
            public_url,
        }
    }

    #[expect(clippy::unused_async, reason = "as every call is made")]
    async fn providers(
        &self,
        _: &Caller,
        request: v1::ListProvidersRequest,
    ) -> Result<v1::ListProvidersResponse, Error> {
        providers::list(&request)
    }

    fn tenant(&self, caller: &Caller, text: &str) -> Result<Arc<TenantEntry>, Error> {
        caller.tenant(&self.core.registry.snapshot(), text)
    }

    fn named(&self, caller: &Caller, tenant: &str, source: &str) -> Result<Named, Error> {
        Named::read(self.tenant(caller, tenant)?, source)
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
