//! Reading the registry from the database, and opening its secrets.

mod source;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use secrecy::SecretString;

use super::{Registry, TenantEntry};
use crate::{
    config::PublicUrl,
    model::{
        api_key::ApiKey,
        endpoint::{Endpoint, LiveEndpoint, LiveTarget, Posting, Target},
        event_type::EventTypeName,
        id::{EndpointId, KeyId, TenantId},
        secret::{Purpose, SealedSecret},
        tenant::Tenant,
    },
    retry::RetryPolicy,
    sign::SigningKey,
    store::{KeyScope, Result, Store},
    vault::{OpenError, Vault},
};
use source::LoadedSource;

/// How many rows are read at a time.
const PAGE_ROWS: i64 = 500;

/// Reads registry entries.
#[derive(Debug)]
pub(super) struct Loader {
    store: Store,
    vault: Arc<Vault>,
    default_policy: RetryPolicy,
    public_url: PublicUrl,
}

/// An endpoint as it was read.
pub(super) struct LoadedEndpoint {
    endpoint: Endpoint,
    /// None: its secrets do not open.
    live: Option<LiveEndpoint>,
}

/// A tenant as it was read.
pub(super) struct LoadedTenant {
    tenant: Tenant,
    event_types: HashSet<EventTypeName>,
    endpoints: Vec<LoadedEndpoint>,
    sources: Vec<LoadedSource>,
}

/// Why an endpoint cannot be signed for.
#[derive(Debug, thiserror::Error)]
enum SealedReason {
    /// A secret does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A secret opens but holds what no secret of ours holds.
    #[error("a secret has no valid content")]
    Content,
    /// There is no signing key.
    #[error("there is no signing key")]
    NoSigningKey,
}

impl Loader {
    pub(super) fn new(
        store: Store,
        vault: Arc<Vault>,
        default_policy: RetryPolicy,
        public_url: PublicUrl,
    ) -> Self {
        Self {
            store,
            vault,
            default_policy,
            public_url,
        }
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    pub(super) fn vault(&self) -> &Vault {
        &self.vault
    }

    pub(super) async fn registry(&self) -> Result<Registry> {
        let mut registry = Registry::default();
        let mut after = None;
        loop {
            let tenants = self.store.tenant_list(after, PAGE_ROWS).await?;
            let Some(last) = tenants.last() else { break };
            after = Some(last.id);
            for tenant in tenants {
                registry.add_tenant(self.tenant_content(tenant).await?);
            }
        }
        registry.keys = Arc::new(self.keys().await?);
        Ok(registry)
    }

    pub(super) async fn tenant(&self, id: TenantId) -> Result<Option<LoadedTenant>> {
        match self.store.tenant_get(id).await? {
            Some(tenant) => Ok(Some(self.tenant_content(tenant).await?)),
            None => Ok(None),
        }
    }

    pub(super) async fn event_types(&self, tenant: TenantId) -> Result<HashSet<EventTypeName>> {
        let mut names = HashSet::new();
        let mut after = String::new();
        loop {
            let page = self
                .store
                .event_type_list(tenant, &after, PAGE_ROWS)
                .await?;
            let Some(last) = page.last() else { break };
            last.name.as_str().clone_into(&mut after);
            names.extend(page.into_iter().map(|event_type| event_type.name));
        }
        Ok(names)
    }

    pub(super) async fn endpoint(
        &self,
        id: EndpointId,
        registry: &Registry,
    ) -> Result<Option<LoadedEndpoint>> {
        let Some(endpoint) = self.store.endpoint_get(id).await? else {
            return Ok(None);
        };
        let Some(tenant) = registry.tenant(endpoint.tenant_id) else {
            return Ok(None);
        };
        let secrets = self.store.secret_list(id).await?;
        Ok(Some(self.open(endpoint, &tenant.tenant, &secrets)))
    }

    pub(super) async fn key(&self, id: KeyId) -> Result<Option<ApiKey>> {
        self.store.vital().api_key_get(id).await
    }

    async fn keys(&self) -> Result<HashMap<KeyId, Arc<ApiKey>>> {
        let mut keys = HashMap::new();
        let mut after = None;
        loop {
            let page = self
                .store
                .api_key_list(KeyScope::All, after, PAGE_ROWS)
                .await?;
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            keys.extend(page.into_iter().map(|key| (key.id, Arc::new(key))));
        }
        Ok(keys)
    }

    async fn tenant_content(&self, tenant: Tenant) -> Result<LoadedTenant> {
        let event_types = self.event_types(tenant.id).await?;
        let mut endpoints = Vec::new();
        let mut after = None;
        loop {
            let page = self
                .store
                .endpoint_list(tenant.id, after, PAGE_ROWS)
                .await?;
            let (Some(first), Some(last)) = (page.first(), page.last()) else {
                break;
            };
            let secrets = self
                .store
                .secret_list_range(tenant.id, first.id, last.id)
                .await?;
            let secrets = by_endpoint(secrets);
            after = Some(last.id);
            endpoints.extend(page.into_iter().map(|endpoint| {
                let secrets = secrets.get(&endpoint.id).map_or(&[][..], Vec::as_slice);
                self.open(endpoint, &tenant, secrets)
            }));
        }
        Ok(LoadedTenant {
            sources: self.sources(tenant.id).await?,
            tenant,
            event_types,
            endpoints,
        })
    }

    fn open(
        &self,
        endpoint: Endpoint,
        tenant: &Tenant,
        secrets: &[SealedSecret],
    ) -> LoadedEndpoint {
        let live = match self.live(&endpoint, tenant, secrets) {
            Ok(live) => Some(live),
            Err(reason) => {
                let id = endpoint.id;
                tracing::error!(endpoint_id = %id, error = %reason, "endpoint {id} cannot be signed for, so its deliveries wait");
                None
            }
        };
        LoadedEndpoint { endpoint, live }
    }

    fn live(
        &self,
        endpoint: &Endpoint,
        tenant: &Tenant,
        secrets: &[SealedSecret],
    ) -> std::result::Result<LiveEndpoint, SealedReason> {
        let target = match &endpoint.settings.target {
            Target::Url(url) => LiveTarget::Url(Box::new(self.posting(url, secrets)?)),
            Target::Consumer(handler) => LiveTarget::Consumer(handler.clone()),
        };
        let own = endpoint.settings.retry_policy.as_ref();
        let policy = own.or(tenant.settings.retry_policy.as_ref());
        Ok(LiveEndpoint {
            endpoint: endpoint.clone(),
            retry_policy: policy.unwrap_or(&self.default_policy).clone(),
            target,
        })
    }

    fn posting(
        &self,
        url: &str,
        secrets: &[SealedSecret],
    ) -> std::result::Result<Posting, SealedReason> {
        let mut signing_key = None;
        let mut former_signing_key = None;
        let mut secret_headers = Vec::new();
        for secret in secrets {
            let bytes = self.vault.open(&secret.sealed, secret.into())?;
            match (secret.purpose, secret.retires_at) {
                (Purpose::Signing, None) => signing_key = Some(key_of(&bytes)?),
                (Purpose::Signing, Some(until)) => {
                    former_signing_key = Some((key_of(&bytes)?, until));
                }
                (Purpose::Header, _) => {
                    let value = std::str::from_utf8(&bytes).map_err(|_| SealedReason::Content)?;
                    secret_headers.push((secret.name.clone(), SecretString::from(value)));
                }
                (Purpose::Verification | Purpose::Polling, _) => return Err(SealedReason::Content),
            }
        }
        Ok(Posting {
            url: url.to_owned(),
            signing_key: signing_key.ok_or(SealedReason::NoSigningKey)?,
            former_signing_key,
            secret_headers,
        })
    }
}

impl Registry {
    pub(super) fn add_tenant(&mut self, loaded: LoadedTenant) {
        let LoadedTenant {
            tenant,
            event_types,
            endpoints,
            sources,
        } = loaded;
        let members = endpoints.iter().map(|loaded| &loaded.endpoint);
        let entry = TenantEntry::new(tenant, event_types, members);
        Arc::make_mut(&mut self.tenants).insert(entry.tenant.id, Arc::new(entry));
        for endpoint in endpoints {
            self.put_live(endpoint);
        }
        for source in sources {
            self.put_source(source);
        }
    }

