//! The registry in memory: what the hot path asks instead of the database.
//!
//! [`Registry`] is an immutable snapshot; [`SharedRegistry`] publishes a new one after every committed change. The
//! database is the truth: a refresh reads the changed thing anew and never trusts what a caller has. Refreshes take
//! turns, so a later one never publishes older data. Another process's changes show only after [`SharedRegistry::reload`].
//!
//! An endpoint whose secret does not open is not served: it is listed in [`Registry::sealed`], its deliveries wait, and
//! nothing leaves unsigned. A source is treated alike: providers are asked to try later, and nothing is taken unverified.

mod capture;
mod load;
mod tenant_entry;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use arc_swap::ArcSwap;
use rand::Rng;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::{Mutex, MutexGuard, watch};

use crate::{
    config::PublicUrl,
    model::{
        api_key::{self, ApiKey, KeyHash, Roles},
        endpoint::LiveEndpoint,
        id::{EndpointId, KeyId, SourceId, TenantId},
        source::LiveSource,
    },
    retry::RetryPolicy,
    store::{Result, Store},
    vault::Vault,
};

pub(crate) use capture::Capture;
use load::Loader;
pub(crate) use tenant_entry::TenantEntry;

/// What a control plane knows about tenants, endpoints and keys at one moment. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Registry {
    tenants: Arc<BTreeMap<TenantId, Arc<TenantEntry>>>,
    endpoints: Arc<HashMap<EndpointId, Arc<LiveEndpoint>>>,
    sealed: Arc<BTreeMap<EndpointId, TenantId>>,
    keys: Arc<HashMap<KeyId, Arc<ApiKey>>>,
    sources: Arc<HashMap<SourceId, Arc<LiveSource>>>,
    sealed_sources: Arc<BTreeMap<SourceId, TenantId>>,
}

impl Registry {
    /// One tenant.
    pub(crate) fn tenant(&self, id: TenantId) -> Option<&Arc<TenantEntry>> {
        self.tenants.get(&id)
    }

    /// One endpoint, in whatever state. None: there is none, or it is sealed.
    pub(crate) fn endpoint(&self, id: EndpointId) -> Option<&Arc<LiveEndpoint>> {
        self.endpoints.get(&id)
    }

    /// Every endpoint that is not sealed, in no order.
    pub(crate) fn endpoints(&self) -> impl Iterator<Item = &Arc<LiveEndpoint>> {
        self.endpoints.values()
    }

    /// The endpoints that exist but cannot be signed for.
    pub(crate) fn sealed(&self) -> impl Iterator<Item = EndpointId> {
        self.sealed.keys().copied()
    }

    /// Whether the endpoint exists but cannot be signed for.
    pub(crate) fn is_sealed(&self, id: EndpointId) -> bool {
        self.sealed.contains_key(&id)
    }

    /// One source, in whatever state. None: there is none, or it is sealed.
    pub(crate) fn source(&self, id: SourceId) -> Option<&Arc<LiveSource>> {
        self.sources.get(&id)
    }

    /// Every source that is not sealed, in no order.
    pub(crate) fn sources(&self) -> impl Iterator<Item = &Arc<LiveSource>> {
        self.sources.values()
    }

    /// The sources that exist but whose requests cannot be judged.
    pub(crate) fn sealed_sources(&self) -> impl Iterator<Item = SourceId> {
        self.sealed_sources.keys().copied()
    }

    /// Whether the source exists but its requests cannot be judged.
    pub(crate) fn is_source_sealed(&self, id: SourceId) -> bool {
        self.sealed_sources.contains_key(&id)
    }

    /// Whose source it is, sealed or not. None: there is none.
    pub(crate) fn source_tenant(&self, id: SourceId) -> Option<TenantId> {
        let live = self.sources.get(&id);
        live.map(|live| live.source.tenant_id)
            .or_else(|| self.sealed_sources.get(&id).copied())
    }

    /// One key, be it live or not.
    pub(crate) fn key(&self, id: KeyId) -> Option<&Arc<ApiKey>> {
        self.keys.get(&id)
    }
}

/// The registry as everything in the process shares it.
#[derive(Debug, Clone)]
pub(crate) struct SharedRegistry {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    loader: Loader,
    current: ArcSwap<Registry>,
    /// Held from the read of a changed thing to its publication. Guards the keys that exist in memory only.
    turn: Mutex<Vec<Arc<ApiKey>>>,
    /// A commit or a refresh failed, or was dropped: the database may hold a change that was not published.
    is_stale: AtomicBool,
    /// How many snapshots with other sources were published.
    source_changes: watch::Sender<u64>,
}

/// The right to publish. Dropped without publishing, it leaves word that the registry may be stale.
struct Turn<'a> {
    ephemeral: MutexGuard<'a, Vec<Arc<ApiKey>>>,
    inner: &'a Inner,
    is_published: bool,
}

impl SharedRegistry {
    /// Reads the whole registry. `default_policy` is for endpoints whose tenant has none either; `public_url` is where
    /// providers reach sources.
    pub(crate) async fn load(
        store: Store,
        vault: Arc<Vault>,
        default_policy: RetryPolicy,
        public_url: PublicUrl,
    ) -> Result<Self> {
        let loader = Loader::new(store, vault, default_policy, public_url);
        let registry = loader.registry().await?;
        Ok(Self {
            inner: Arc::new(Inner {
                loader,
                current: ArcSwap::from_pointee(registry),
                turn: Mutex::default(),
                is_stale: AtomicBool::new(false),
                source_changes: watch::Sender::new(0),
            }),
        })
    }

