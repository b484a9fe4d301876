//! Keeps secrets under the current master key.
//!
//! The master key file is read again and again. A new first key becomes the current one, and every secret that is sealed
//! under another is re-wrapped while everything goes on. A key that secrets still need must stay in the file until then;
//! what cannot be opened is left as it is, and said. Former secrets whose time is over are deleted here too.

use std::time::Duration;

use rand::CryptoRng;

use super::every;
use crate::{
    audit::{self, Record},
    core::Core,
    error::Error,
    model::{id::SecretId, secret::SealedSecret},
    registry::Changed,
    store,
    vault::{KeySource, Rewrap, Vault},
};

/// How often.
const INTERVAL: Duration = Duration::from_secs(30);
/// How many secrets are re-wrapped in one transaction.
const BATCH: i64 = 500;

/// What the loop works with.
#[derive(Clone)]
pub(crate) struct Rewrapping {
    /// The database that holds the secrets, the vault that seals them, and the registry that needs them opened.
    pub core: Core,
    /// Where the vault's keys come from.
    pub keys: KeySource,
}

/// What became of the secrets under other master keys.
#[derive(Debug, Default, PartialEq, Eq)]
struct Round {
    rewrapped: usize,
    unopened: usize,
}

/// Keeps secrets under the current master key for ever. A round that fails is made up for by the next.
pub(crate) async fn keep_rewrapped(work: Rewrapping) {
    let round = async || {
        if let Err(error) = round(&work).await {
            tracing::warn!(error = ?error, "a round of re-wrapping failed; the next one repeats it");
        }
    };
    every(&work.core.clock, INTERVAL, round).await;
}

async fn round(work: &Rewrapping) -> Result<(), Error> {
    if reread(work).await {
        serve_unsealed(work).await?;
    }
    let Round {
        rewrapped,
        unopened,
    } = rewrap(&work.core).await?;
    if rewrapped > 0 {
        let kek_id = work.core.vault.current_id();
        tracing::info!(rewrapped, %kek_id, "re-wrapped {rewrapped} secrets under the master key {kek_id}");
    }
    if unopened > 0 {
        tracing::error!(
            unopened,
            "{unopened} secrets cannot be opened: their master key is not configured, or they are damaged"
        );
    }
    retire(&work.core, work.core.clock.now_ms()).await
}

/// Reads the master keys again; whether they are others.
async fn reread(work: &Rewrapping) -> bool {
    if work.keys.file().is_none() {
        return false;
    }
    let keys = work.keys.clone();
    let read = tokio::task::spawn_blocking(move || keys.read()).await;
    match read {
        Ok(Ok(keyring)) => work.core.vault.replace(keyring),
        Ok(Err(error)) => {
            tracing::error!(error = ?error, "the master keys cannot be read again; those in use stay");
            false
        }
        Err(error) => {
            tracing::error!(error = %error, "reading the master keys broke off; those in use stay");
            false
        }
    }
}

/// Serves the endpoints and sources whose secrets the new master keys open.
async fn serve_unsealed(work: &Rewrapping) -> Result<(), Error> {
    let registry = work.core.registry.snapshot();
    let endpoints = registry.sealed().map(Changed::Endpoint);
    for changed in endpoints.chain(registry.sealed_sources().map(Changed::Source)) {
        work.core.registry.refresh(changed).await?;
    }
    Ok(())
}

/// Re-wraps every secret that is under another master key than the current one.
async fn rewrap(core: &Core) -> store::Result<Round> {
    let (Core { store, vault, .. }, now_ms, mut rng) = (core, core.clock.now_ms(), core.rng());
    let kek_id = vault.current_id().to_string();
    let mut round = Round::default();
    let mut after = (SecretId::from_uuid(uuid::Uuid::nil()), 0);
    loop {
        let secrets = store.secret_list_other_kek(&kek_id, after, BATCH).await?;
        let Some(last) = secrets.last() else {
            return Ok(round);
        };
        after = (last.binding.id, last.binding.version);
        let mut tx = store.begin().await?;
        let mut count = 0;
        for secret in &secrets {
            match rewrapped(vault, secret, &mut rng) {
                Some(rewrapped) => {
                    tx.secret_rewrap(secret, &rewrapped).await?;
                    count += 1;
                }
                None => round.unopened += 1,
            }
        }
        if count == 0 {
            continue;
        }
        let record = Record::of(None, &kek_id).setting("secrets", None, count);
        let record = record.by_posthorn("RewrapSecrets", now_ms, &mut rng);
        tx.audit_insert(&record).await?;
        tx.commit().await?;
        audit::log(&record);
        round.rewrapped += count;
    }
}

/// The secret under the current master key. None: it does not open.
fn rewrapped(
    vault: &Vault,
    secret: &SealedSecret,
    rng: &mut impl CryptoRng,
) -> Option<SealedSecret> {
    let kek_id = vault.current_id().to_string();
    match vault.rewrap(&secret.sealed, &secret.binding, rng) {
        Ok(Rewrap::Rewrapped(sealed)) => Some(SealedSecret {
            kek_id,
            sealed,
            ..secret.clone()
        }),
        Ok(Rewrap::Current) => Some(SealedSecret {
            kek_id,
            ..secret.clone()
        }),
        Err(error) => {
            let owner = secret.binding.owner;
            tracing::warn!(%owner, error = %error, "a secret of {owner} cannot be re-wrapped");
            None
        }
    }
}

