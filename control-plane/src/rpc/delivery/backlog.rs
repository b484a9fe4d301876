//! Backlogs: what waits for each endpoint.

use posthorn::v1;

use super::{Deliveries, optional};
use crate::{
    error::Error,
    model::id::EndpointId,
    registry::{Registry, TenantEntry},
    rpc::{Caller, Page, QueryFingerprint, convert::timestamp},
    store::Backlog,
};

/// How many endpoints one page looks at.
const LOOKED_AT_MAX: usize = 100;

impl Deliveries {
    pub(super) async fn backlogs(
        &self,
        caller: &Caller,
        request: v1::ListBacklogsRequest,
    ) -> Result<v1::ListBacklogsResponse, Error> {
        let tenant = self.tenant(caller, &request.tenant_id)?;
        let only = optional::<EndpointId>("endpoint_id", &request.endpoint_id)?;
        let query = QueryFingerprint::new(
            "ListBacklogs",
            &[
                tenant.tenant.id.uuid().as_bytes(),
                request.endpoint_id.as_bytes(),
            ],
        );
        let page = Page::parse(request.page_size, &request.page_token, query)?;
        let mut endpoints = match only {
            None => tenant.endpoint_ids().collect::<Vec<_>>(),
            Some(id) if tenant.has_endpoint(id) => vec![id],
            Some(_) => return Err(Error::NotFound("endpoint")),
        };
        if let Some(after) = page.after_uuid()? {
            endpoints.retain(|id| id.uuid() > after);
        }
        endpoints.sort_unstable_by_key(|id| id.uuid());
        let more = endpoints.len() > LOOKED_AT_MAX;
        endpoints.truncate(LOOKED_AT_MAX);
        let mut backlogs = self.core.store.backlogs(tenant.shard, &endpoints).await?;
        backlogs.sort_unstable_by_key(|backlog| backlog.endpoint_id.uuid());
        let registry = self.core.registry.snapshot();
        let shown = backlogs
            .into_iter()
            .map(|backlog| self.proto(&tenant, &registry, backlog));
        let shown = shown.filter(|one| one.pending + one.dead + one.in_flight > 0);
        let key = |one: &v1::Backlog| {
            one.endpoint_id
                .parse::<EndpointId>()
                .map(|id| id.uuid().into_bytes())
                .unwrap_or_default()
        };
        let (backlogs, mut next_page_token) = page.cut(shown.collect(), key);
        if let Some(last) = endpoints
            .last()
            .filter(|_| more && next_page_token.is_empty())
        {
            next_page_token = page.token(last.uuid().as_bytes());
        }
        Ok(v1::ListBacklogsResponse {
            backlogs,
            next_page_token,
        })
    }

    fn proto(&self, tenant: &TenantEntry, registry: &Registry, backlog: Backlog) -> v1::Backlog {
        let endpoint = registry.endpoint(backlog.endpoint_id);
        v1::Backlog {
            endpoint_id: backlog.endpoint_id.to_string(),
            name: endpoint
                .and_then(|live| live.endpoint.settings.name.clone())
                .unwrap_or_default(),
            pending: backlog.pending,
            dead: backlog.dead,
            in_flight: self.dispatch.in_flight(tenant.shard, backlog.endpoint_id),
            oldest_due_at: backlog.oldest_due_at.map(timestamp),
        }
    }
}
