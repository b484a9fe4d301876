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

use posthorn::v1::endpoint_service_server::EndpointService;

pub(in crate::rpc) use self::{
    change::check_own_sources,
    settings::{sources, subscriptions},
    view::proto as endpoint_proto,
};
use super::{Caller, Mutations, object};
use crate::{
    core::Core, dispatch::Dispatch, error::Error, model::endpoint::EndpointSettings,
    registry::TenantEntry,
};

/// Serves `EndpointService`.
#[derive(Clone)]
pub(crate) struct Endpoints {
    core: Core,
    mutations: Mutations,
    dispatch: Dispatch,
}

/// Which endpoint a request is about.
type Named = object::Named<EndpointSettings>;

impl Endpoints {
    /// A service over the store. The registry and the dispatcher hear of every change; URLs are judged by the resolver.
    pub(crate) fn new(core: Core, dispatch: Dispatch) -> Self {
        Self {
            mutations: Mutations::new(&core),
            core,
            dispatch,
        }
    }

    fn tenant(&self, caller: &Caller, text: &str) -> Result<Arc<TenantEntry>, Error> {
        caller.tenant(&self.core.registry.snapshot(), text)
    }

    fn named(&self, caller: &Caller, tenant: &str, endpoint: &str) -> Result<Named, Error> {
        Named::read(self.tenant(caller, tenant)?, endpoint)
    }
}

serves! {
    EndpointService for Endpoints {
        create_endpoint => create(CreateEndpointRequest) -> CreateEndpointResponse;
        get_endpoint => get(GetEndpointRequest) -> GetEndpointResponse;
        list_endpoints => list(ListEndpointsRequest) -> ListEndpointsResponse;
        update_endpoint => update(UpdateEndpointRequest) -> UpdateEndpointResponse;
        delete_endpoint => delete(DeleteEndpointRequest) -> DeleteEndpointResponse;
        set_endpoint_state => set_state(SetEndpointStateRequest) -> SetEndpointStateResponse;
        rotate_endpoint_secret => rotate(RotateEndpointSecretRequest) -> RotateEndpointSecretResponse;
        test_endpoint => test(TestEndpointRequest) -> TestEndpointResponse;
    }
}
