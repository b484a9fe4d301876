//! The first start: the keys that nobody could ask for, because there was none to ask with.
//!
//! Which start is the first is decided by the database: the one that finds no API key. New keys are handed over before
//! they are committed. A crash in between leaves a key that does not work, and the next start makes another; the reverse
//! would leave a database that nobody has a key to.

use std::{fs::DirBuilder, io, os::unix::fs::DirBuilderExt as _};

use rand::CryptoRng;
use secrecy::{ExposeSecret as _, SecretString};
use uuid::Uuid;

use crate::{
    audit::Record,
    config::Config,
    model::{
        api_key::{self, ApiKey, KeyHash, Role, Roles},
        id::{KeyId, TenantId},
        tenant::{Environment, Tenant, TenantSettings},
    },
    store::{self, Change, RegistryTx, RequestKey, Store},
    vault::{KeySource, KeySourceError, SealedUnder},
};

/// The tenant of a standalone installation.
pub const DEFAULT_TENANT: &str = "default";

/// What a first start makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// An admin key of the installation.
    Installation,
    /// The same, and the tenant `default` with a key of its own.
    WithDefaultTenant,
}

/// The keys of a first start. Shown once, kept nowhere.
#[derive(Debug)]
pub struct FirstKeys {
    /// The admin key of the installation. It never expires.
    pub admin: SecretString,
    /// The key of the tenant `default`, an operator and emitter. It never expires. None: there is no such tenant.
    pub default_tenant: Option<SecretString>,
}

/// Why a first start failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database did not do it.
    #[error("the first keys could not be written")]
    Store(#[from] store::Error),
    /// The keys could not be handed over, so they were not committed.
    #[error("the first keys could not be handed over")]
    HandOver(#[source] io::Error),
}

/// Makes the first keys if the database has none. `hand_over` gets them before the commit. True: they were made.
pub(crate) async fn first_start(
    store: &Store,
    scope: Scope,
    now: i64,
    rng: &mut (impl CryptoRng + Send),
    hand_over: impl FnOnce(&FirstKeys) -> io::Result<()>,
) -> Result<bool, Error> {
    let mut tx = store.begin().await?;
    if !is_first(&mut tx, now).await? {
        return Ok(false);
    }
    let admin = new_key("bootstrap admin", None, &[Role::Admin], now, rng);
    insert(&mut tx, &admin.0).await?;
    let default_tenant = match scope {
        Scope::Installation => None,
        Scope::WithDefaultTenant => Some(default_tenant(&mut tx, now, rng).await?),
    };
    let keys = FirstKeys {
        admin: admin.1,
        default_tenant,
    };
    hand_over(&keys).map_err(Error::HandOver)?;
    tx.commit().await?;
    Ok(true)
}

/// Makes one more admin key of the installation, for whoever has lost the others and has the machine. It is put on record.
pub(crate) async fn another_admin(
    store: &Store,
    now: i64,
    rng: &mut (impl CryptoRng + Send),
) -> Result<SecretString, Error> {
    let mut tx = store.begin().await?;
    let (key, text) = new_key("made on the machine", None, &[Role::Admin], now, rng);
    insert(&mut tx, &key).await?;
    let record = Record::of(None, key.id).because("a new admin key was asked for on the machine");
    tx.audit_insert(&record.by_posthorn("MakeAdminKey", now, rng))
        .await?;
    tx.commit().await?;
    Ok(text)
}

/// Where the master keys come from. An embedded database gets one of its own if none is configured and no secret needs an
/// old one.
pub(crate) fn key_source(
    config: &Config,
    needed: &[SealedUnder],
    rng: &mut impl CryptoRng,
) -> Result<KeySource, KeySourceError> {
    if let Some(text) = &config.master_key {
        return Ok(KeySource::Text(text.clone()));
    }
    match &config.master_key_file {
        Some(path) => Ok(KeySource::File(path.clone())),
        None if config.database_url().is_sqlite() => {
            KeySource::create(&config.data_dir.join("master.key"), needed, rng)
        }
        None => Err(KeySourceError::Missing),
    }
}

/// Makes the data directory, for its owner only, where an embedded database will need it.
pub(crate) fn make_data_dir(config: &Config) -> io::Result<()> {
    if config.database_url().is_sqlite() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&config.data_dir)?;
    }
    Ok(())
}

/// Whether this is the first start. Of several at one time, one is: the others wait here for it.
async fn is_first(tx: &mut RegistryTx, now: i64) -> Result<bool, store::Error> {
    let claim = RequestKey {
        key_id: KeyId::from_uuid(Uuid::nil()),
        rpc: "bootstrap",
        request_id: "first start",
    };
    let is_claimed = tx.request_claim(claim, &[0; 32], i64::MIN, now).await?;
    Ok(is_claimed && !tx.api_key_exists().await?)
}

