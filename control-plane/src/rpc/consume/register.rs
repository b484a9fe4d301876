//! Registering handlers: each is an endpoint of the tenant, made or changed by the hello that names it.
//!
//! A hello that says what is so already writes nothing.

use super::{Consumers, Hello};
use crate::{
    audit::{self, Record},
    entropy::Entropy,
    error::{Error, Reason},
    model::{
        endpoint::{Endpoint, EndpointSettings},
        id::{EndpointId, TenantId},
        object::Object,
        tenant::Tenant,
    },
    registry::{Capped, Changed, Place, TenantEntry},
    rpc::{Caller, endpoint::endpoint_proto},
    store::{Change, RegistryTx},
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
        caller: &Caller,
        tenant: &TenantEntry,
        hello: &Hello,
    ) -> Result<Vec<(EndpointId, String)>, Error> {
        let tenant_id = tenant.tenant.id;
        hello.check_sources(&self.core.registry.snapshot(), tenant_id)?;
        let names = || hello.handlers.iter().map(|(name, _)| name.clone());
        if let Some(known) = self.known(tenant_id, hello).await? {
            self.publish_missing(&known, hello).await?;
            return Ok(known.into_iter().zip(names()).collect());
        }
        for _ in 0..ROUNDS_MAX {
            if let Round::Done(endpoints) = self.round(caller, &tenant.tenant, hello).await? {
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
            let found: Option<Endpoint> = self.core.store.object_named(tenant, name).await?;
            match found.filter(|endpoint| endpoint.settings == *settings) {
                Some(endpoint) => ids.push(endpoint.id),
                None => return Ok(None),
            }
        }
        Ok(Some(ids))
    }

    /// Writes what differs and puts it on record, all or nothing.
    async fn round(&self, caller: &Caller, tenant: &Tenant, hello: &Hello) -> Result<Round, Error> {
        let now = self.core.clock.now_ms();
        let mut rng = self.core.rng();
        let mut tx = self.core.store.begin().await?;
        let mut endpoints = Vec::with_capacity(hello.handlers.len());
        let (mut places, mut records) = (Vec::new(), Vec::new());
        for (_, settings) in &hello.handlers {
            let place = || self.core.registry.place(Some(tenant.id), Capped::Endpoints);
            let (record, place) =
                match write(&mut tx, tenant, settings, place, (now, &mut rng)).await? {
                    Registration::Was(id) => {
                        endpoints.push(id);
                        continue;
                    }
                    Registration::Put(id, record, place) => {
                        endpoints.push(id);
                        (record, place)
                    }
                    Registration::Overtaken => return Ok(Round::Overtaken),
                };
            places.extend(place);
            let record = record.by(caller.actor(), "Consume", now, &mut rng);
            audit::write(&mut tx, &record).await?;
            records.push(record);
        }
        let changed = endpoints.iter().copied().map(Changed::Endpoint);
        self.core.registry.commit(tx, changed, places).await?;
        records.iter().for_each(audit::log);
        Ok(Round::Done(endpoints))
    }

    /// Publishes the endpoints that the registry has otherwise than the hello says: those that others write.
    async fn publish_missing(&self, ids: &[EndpointId], hello: &Hello) -> Result<(), Error> {
        for (id, (_, settings)) in ids.iter().zip(&hello.handlers) {
            let snapshot = self.core.registry.snapshot();
            let live = snapshot.endpoint(*id);
            if live.is_none_or(|live| live.endpoint.settings != *settings) {
                self.core.registry.refresh(Changed::Endpoint(*id)).await?;
            }
        }
        Ok(())
    }
}

/// What became of one handler's endpoint.
enum Registration {
    /// It was as it shall be.
    Was(EndpointId),
    /// It was otherwise, or it is new and takes a place; and what is put on record of that.
    Put(EndpointId, Record, Option<Place>),
    /// Somebody else was faster.
    Overtaken,
}

/// Makes or changes one handler's endpoint, unless it is as it shall be.
async fn write(
    tx: &mut RegistryTx,
    tenant: &Tenant,
    settings: &EndpointSettings,
    place: impl FnOnce() -> Result<Place, Error>,
    (now, rng): (i64, &mut Entropy),
) -> Result<Registration, Error> {
    let name = settings.name.as_deref().unwrap_or_default();
    let (change, written) = match tx.object_named(tenant.id, name).await? {
        Some(found) if found.settings == *settings => return Ok(Registration::Was(found.id)),
        Some(found) if found.handler().is_none() => {
            return Err(Error::AlreadyExists(
                Reason::NameTaken,
                format!("an endpoint of the tenant has the name `{name}` of a handler"),
            ));
        }
        Some(found) => {
            let changed = Endpoint {
                settings: settings.clone(),
                version: found.version + 1,
                updated_at: now,
                ..found.clone()
            };
            let change = tx.object_update(&changed).await?;
            let record = record(Some(&found), &changed);
            (change, Registration::Put(changed.id, record, None))
        }
        None => {
            let id = EndpointId::new(now, rng);
            let endpoint = Object::new(id, tenant, settings.clone(), now);
            let place = place()?;
            let change = tx.object_insert(&endpoint).await?;
            if change == Change::Missing {
                return Err(Error::NotFound("tenant"));
            }
            let record = record(None, &endpoint);
            (change, Registration::Put(endpoint.id, record, Some(place)))
        }
    };
    Ok(match change {
        Change::Done => written,
        Change::NameTaken | Change::Missing => Registration::Overtaken,
    })
}

/// What is put on record of a handler. It has no secrets.
fn record(before: Option<&Endpoint>, after: &Endpoint) -> Record {
    let shown = |endpoint: &Endpoint| endpoint_proto(endpoint, &[], after.updated_at);
    let record = Record::of(after.tenant_id, after.id);
    record.changing(before.map(shown).as_ref(), Some(&shown(after)))
}
