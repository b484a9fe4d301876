//! The registry in memory: what the hot path asks instead of the database.
//!
//! [`Registry`] is an immutable snapshot; [`SharedRegistry`] publishes a new one after every committed change. The
//! database is the truth: each changed row is read anew, alone, and never taken from whoever changed it (see
//! [`publish`]). Snapshots share what did not change, so a change costs the same however much there is. Rows that others
//! write show only after a restart.
//!
//! An endpoint whose secret does not open is not served: it is listed in [`Registry::sealed`], its deliveries wait, and
//! nothing leaves unsigned. A source is treated alike: providers are asked to try later, and nothing is taken unverified.

mod capture;
mod changed;
mod disable;
mod key_entry;
mod load;
mod place;
mod publish;
mod snapshot;
mod tenant_entry;

use std::sync::Arc;

use arc_swap::ArcSwap;
use rpds::{HashTrieMapSync, HashTrieSetSync};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::watch;

use crate::{
    config::{PublicUrl, TenantLimits},
    entropy::Entropy,
    lock::{Lock, PENDING, REGISTRY, RESERVED},
    model::{
        api_key::{self, ApiKey, KeyHash, Roles},
        endpoint::LiveEndpoint,
        id::{EndpointId, KeyId, SourceId, TenantId},
        secret::Owner,
        source::LiveSource,
    },
    retry::RetryPolicy,
    store::{Result, Store},
    vault::Vault,
};

pub(crate) use capture::Capture;
pub(crate) use changed::Changed;
pub(crate) use key_entry::KeyEntry;
use load::Loader;
pub(crate) use place::{Capped, Place};
pub(crate) use publish::{EndpointChange, Promise};
pub(crate) use tenant_entry::TenantEntry;

/// What a control plane knows about tenants, endpoints and keys at one moment. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Registry {
    tenants: HashTrieMapSync<TenantId, Arc<TenantEntry>>,
    endpoints: HashTrieMapSync<EndpointId, Arc<LiveEndpoint>>,
    sealed: HashTrieMapSync<EndpointId, TenantId>,
    keys: HashTrieMapSync<KeyId, Arc<KeyEntry>>,
    /// Those of the whole installation.
    installation_keys: HashTrieSetSync<KeyId>,
    sources: HashTrieMapSync<SourceId, Arc<LiveSource>>,
    sealed_sources: HashTrieMapSync<SourceId, TenantId>,
    /// For endpoints whose tenant has no policy either.
    default_policy: Arc<RetryPolicy>,
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

    /// The schedule of an endpoint's attempts: its own, its tenant's or everybody's.
    pub(crate) fn retry_policy<'a>(&'a self, endpoint: &'a LiveEndpoint) -> &'a RetryPolicy {
        let settings = &endpoint.endpoint.settings;
        let of_tenant = || {
            let tenant = self.tenant(endpoint.endpoint.tenant_id)?;
            tenant.tenant.settings.retry_policy.as_ref()
        };
        let policy = settings.retry_policy.as_ref().or_else(of_tenant);
        policy.unwrap_or(&self.default_policy)
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

    /// Whose endpoint or source it is, sealed or not. None: there is none.
    pub(crate) fn owner_tenant(&self, owner: Owner) -> Option<TenantId> {
        match owner {
            Owner::Endpoint(id) => {
                let live = self.endpoints.get(&id);
                live.map(|live| live.endpoint.tenant_id)
                    .or_else(|| self.sealed.get(&id).copied())
            }
            Owner::Source(id) => self.source_tenant(id),
        }
    }

    /// One key, be it live or not.
    pub(crate) fn key(&self, id: KeyId) -> Option<&Arc<KeyEntry>> {
        self.keys.get(&id)
    }

    /// The keys of a tenant, or those of the whole installation.
    pub(crate) fn keys_of(&self, scope: Option<TenantId>) -> impl Iterator<Item = &Arc<KeyEntry>> {
        let ids = match scope {
            Some(id) => self.tenants.get(&id).map(|entry| entry.keys()),
            None => Some(&self.installation_keys),
        };
        let ids = ids.into_iter().flat_map(|ids| ids.iter());
        ids.filter_map(|id| self.keys.get(id))
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
    limits: TenantLimits,
    current: ArcSwap<Registry>,
    /// Held while a snapshot is made of the one before, never across a wait.
    edit: Lock<(), REGISTRY>,
    pending: Lock<publish::Pending, PENDING>,
    reserved: Lock<place::Reserved, RESERVED>,
    observer: publish::Observer,
    /// How many snapshots with other sources were published.
    source_changes: watch::Sender<u64>,
}

impl SharedRegistry {
    /// Reads the whole registry. `default_policy` is for endpoints whose tenant has none either; `public_url` is where
    /// providers reach sources; `limits` is how much each tenant can have.
    pub(crate) async fn load(
        store: Store,
        vault: Arc<Vault>,
        default_policy: RetryPolicy,
        public_url: PublicUrl,
        limits: TenantLimits,
        entropy: Entropy,
    ) -> Result<Self> {
        let loader = Loader::new(store, vault, public_url, entropy);
        let registry = loader.registry(default_policy).await?;
        Ok(Self {
            inner: Arc::new(Inner {
                loader,
                limits,
                current: ArcSwap::from_pointee(registry),
                edit: Lock::default(),
                pending: Lock::default(),
                reserved: Lock::default(),
                observer: publish::Observer::default(),
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

    /// Ends a key at once, for every call and every stream, whatever snapshot they look at. Whether the database knows of
    /// it already is another matter: until it does, the row is written again and again. None: there is no such key here.
    pub(crate) fn end_key(&self, id: KeyId, now: i64) -> Option<Promise> {
        self.snapshot().key(id)?.revoke(now);
        Some(self.promise([Changed::Key(id)]))
    }

    /// Ends every key of a tenant that is deleted, at once.
    pub(crate) fn end_keys_of(&self, tenant: TenantId) {
        for key in self.snapshot().keys_of(Some(tenant)) {
            key.end();
        }
    }

    /// Makes a key of the installation that exists in this process's memory only, for a node in the same process.
    pub(crate) fn add_ephemeral_key(&self, roles: Roles, now: i64) -> SecretString {
        let mut rng = self.inner.loader.rng();
        let id = KeyId::new(now, &mut rng);
        let text = api_key::generate(id, &mut rng);
        let key = ApiKey {
            id,
            tenant_id: None,
            name: "in memory".to_owned(),
            roles,
            created_at: now,
            expires_at: None,
            revoked_at: None,
            hash: KeyHash::of(text.expose_secret()),
        };
        self.edit(|registry| registry.put_key(key));
        text
    }

    /// Publishes a changed copy of the snapshot.
    fn edit(&self, edit: impl FnOnce(&mut Registry)) {
        let _turn = self.inner.edit.lock();
        let mut registry = Registry::clone(&self.inner.current.load());
        edit(&mut registry);
        self.inner.current.store(Arc::new(registry));
    }
}

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;