    /// The registry of this moment.
    pub(crate) fn snapshot(&self) -> Arc<Registry> {
        self.inner.current.load_full()
    }

    /// Changes whenever a snapshot with other sources is published.
    pub(crate) fn source_changes(&self) -> watch::Receiver<u64> {
        self.inner.source_changes.subscribe()
    }

    /// Reads the whole registry anew.
    pub(crate) async fn reload(&self) -> Result<()> {
        let turn = self.turn().await;
        let mut registry = self.inner.loader.registry().await?;
        let keys = Arc::make_mut(&mut registry.keys);
        keys.extend(turn.ephemeral.iter().map(|key| (key.id, Arc::clone(key))));
        turn.publish(registry);
        Ok(())
    }

    /// The end of a commit whose change is published next. When it failed it may have taken place all the same, so the
    /// registry counts as stale until [`SharedRegistry::mend`].
    pub(crate) fn published_later<T>(&self, committed: Result<T>) -> Result<T> {
        if committed.is_err() {
            self.inner.is_stale.store(true, Ordering::Release);
        }
        committed
    }

    /// Reads everything anew if a commit or a refresh failed since the last time; whether it did. Called again and again by a
    /// background task.
    pub(crate) async fn mend(&self) -> Result<bool> {
        let is_stale = self.inner.is_stale.swap(false, Ordering::AcqRel);
        if is_stale {
            self.reload().await?;
        }
        Ok(is_stale)
    }

    /// Reads a tenant anew, with its event types, endpoints and sources.
    pub(crate) async fn refresh_tenant(&self, id: TenantId) -> Result<()> {
        let turn = self.turn().await;
        let loaded = self.inner.loader.tenant(id).await?;
        let mut registry = turn.editable();
        registry.remove_tenant(id);
        match loaded {
            Some(loaded) => registry.add_tenant(loaded),
            None => Arc::make_mut(&mut registry.keys).retain(|_, key| key.tenant_id != Some(id)),
        }
        turn.publish(registry);
        Ok(())
    }

    /// Reads a tenant's event types anew.
    pub(crate) async fn refresh_event_types(&self, tenant: TenantId) -> Result<()> {
        let turn = self.turn().await;
        let event_types = self.inner.loader.event_types(tenant).await?;
        let mut registry = turn.editable();
        registry.edit_tenant(tenant, |entry| entry.set_event_types(event_types));
        turn.publish(registry);
        Ok(())
    }

    /// Reads an endpoint anew, with its secrets.
    pub(crate) async fn refresh_endpoint(&self, id: EndpointId) -> Result<()> {
        let turn = self.turn().await;
        let mut registry = turn.editable();
        let loaded = self.inner.loader.endpoint(id, &registry).await?;
        match loaded {
            Some(loaded) => registry.put_endpoint(loaded),
            None => registry.remove_endpoint(id),
        }
        turn.publish(registry);
        Ok(())
    }

    /// Reads a source anew, with its secrets.
    pub(crate) async fn refresh_source(&self, id: SourceId) -> Result<()> {
        let turn = self.turn().await;
        let loaded = self.inner.loader.source(id).await?;
        let mut registry = turn.editable();
        match loaded {
            Some(loaded) => registry.put_source(loaded),
            None => registry.remove_source(id),
        }
        turn.publish(registry);
        Ok(())
    }

    /// Reads a key anew.
    pub(crate) async fn refresh_key(&self, id: KeyId) -> Result<()> {
        let turn = self.turn().await;
        let loaded = self.inner.loader.key(id).await?;
        let mut registry = turn.editable();
        let keys = Arc::make_mut(&mut registry.keys);
        match loaded {
            Some(key) => keys.insert(id, Arc::new(key)),
            None => keys.remove(&id),
        };
        turn.publish(registry);
        Ok(())
    }

    /// Makes a key of the installation that exists in this process's memory only, for a node in the same process.
    pub(crate) async fn add_ephemeral_key(
        &self,
        roles: Roles,
        now: i64,
        rng: &mut (impl Rng + Send),
    ) -> SecretString {
        let id = KeyId::new(now, rng);
        let text = api_key::generate(id, rng);
        let key = Arc::new(ApiKey {
            id,
            tenant_id: None,
            name: "in memory".to_owned(),
            roles,
            created_at: now,
            expires_at: None,
            revoked_at: None,
            hash: KeyHash::of(text.expose_secret()),
        });
        let mut turn = self.turn().await;
        turn.ephemeral.push(Arc::clone(&key));
        let mut registry = turn.editable();
        Arc::make_mut(&mut registry.keys).insert(id, key);
        turn.publish(registry);
        text
    }

    async fn turn(&self) -> Turn<'_> {
        Turn {
            ephemeral: self.inner.turn.lock().await,
            inner: &self.inner,
            is_published: false,
        }
    }
}

impl Turn<'_> {
    /// A copy to change; its maps are copied when they are written to.
    fn editable(&self) -> Registry {
        Registry::clone(&self.inner.current.load())
    }

    fn publish(mut self, registry: Registry) {
        let former = self.inner.current.swap(Arc::new(registry));
        self.is_published = true;
        if !Arc::ptr_eq(&former.sources, &self.inner.current.load().sources) {
            self.inner.source_changes.send_modify(|count| *count += 1);
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if !self.is_published {
            self.inner.is_stale.store(true, Ordering::Release);
        }
    }
}

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod source_tests;
#[cfg(test)]
mod tests;
