//! The first start: the keys that nobody could ask for, because there was none to ask with.
//!
//! Which start is the first is decided by the database: the one that finds no API key. The keys are shown once and kept
//! nowhere. A process that dies after the commit and before it has shown them leaves a database that nobody can enter;
//! it is empty, so it can be deleted.

use secrecy::{ExposeSecret as _, SecretString};

use crate::{
    clock,
    model::{
        api_key::{self, ApiKey, KeyHash, Role, Roles},
        id::{KeyId, TenantId},
        tenant::{Environment, Tenant, TenantSettings},
    },
    registry::SharedRegistry,
    store::{Change, Error, Result, Store, Tx},
};

/// The tenant of a standalone installation.
pub const DEFAULT_TENANT: &str = "default";

/// The keys of a first start. They never expire.
#[derive(Debug)]
pub struct Bootstrapped {
    /// The admin key of the installation.
    pub admin_key: SecretString,
    /// The key of the tenant `default`, an operator and emitter. None: such a tenant was not asked for.
    pub default_key: Option<SecretString>,
}

/// Makes the first keys if the database has none; with `with_default_tenant` the tenant `default` and its key too.
/// The caller is the only one that starts on this database.
pub(crate) async fn first_start(
    store: &Store,
    registry: &SharedRegistry,
    with_default_tenant: bool,
    now: i64,
) -> Result<Option<Bootstrapped>> {
    let mut tx = store.begin().await?;
    if tx.api_key_exists().await? {
        return Ok(None);
    }
    let (admin, admin_key) = new_key("bootstrap admin", None, &[Role::Admin], now);
    done(tx.api_key_insert(&admin).await?)?;
    let default_key = if with_default_tenant { Some(default_tenant(&mut tx, now).await?) } else { None };
    tx.commit().await?;
    registry.reload().await?;
    Ok(Some(Bootstrapped { admin_key, default_key }))
}

async fn default_tenant(tx: &mut Tx, now: i64) -> Result<SecretString> {
    let tenant = Tenant {
        id: TenantId::new(now, &mut clock::rng()),
        settings: TenantSettings {
            name: DEFAULT_TENANT.to_owned(),
            organization_id: String::new(),
            environment: Environment::Development,
            retry_policy: None,
        },
        version: 1,
        created_at: now,
        updated_at: now,
    };
    done(tx.tenant_insert(&tenant).await?)?;
    let roles = [Role::Operator, Role::Emitter];
    let (key, text) = new_key("bootstrap default", Some(tenant.id), &roles, now);
    done(tx.api_key_insert(&key).await?)?;
    Ok(text)
}

fn new_key(
    name: &str,
    tenant_id: Option<TenantId>,
    roles: &[Role],
    now: i64,
) -> (ApiKey, SecretString) {
    let id = KeyId::new(now, &mut clock::rng());
    let text = api_key::generate(id, &mut clock::rng());
    let key = ApiKey {
        id,
        tenant_id,
        name: name.to_owned(),
        roles: Roles::of(roles),
        created_at: now,
        expires_at: None,
        revoked_at: None,
        hash: KeyHash::of(text.expose_secret()),
    };
    (key, text)
}

fn done(change: Change) -> Result<()> {
    match change {
        Change::Done => Ok(()),
        other => Err(Error::bug(format!("{other:?} in a database without keys"))),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{registry::fixture, retry::RetryPolicy, store::KeyScope};

    async fn start(store: &Store, with_default_tenant: bool) -> (SharedRegistry, Option<Bootstrapped>) {
        let vault = Arc::new(fixture::vault(1));
        let registry = SharedRegistry::load(store.clone(), vault, RetryPolicy::Default).await.unwrap();
        let started = first_start(store, &registry, with_default_tenant, 1).await.unwrap();
        (registry, started)
    }

    #[tokio::test]
    async fn the_first_start_makes_an_admin_key_and_no_other_does() {
        let (store, _directory) = fixture::store().await;
        let (registry, started) = start(&store, false).await;
        let keys = started.unwrap();
        assert!(keys.default_key.is_none());
        assert!(start(&store, true).await.1.is_none());

        let id = api_key::parse(keys.admin_key.expose_secret()).unwrap();
        let registry = registry.snapshot();
        let key = registry.key(id).unwrap();
        assert!(key.hash.matches(keys.admin_key.expose_secret()));
        assert_eq!((key.tenant_id, key.expires_at), (None, None));
        assert_eq!(key.roles, Roles::of(&[Role::Admin]));
    }

    #[tokio::test]
    async fn a_standalone_start_makes_a_tenant_with_a_key() {
        let (store, _directory) = fixture::store().await;
        let keys = start(&store, true).await.1.unwrap();
        let tenant = store.tenant_list(None, 9).await.unwrap().remove(0);
        assert_eq!(tenant.settings.name, DEFAULT_TENANT);
        let scope = KeyScope::Tenant(tenant.id);
        let key = store.api_key_list(scope, None, 9).await.unwrap().remove(0);
        assert!(key.hash.matches(keys.default_key.unwrap().expose_secret()));
        assert_eq!(key.roles, Roles::of(&[Role::Operator, Role::Emitter]));
    }
}