async fn default_tenant(
    tx: &mut RegistryTx,
    now: i64,
    rng: &mut (impl CryptoRng + Send),
) -> Result<SecretString, store::Error> {
    let settings = TenantSettings {
        name: DEFAULT_TENANT.to_owned(),
        organization_id: String::new(),
        environment: Environment::Development,
        retry_policy: None,
    };
    let tenant = Tenant::new(TenantId::new(now, rng), settings, now);
    done(tx.tenant_insert(&tenant).await?)?;
    let roles = [Role::Operator, Role::Emitter];
    let (key, text) = new_key("bootstrap default", Some(tenant.id), &roles, now, rng);
    insert(tx, &key).await?;
    Ok(text)
}

fn new_key(
    name: &str,
    tenant_id: Option<TenantId>,
    roles: &[Role],
    now: i64,
    rng: &mut impl CryptoRng,
) -> (ApiKey, SecretString) {
    let id = KeyId::new(now, rng);
    let text = api_key::generate(id, rng);
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

async fn insert(tx: &mut RegistryTx, key: &ApiKey) -> Result<(), store::Error> {
    done(tx.api_key_insert(key).await?)
}

fn done(change: Change) -> Result<(), store::Error> {
    match change {
        Change::Done => Ok(()),
        other => Err(store::Error::bug(format!(
            "{other:?} in a database without keys"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng as _, rngs::StdRng};

    use super::*;
    use crate::{registry::fixture, store::KeyScope};

    async fn start(store: &Store, scope: Scope) -> Option<FirstKeys> {
        let mut handed_over = None;
        let hand_over = |keys: &FirstKeys| {
            let default_tenant = keys.default_tenant.clone();
            handed_over = Some(FirstKeys {
                admin: keys.admin.clone(),
                default_tenant,
            });
            Ok(())
        };
        let is_first = first_start(store, scope, 1, &mut StdRng::seed_from_u64(1), hand_over)
            .await
            .unwrap();
        assert_eq!(is_first, handed_over.is_some());
        handed_over
    }

    #[tokio::test]
    async fn the_first_start_makes_an_admin_key_and_no_other_does() {
        let (store, _directory) = fixture::store().await;
        let keys = start(&store, Scope::Installation).await.unwrap();
        assert!(keys.default_tenant.is_none());
        assert!(start(&store, Scope::Installation).await.is_none());
        assert!(start(&store, Scope::WithDefaultTenant).await.is_none());

        let key = store
            .api_key_list(KeyScope::All, None, 9)
            .await
            .unwrap()
            .remove(0);
        assert!(key.hash.matches(keys.admin.expose_secret()));
        assert_eq!((key.tenant_id, key.expires_at), (None, None));
        assert_eq!(key.roles, Roles::of(&[Role::Admin]));
    }

    #[tokio::test]
    async fn a_standalone_start_makes_a_tenant_with_a_key() {
        let (store, _directory) = fixture::store().await;
        let keys = start(&store, Scope::WithDefaultTenant).await.unwrap();
        let tenant = store.tenant_list(None, 9).await.unwrap().remove(0);
        assert_eq!(tenant.settings.name, DEFAULT_TENANT);
        let scope = KeyScope::Tenant(tenant.id);
        let key = store.api_key_list(scope, None, 9).await.unwrap().remove(0);
        assert!(
            key.hash
                .matches(keys.default_tenant.unwrap().expose_secret())
        );
        assert_eq!(key.roles, Roles::of(&[Role::Operator, Role::Emitter]));
    }

    #[tokio::test]
    async fn keys_that_were_not_handed_over_are_not_kept() {
        let (store, _directory) = fixture::store().await;
        let refuse = |_: &FirstKeys| Err(io::Error::other("no"));
        let mut rng = StdRng::seed_from_u64(1);
        let started = first_start(&store, Scope::Installation, 1, &mut rng, refuse).await;
        assert!(matches!(started, Err(Error::HandOver(_))));
        assert!(start(&store, Scope::Installation).await.is_some());
    }

    #[test]
    fn only_an_embedded_database_gets_a_master_key_made() {
        let directory = tempfile::tempdir().unwrap();
        let mut config = Config {
            data_dir: directory.path().join("new"),
            ..Config::default()
        };
        let mut rng = StdRng::seed_from_u64(1);
        make_data_dir(&config).unwrap();
        let source = key_source(&config, &[], &mut rng).unwrap();
        assert_eq!(
            source.file(),
            Some(config.data_dir.join("master.key").as_path())
        );
        config.database = "postgres://db/posthorn".parse().ok();
        assert!(matches!(
            key_source(&config, &[], &mut rng),
            Err(KeySourceError::Missing)
        ));
    }
}