    pub(super) fn remove_tenant(&mut self, id: TenantId) {
        let Some(entry) = Arc::make_mut(&mut self.tenants).remove(&id) else {
            return;
        };
        let (endpoints, sealed) = (
            Arc::make_mut(&mut self.endpoints),
            Arc::make_mut(&mut self.sealed),
        );
        for endpoint in entry.endpoint_ids() {
            endpoints.remove(&endpoint);
            sealed.remove(&endpoint);
        }
        self.remove_sources_of(id);
    }

    pub(super) fn edit_tenant(&mut self, id: TenantId, edit: impl FnOnce(&mut TenantEntry)) {
        if let Some(entry) = Arc::make_mut(&mut self.tenants).get_mut(&id) {
            edit(Arc::make_mut(entry));
        }
    }

    pub(super) fn put_endpoint(&mut self, loaded: LoadedEndpoint) {
        self.edit_tenant(loaded.endpoint.tenant_id, |entry| {
            entry.put_endpoint(&loaded.endpoint);
        });
        self.put_live(loaded);
    }

    pub(super) fn remove_endpoint(&mut self, id: EndpointId) {
        let live = Arc::make_mut(&mut self.endpoints).remove(&id);
        let sealed = Arc::make_mut(&mut self.sealed).remove(&id);
        let tenant = live.map(|live| live.endpoint.tenant_id).or(sealed);
        if let Some(tenant) = tenant {
            self.edit_tenant(tenant, |entry| entry.remove_endpoint(id));
        }
    }

    fn put_live(&mut self, loaded: LoadedEndpoint) {
        let LoadedEndpoint { endpoint, live } = loaded;
        let (endpoints, sealed) = (
            Arc::make_mut(&mut self.endpoints),
            Arc::make_mut(&mut self.sealed),
        );
        if let Some(live) = live {
            sealed.remove(&endpoint.id);
            endpoints.insert(endpoint.id, Arc::new(live));
        } else {
            endpoints.remove(&endpoint.id);
            sealed.insert(endpoint.id, endpoint.tenant_id);
        }
    }
}

fn key_of(bytes: &[u8]) -> std::result::Result<SigningKey, SealedReason> {
    SigningKey::from_bytes(bytes.to_vec()).map_err(|_| SealedReason::Content)
}

fn by_endpoint(secrets: Vec<SealedSecret>) -> BTreeMap<EndpointId, Vec<SealedSecret>> {
    let mut map = BTreeMap::<_, Vec<_>>::new();
    for secret in secrets {
        map.entry(secret.endpoint_id).or_default().push(secret);
    }
    map
}
