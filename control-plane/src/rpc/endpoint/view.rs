//! Reading endpoints.

use std::collections::HashMap;

use posthorn::v1;

use super::{Endpoints, settings};
use crate::{
    clock,
    error::Error,
    model::{
        endpoint::{Endpoint, EndpointState},
        id::EndpointId,
        secret::{Owner, Purpose, SealedSecret},
    },
    rpc::{
        Caller, Page, QueryFingerprint,
        convert::{etag, timestamp},
    },
};

impl Endpoints {
    pub(super) async fn get(
        &self,
        caller: &Caller,
        request: v1::GetEndpointRequest,
    ) -> Result<v1::GetEndpointResponse, Error> {
        let named = self.named(caller, &request.tenant_id, &request.endpoint_id)?;
        let endpoint = named.own(self.store.endpoint_get(named.id).await?)?;
        let secrets = self.store.secret_list(named.id.into()).await?;
        let endpoint = proto(&endpoint, &secrets, clock::now_ms());
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
        let query = QueryFingerprint::new("ListEndpoints", &[tenant.uuid().as_bytes()]);
        let page = Page::parse(request.page_size, &request.page_token, query)?;
        let after = page.after_uuid()?.map(EndpointId::from_uuid);
        let rows = self
            .store
            .endpoint_list(tenant, after, page.rows_to_read())
            .await?;
        let (rows, next_page_token) = page.cut(rows, |row| row.id.uuid().into_bytes());
        let secrets = self.secrets_of(&rows).await?;
        let now = clock::now_ms();
        let endpoints = rows.iter().map(|row| {
            let secrets = secrets
                .get(&Owner::from(row.id))
                .map_or(&[][..], Vec::as_slice);
            proto(row, secrets, now)
        });
        Ok(v1::ListEndpointsResponse {
            endpoints: endpoints.collect(),
            next_page_token,
        })
    }

    /// The secrets of one tenant's endpoints that are next to each other.
    async fn secrets_of(
        &self,
        rows: &[Endpoint],
    ) -> Result<HashMap<Owner, Vec<SealedSecret>>, Error> {
        let mut map = HashMap::<_, Vec<_>>::new();
        if let (Some(first), Some(last)) = (rows.first(), rows.last()) {
            let range =
                self.store
                    .secret_list_range(first.tenant_id, first.id.into(), last.id.into());
            for secret in range.await? {
                map.entry(secret.binding.owner).or_default().push(secret);
            }
        }
        Ok(map)
    }
}

/// The contract's form of an endpoint, without any secret.
pub(in crate::rpc) fn proto(
    endpoint: &Endpoint,
    secrets: &[SealedSecret],
    now: i64,
) -> v1::Endpoint {
    let state = match endpoint.state {
        EndpointState::Enabled => v1::EndpointState::Enabled,
        EndpointState::Paused => v1::EndpointState::Paused,
        EndpointState::Disabled => v1::EndpointState::Disabled,
    };
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
        state: state.into(),
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
