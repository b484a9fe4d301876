//! Reading the registry from the database, and opening its secrets: whole at the start, row by row after that.

mod endpoint;
mod owner;
mod source;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use uuid::Uuid;

use super::{Registry, changed::Changed};
use crate::{
    audit::{self, Record},
    config::PublicUrl,
    entropy::Entropy,
    model::{
        api_key::ApiKey,
        endpoint::EndpointSettings,
        event_type::EventTypeName,
        id::{EndpointId, Id, KeyId, SourceId, TenantId},
        source::SourceSettings,
        tenant::Tenant,
    },
    retry::RetryPolicy,
    store::{KeyScope, Result, Store},
    vault::Vault,
};
pub(super) use owner::Loaded;
use owner::Served;

/// How many rows are read at a time.
const PAGE_ROWS: usize = 2_000;

/// Reads registry entries.
#[derive(Debug)]
pub(super) struct Loader {
    store: Store,
    vault: Arc<Vault>,
    public_url: PublicUrl,
    entropy: Entropy,
}

/// A row as it was read, if it is there.
pub(super) enum Row {
    Tenant(TenantId, Option<Tenant>),
    EventType(TenantId, EventTypeName, bool),
    Endpoint(EndpointId, Option<Loaded<EndpointSettings>>),
    Source(SourceId, Option<Box<Loaded<SourceSettings>>>),
    Key(KeyId, Option<ApiKey>),
}

/// Changed rows by kind.
#[derive(Default)]
struct ByKind {
    tenants: Vec<TenantId>,
    event_types: Vec<(TenantId, EventTypeName)>,
    endpoints: Vec<EndpointId>,
    sources: Vec<SourceId>,
    keys: Vec<KeyId>,
}

