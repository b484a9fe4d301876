//! Reading endpoints.

use posthorn::v1;

use super::{Endpoints, settings};
use crate::{
    error::Error,
    model::{
        endpoint::Endpoint,
        secret::{Purpose, SealedSecret},
    },
    rpc::{
        Caller,
        convert::{etag, timestamp},
        object,
    },
};

impl Endpoints {
    pub(super) async fn get(
        &self,
        caller: &Caller,
        request: v1::GetEndpointRequest,
    ) -> Result<v1::GetEndpointResponse, Error> {
        let named = self.named(caller, &request.tenant_id, &request.endpoint_id)?;
        let endpoint = named.get(&self.core.store).await?;
        let secrets = self.core.store.secret_list(named.id.into()).await?;
        let endpoint = proto(&endpoint, &secrets, self.core.clock.now_ms());
        Ok(v1::GetEndpointResponse {
            endpoint: Some(endpoint),
        })
    }

    pub(super) async fn list(
        &self,
        caller: &Caller,
        request: v1::ListEndpointsRequest,
    ) -> Result<v1::ListEndpointsResponse, Error> {
        let tenant = self.tenant(caller, &request.tenant_id)?.tenant.id;
        let asked = (request.page_size, request.page_token.as_str());
        let listed = object::page(&self.core.store, tenant, "ListEndpoints", asked);
        let (rows, next_page_token) = listed.await?;
        let now = self.core.clock.now_ms();
        let endpoints = rows.iter().map(|(row, secrets)| proto(row, secrets, now));
        Ok(v1::ListEndpointsResponse {
            endpoints: endpoints.collect(),
            next_page_token,
        })
    }
}

/// The contract's form of an endpoint, without any secret.
pub(in crate::rpc) fn proto(
    endpoint: &Endpoint,
    secrets: &[SealedSecret],
    now: i64,
) -> v1::Endpoint {
    let signing = || {
        secrets
            .iter()
            .filter(|secret| *secret.purpose() == Purpose::Signing)
    };
    let current = signing().find(|secret| secret.retires_at.is_none());
    let rotation_ends_at = signing()
        .filter_map(|secret| secret.retires_at)
        .find(|at| now < *at);
    v1::Endpoint {
        endpoint_id: endpoint.id.to_string(),
        tenant_id: endpoint.tenant_id.to_string(),
        settings: Some(settings::proto(&endpoint.settings)),
        state: v1::EndpointState::from(endpoint.state).into(),
        state_reason: endpoint.state_reason.clone(),
        etag: etag(endpoint.version),
        secret_fingerprint: current
            .map(|secret| secret.fingerprint.clone())
            .unwrap_or_default(),
        rotation_ends_at: rotation_ends_at.map(timestamp),
        created_at: Some(timestamp(endpoint.created_at)),
        updated_at: Some(timestamp(endpoint.updated_at)),
    }
}
