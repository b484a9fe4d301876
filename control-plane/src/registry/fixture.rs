//! Registry content for tests, and a database to keep it in.

use std::sync::Arc;

use posthorn_guard::{AllowList, Policy, Resolver};
use rand::{SeedableRng as _, rngs::StdRng};
use secrecy::ExposeSecret as _;
use tempfile::TempDir;
use uuid::Uuid;

use super::{Registry, SharedRegistry};
use crate::{
    clock::Clock,
    config::TenantLimits,
    core::Core,
    entropy::Entropy,
    metrics::Metrics,
    model::{
        api_key::ApiKey,
        endpoint::{Endpoint, EndpointSettings, Target},
        id::{EndpointId, SecretId, SourceId, TenantId},
        secret::{Binding, Purpose},
        source::{Source, SourceSettings},
        subscription::Subscription,
        tenant::{Environment, Tenant, TenantSettings},
    },
    retry::RetryPolicy,
    store::{Change, RegistryTx, Store},
    vault::{Keyring, Vault},
};

/// Tenant number `n`.
pub(crate) fn tenant(n: u128) -> Tenant {
    let settings = TenantSettings {
        name: format!("tenant {n}"),
        organization_id: String::new(),
        environment: Environment::Development,
        retry_policy: None,
    };
    Tenant::new(TenantId::from_uuid(Uuid::from_u128(n)), settings, 1)
}

/// Endpoint number `n` of a tenant, with these subscriptions.
pub(crate) fn endpoint(n: u128, tenant: &Tenant, subscriptions: &[&str]) -> Endpoint {
    let subscriptions = subscriptions
        .iter()
        .map(|text| Subscription::parse(text).unwrap());
    let target = Target::Url("https://example.com/".to_owned());
    let settings = EndpointSettings {
        subscriptions: subscriptions.collect(),
        ..EndpointSettings::to(target)
    };
    Endpoint::new(
        EndpointId::from_uuid(Uuid::from_u128(n)),
        tenant,
        settings,
        1,
    )
}

/// Source number `n` of a tenant, of a provider of the catalogue.
pub(crate) fn source(n: u128, tenant: &Tenant, provider: &str) -> Source {
    let settings = SourceSettings::of(Some(provider.to_owned()));
    Source::new(SourceId::from_uuid(Uuid::from_u128(n)), tenant, settings, 1)
}

/// A registry that is in no database.
pub(crate) fn registry(
    tenants: impl IntoIterator<Item = Tenant>,
    keys: impl IntoIterator<Item = ApiKey>,
) -> Registry {
    let mut registry = Registry::default();
    for tenant in tenants {
        registry.put_tenant(&tenant);
    }
    for key in keys {
        registry.put_key(key);
    }
    registry
}

/// A vault with one master key, made from `seed`.
pub(crate) fn vault(seed: u64) -> Vault {
    vault_of(&[seed])
}

/// A vault with several master keys, the current one first.
pub(crate) fn vault_of(seeds: &[u64]) -> Vault {
    let keys = seeds
        .iter()
        .map(|seed| Keyring::generate(&mut StdRng::seed_from_u64(*seed)));
    let texts = keys
        .map(|key| key.expose_secret().to_owned())
        .collect::<Vec<_>>();
    Vault::new(Keyring::parse(&texts.join("\n").into()).unwrap())
}

/// An empty database. It lasts as long as the directory.
pub(crate) async fn store() -> (Store, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("posthorn.db");
    let store = Store::open(&format!("sqlite:{}", path.display()))
        .await
        .unwrap();
    (store, directory)
}

/// The registry that a database holds, with the usual settings.
pub(crate) async fn shared(store: &Store, vault: Vault) -> SharedRegistry {
    shared_within(store, vault, TenantLimits::default()).await
}

/// What every part of a plane is given, over a database.
pub(crate) async fn core(store: &Store, vault: Vault) -> Core {
    let vault = Arc::new(vault);
    let policy = Policy::new(AllowList::default(), []);
    Core {
        store: store.clone(),
        registry: shared_of(store, Arc::clone(&vault), TenantLimits::default()).await,
        vault,
        resolver: Resolver::from_system(Arc::new(policy)).unwrap(),
        metrics: Metrics::new(&mut posthorn_telemetry::Registry::default()),
        clock: Clock::system(),
        entropy: Entropy::system(),
        protocols: 2..=2,
        loop_mark: crate::cdn_loop::LoopMark::of(crate::model::id::KeyId::from_uuid(
            uuid::Uuid::nil(),
        )),
    }
}

/// The same, with other limits.
pub(crate) async fn shared_within(
    store: &Store,
    vault: Vault,
    limits: TenantLimits,
) -> SharedRegistry {
    shared_of(store, vault.into(), limits).await
}

async fn shared_of(store: &Store, vault: Arc<Vault>, limits: TenantLimits) -> SharedRegistry {
    let public_url = "https://hooks.example.com".parse().unwrap();
    let policy = RetryPolicy::Long;
    SharedRegistry::load(
        store.clone(),
        vault,
        policy,
        public_url,
        limits,
        Entropy::system(),
    )
    .await
    .unwrap()
}

/// Writes a tenant.
pub(crate) async fn insert_tenant(store: &Store, tenant: &Tenant) {
    let mut tx = store.begin().await.unwrap();
    assert_eq!(tx.tenant_insert(tenant).await.unwrap(), Change::Done);
    tx.commit().await.unwrap();
}

/// Writes an endpoint with a signing key of 32 times the byte 7.
pub(crate) async fn insert_endpoint(store: &Store, vault: &Vault, endpoint: &Endpoint) {
    let mut tx = store.begin().await.unwrap();
    insert_endpoint_in(&mut tx, vault, endpoint).await;
    tx.commit().await.unwrap();
}

/// The same, in a transaction.
pub(crate) async fn insert_endpoint_in(tx: &mut RegistryTx, vault: &Vault, endpoint: &Endpoint) {
    let binding = Binding {
        tenant_id: endpoint.tenant_id,
        owner: endpoint.id.into(),
        id: SecretId::from_uuid(endpoint.id.uuid()),
        version: 1,
        purpose: Purpose::Signing,
    };
    let sealed = vault.seal(&[7; 32], binding, 1, &mut StdRng::seed_from_u64(1));
    assert_eq!(tx.object_insert(endpoint).await.unwrap(), Change::Done);
    tx.secret_insert(&sealed.unwrap()).await.unwrap();
}

/// Writes a source with these secrets, the current one last.
pub(crate) async fn insert_source(store: &Store, vault: &Vault, source: &Source, secrets: &[&str]) {
    let mut tx = store.begin().await.unwrap();
    assert_eq!(tx.object_insert(source).await.unwrap(), Change::Done);
    for (secret, at) in secrets.iter().zip(1..) {
        let mut rng = StdRng::seed_from_u64(1);
        let purpose = Purpose::Verification;
        let binding = Binding::new(source.tenant_id, source.id, purpose, at, &mut rng);
        let sealed = vault.seal(secret.as_bytes(), binding, at, &mut rng);
        tx.secret_insert(&sealed.unwrap()).await.unwrap();
    }
    tx.commit().await.unwrap();
}