/// Deletes former secrets whose time is over.
async fn retire(core: &Core, now: i64) -> Result<(), Error> {
    for owner in core.store.secret_retired(now).await? {
        let mut tx = core.store.begin().await?;
        tx.secret_prune(owner, now).await?;
        let tenant_id = core.registry.snapshot().owner_tenant(owner);
        let record = Record::of(tenant_id, owner).because("the overlap of its rotation is over");
        let record = record.by_posthorn("RetireSecrets", now, &mut core.rng());
        audit::write(&mut tx, &record).await?;
        let changed = [owner.into()];
        core.registry.commit(tx, changed, Vec::new()).await?;
        audit::log(&record);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        audit::tests::recorded,
        model::{
            audit::Actor,
            secret::{Owner, Purpose},
        },
        registry::fixture,
    };

    #[tokio::test]
    async fn secrets_move_to_the_current_master_key_batch_by_batch() {
        let (store, _directory) = fixture::store().await;
        let tenant = fixture::tenant(1);
        fixture::insert_tenant(&store, &tenant).await;
        let (old, new) = (fixture::vault(1), fixture::vault(2));
        let count = usize::try_from(BATCH).unwrap() + 2;
        let mut tx = store.begin().await.unwrap();
        for n in 1..=count {
            let endpoint = fixture::endpoint(n as u128, &tenant, &["*"]);
            fixture::insert_endpoint_in(&mut tx, &old, &endpoint).await;
        }
        tx.commit().await.unwrap();
        let source = fixture::source(1, &tenant, "standard_webhooks");
        fixture::insert_source(&store, &old, &source, &["a", "b"]).await;

        let found = |rewrapped, unopened| Round {
            rewrapped,
            unopened,
        };
        let round = async |keys: &[u64]| {
            let core = fixture::core(&store, fixture::vault_of(keys)).await;
            rewrap(&core).await.unwrap()
        };
        assert_eq!(round(&[2]).await, found(0, count + 2));
        assert_eq!(round(&[2, 1]).await, found(count + 2, 0));
        assert_eq!(round(&[2, 1]).await, found(0, 0));
        let batches = recorded(&store).await.into_iter().map(|record| {
            assert_eq!(
                (record.method.as_str(), record.actor),
                ("RewrapSecrets", Actor::Posthorn)
            );
            assert_eq!(record.target, new.current_id().to_string());
            record.changes[0].new.clone().unwrap()
        });
        let mut batches = batches.collect::<Vec<_>>();
        batches.sort();
        assert_eq!(batches, ["4", "500"]);
        let endpoint = fixture::endpoint(1, &tenant, &[]);
        let owners: [(Owner, &[u8]); 2] =
            [(endpoint.id.into(), &[7; 32]), (source.id.into(), b"b")];
        for (owner, value) in owners {
            let secret = store.secret_list(owner).await.unwrap().remove(0);
            let opened = new.open(&secret.sealed, &secret.binding).unwrap();
            assert_eq!(opened.as_slice(), value, "{owner}");
        }
    }

    #[tokio::test]
    async fn former_secrets_go_when_their_time_is_over() {
        let (store, _directory) = fixture::store().await;
        let tenant = fixture::tenant(1);
        fixture::insert_tenant(&store, &tenant).await;
        let endpoint = fixture::endpoint(1, &tenant, &["*"]);
        fixture::insert_endpoint(&store, &fixture::vault(1), &endpoint).await;
        // The same id, of another kind.
        let source = fixture::source(1, &tenant, "standard_webhooks");
        fixture::insert_source(&store, &fixture::vault(1), &source, &["a"]).await;
        let mut tx = store.begin().await.unwrap();
        let purposes: [(Owner, _, _); 2] = [
            (endpoint.id.into(), Purpose::Signing, 7),
            (source.id.into(), Purpose::Verification, 8),
        ];
        for (owner, purpose, until) in &purposes {
            tx.secret_retire(*owner, purpose, *until).await.unwrap();
        }
        tx.commit().await.unwrap();
        let core = fixture::core(&store, fixture::vault(1)).await;

        for (now, left) in [(6, [1, 1]), (7, [0, 1]), (8, [0, 0])] {
            retire(&core, now).await.unwrap();
            for ((owner, ..), left) in purposes.iter().zip(left) {
                let secrets = store.secret_list(*owner).await.unwrap();
                assert_eq!(secrets.len(), left, "{owner} at {now}");
            }
        }
        let owners = recorded(&store).await.into_iter().map(|record| {
            assert_eq!(record.method, "RetireSecrets");
            assert_eq!(record.tenant_id, Some(tenant.id));
            record.target
        });
        let [first, second] = purposes.map(|(owner, ..)| owner.to_string());
        assert_eq!(owners.collect::<Vec<_>>(), [second, first]);
    }
}
