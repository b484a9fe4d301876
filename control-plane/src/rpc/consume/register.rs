//! Registering handlers: each is an endpoint of the tenant, made or changed by the hello that names it.
//!
//! A hello that says what is so already writes nothing.

use super::{Consumers, Hello};
use crate::{
    clock,
    error::Error,
    model::{
        endpoint::{Endpoint, EndpointSettings, EndpointState},
        id::{EndpointId, TenantId},
    },
    registry::TenantEntry,
    rpc::endpoint::ENDPOINTS_MAX,
    store::{Change, Tx},
};

/// How often registering begins anew because another hello was faster.
const ROUNDS_MAX: usize = 5;

/// What a round came to.
enum Round {
    /// Everything is as the hello says: the endpoints.
    Done(Vec<EndpointId>),
    /// Somebody else wrote one of them in the meantime.
    Overtaken,
}

impl Consumers {
    /// Makes the tenant's endpoints as the hello says. Returns them with the names of their handlers.
    pub(super) async fn register(
        &self,
        tenant: &TenantEntry,
        hello: &Hello,
    ) -> Result<Vec<(EndpointId, String)>, Error> {
        let tenant_id = tenant.tenant.id;
        hello.check_sources(&self.registry.snapshot(), tenant_id)?;
        let names = || hello.handlers.iter().map(|(name, _)| name.clone());
        if let Some(known) = self.known(tenant_id, hello).await? {
            self.publish_missing(&known, hello).await?;
            return Ok(known.into_iter().zip(names()).collect());
        }
        for _ in 0..ROUNDS_MAX {
            if let Round::Done(endpoints) = self.round(tenant_id, hello).await? {
                self.publish_missing(&endpoints, hello).await?;
                return Ok(endpoints.into_iter().zip(names()).collect());
            }
        }
        let text = "other consumers change the same handlers at the same time";
        Err(Error::Unavailable(text.to_owned()))
    }

    /// The endpoints, if each is there and is as the hello says.
    async fn known(
        &self,
        tenant: TenantId,
        hello: &Hello,
    ) -> Result<Option<Vec<EndpointId>>, Error> {
        let mut ids = Vec::with_capacity(hello.handlers.len());
        for (_, settings) in &hello.handlers {
            let name = settings.name.as_deref().unwrap_or_default();
            let found = self.store.endpoint_named(tenant, name).await?;
            match found.filter(|endpoint| endpoint.settings == *settings) {
                Some(endpoint) => ids.push(endpoint.id),
                None => return Ok(None),
            }
        }
        Ok(Some(ids))
    }

    /// Writes what differs, all or nothing.
    async fn round(&self, tenant: TenantId, hello: &Hello) -> Result<Round, Error> {
        let now = clock::now_ms();
        let mut tx = self.store.begin().await?;
        let mut endpoints = Vec::with_capacity(hello.handlers.len());
        for (_, settings) in &hello.handlers {
            let Some(written) = write(&mut tx, tenant, settings, now).await? else {
                return Ok(Round::Overtaken);
            };
            endpoints.push(written);
        }
        self.registry.published_later(tx.commit().await)?;
        Ok(Round::Done(endpoints))
    }

    /// Publishes the endpoints that the registry has otherwise than the hello says: those that were just written, and
    /// those of an earlier hello whose commit was never answered.
    async fn publish_missing(&self, ids: &[EndpointId], hello: &Hello) -> Result<(), Error> {
        for (id, (_, settings)) in ids.iter().zip(&hello.handlers) {
            let snapshot = self.registry.snapshot();
            let live = snapshot.endpoint(*id);
            if live.is_none_or(|live| live.endpoint.settings != *settings) {
                self.publish(*id).await?;
            }
        }
        Ok(())
    }

    /// Lets everything know that an endpoint changed, after the commit.
    async fn publish(&self, id: EndpointId) -> Result<(), Error> {
        self.registry.refresh_endpoint(id).await?;
        if let Some(live) = self.registry.snapshot().endpoint(id) {
            self.dispatch.endpoint_changed(live);
        }
        Ok(())
    }
}

/// Makes or changes one handler's endpoint, unless it is as it shall be. None: somebody else was faster.
async fn write(
    tx: &mut Tx,
    tenant: TenantId,
    settings: &EndpointSettings,
    now: i64,
) -> Result<Option<EndpointId>, Error> {
    let name = settings.name.as_deref().unwrap_or_default();
    let (endpoint, change) = match tx.endpoint_named(tenant, name).await? {
        Some(found) if found.settings == *settings => return Ok(Some(found.id)),
        Some(found) if found.handler().is_none() => {
            return Err(Error::AlreadyExists(format!(
                "an endpoint of the tenant has the name `{name}` of a handler"
            )));
        }
        Some(found) => {
            let changed = Endpoint {
                settings: settings.clone(),
                version: found.version + 1,
                updated_at: now,
                ..found
            };
            let change = tx.endpoint_update(&changed).await?;
            (changed, change)
        }
        None => {
            let endpoint = new(tx, tenant, settings, now).await?;
            let change = tx.endpoint_insert(&endpoint).await?;
            if change == Change::Missing {
                return Err(Error::NotFound("tenant"));
            }
            (endpoint, change)
        }
    };
    Ok((change == Change::Done).then_some(endpoint.id))
}

async fn new(
    tx: &mut Tx,
    tenant: TenantId,
    settings: &EndpointSettings,
    now: i64,
) -> Result<Endpoint, Error> {
    if tx.endpoint_count(tenant).await? >= ENDPOINTS_MAX {
        let text = format!("a tenant can have {ENDPOINTS_MAX} endpoints");
        return Err(Error::Exhausted(text));
    }
    Ok(Endpoint {
        id: EndpointId::new(now, &mut clock::rng()),
        tenant_id: tenant,
        settings: settings.clone(),
        state: EndpointState::Enabled,
        state_reason: String::new(),
        version: 1,
        created_at: now,
        updated_at: now,
    })
}