impl Loader {
    pub(super) fn new(
        store: Store,
        vault: Arc<Vault>,
        public_url: PublicUrl,
        entropy: Entropy,
    ) -> Self {
        Self {
            store,
            vault,
            public_url,
            entropy,
        }
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    pub(super) fn rng(&self) -> Entropy {
        self.entropy.clone()
    }

    pub(super) fn vault(&self) -> &Vault {
        &self.vault
    }

    /// Everything, table by table and not tenant by tenant: a start takes as long as there are rows.
    pub(super) async fn registry(&self, default_policy: RetryPolicy) -> Result<Registry> {
        let mut registry = Registry {
            default_policy: Arc::new(default_policy),
            ..Registry::default()
        };
        self.load_tenants(&mut registry).await?;
        self.load_event_types(&mut registry).await?;
        self.load_objects(&mut registry, Registry::put_endpoint)
            .await?;
        self.load_objects(&mut registry, Registry::put_source)
            .await?;
        self.load_keys(&mut registry).await?;
        Ok(registry)
    }

    async fn load_tenants(&self, registry: &mut Registry) -> Result<()> {
        let mut after = None;
        loop {
            let page = self.store.tenant_list(after, limit()).await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = Some(last.id);
            for tenant in &page {
                registry.put_tenant(tenant);
            }
        }
    }

    async fn load_event_types(&self, registry: &mut Registry) -> Result<()> {
        let mut after = None;
        loop {
            let page = self.store.event_type_page(after, limit()).await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = Some(last.clone());
            for (tenant, name) in page {
                registry.edit_tenant(tenant, |entry| entry.put_event_type(name));
            }
        }
    }

    async fn load_objects<S: Served>(
        &self,
        registry: &mut Registry,
        put: fn(&mut Registry, &Loaded<S>),
    ) -> Result<()> {
        let mut after: Option<S::Id> = None;
        loop {
            let page = self.store.object_page(after, limit()).await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = Some(last.id);
            for loaded in self.opened_page(page).await? {
                put(registry, &loaded);
            }
        }
    }

    /// The objects of these ids: those that are there.
    async fn objects<S: Served>(&self, ids: &[S::Id]) -> Result<HashMap<S::Id, Loaded<S>>> {
        let uuids = uuids(ids, S::Id::uuid);
        let found = self.store.object_get_many(&uuids).await?;
        let found = self.opened_many(found, &uuids).await?;
        Ok(by_id(found, |loaded| loaded.row.id))
    }

    async fn load_keys(&self, registry: &mut Registry) -> Result<()> {
        let mut after = None;
        loop {
            let page = self.store.api_key_list(KeyScope::All, after, limit());
            let page = page.await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = Some(last.id);
            for key in page {
                registry.put_key(key);
            }
        }
    }

    /// The rows that were changed, in the order in which they can be put into a snapshot.
    pub(super) async fn rows(
        &self,
        changed: &HashSet<Changed>,
        current: &Registry,
    ) -> Result<Vec<Row>> {
        let changed = ByKind::of(changed);
        let mut rows = Vec::new();
        for ids in changed.tenants.chunks(PAGE_ROWS) {
            let found = self
                .store
                .tenant_get_many(&uuids(ids, TenantId::uuid))
                .await?;
            let mut found = by_id(found, |tenant| tenant.id);
            rows.extend(ids.iter().map(|id| Row::Tenant(*id, found.remove(id))));
        }
        for names in changed.event_types.chunks(PAGE_ROWS) {
            let found = self.store.event_type_find_many(names).await?;
            rows.extend(names.iter().map(|name| {
                let is_there = found.contains(name);
                let (tenant, name) = name.clone();
                Row::EventType(tenant, name, is_there)
            }));
        }
        for ids in changed.endpoints.chunks(PAGE_ROWS) {
            let mut found = self.objects(ids).await?;
            rows.extend(ids.iter().map(|id| Row::Endpoint(*id, found.remove(id))));
        }
        for ids in changed.sources.chunks(PAGE_ROWS) {
            let mut found = self.objects(ids).await?;
            rows.extend(
                ids.iter()
                    .map(|id| Row::Source(*id, found.remove(id).map(Box::new))),
            );
        }
        for ids in changed.keys.chunks(PAGE_ROWS) {
            self.write_revocations(ids, current).await?;
            let store = self.store.vital();
            let found = store.api_key_get_many(&uuids(ids, KeyId::uuid)).await?;
            let mut found = by_id(found, |key| key.id);
            rows.extend(ids.iter().map(|id| Row::Key(*id, found.remove(id))));
        }
        Ok(rows)
    }

    /// Writes the revocations that took effect in this process and are not in the database.
    async fn write_revocations(&self, ids: &[KeyId], current: &Registry) -> Result<()> {
        for entry in ids.iter().filter_map(|id| current.key(*id)) {
            let revoked_at = entry.revoked_here_at();
            if let Some(at) = revoked_at.filter(|_| entry.key.revoked_at.is_none()) {
                self.write_revocation(entry.key.id, at).await?;
            }
        }
        Ok(())
    }

    async fn write_revocation(&self, id: KeyId, at: i64) -> Result<()> {
        let store = self.store.vital();
        let found = store.api_key_get(id).await?;
        let Some(key) = found.filter(|key| key.revoked_at.is_none()) else {
            return Ok(());
        };
        let mut tx = store.begin().await?;
        tx.api_key_revoke(id, at).await?;
        let record = Record::of(key.tenant_id, id)
            .because("its revocation took effect before it could be written")
            .by_posthorn("RevokeApiKey", at, &mut self.rng());
        tx.audit_insert(&record).await?;
        tx.commit().await?;
        audit::log(&record);
        Ok(())
    }
}

impl ByKind {
    fn of(changed: &HashSet<Changed>) -> Self {
        let mut kinds = Self::default();
        for changed in changed {
            match changed {
                Changed::Tenant(id) => kinds.tenants.push(*id),
                Changed::EventType(tenant, name) => kinds.event_types.push((*tenant, name.clone())),
                Changed::Endpoint(id) => kinds.endpoints.push(*id),
                Changed::Source(id) => kinds.sources.push(*id),
                Changed::Key(id) => kinds.keys.push(*id),
            }
        }
        kinds
    }
}

fn limit() -> i64 {
    i64::try_from(PAGE_ROWS).unwrap_or(i64::MAX)
}

fn uuids<T: Copy>(ids: &[T], uuid: impl Fn(T) -> Uuid) -> Vec<Uuid> {
    ids.iter().map(|id| uuid(*id)).collect()
}

fn by_id<T, K: std::hash::Hash + Eq>(
    rows: impl IntoIterator<Item = T>,
    id: impl Fn(&T) -> K,
) -> HashMap<K, T> {
    rows.into_iter().map(|row| (id(&row), row)).collect()
}
