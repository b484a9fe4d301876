//! The same for the secrets of sources.

use super::{BATCH, Rewrapping, Round};
use crate::{
    clock,
    error::Error,
    model::{id::SecretId, secret::SealedSourceSecret},
    registry::Changed,
    store::{self, Store},
    vault::{Rewrap, Vault},
};

/// Judges requests by the secrets that the new master keys open.
pub(super) async fn serve_unsealed(work: &Rewrapping) -> Result<(), Error> {
    let sealed = work.registry.snapshot();
    for id in sealed.sealed_sources() {
        work.registry.refresh(Changed::Source(id)).await?;
    }
    Ok(())
}

/// Re-wraps every secret that is under another master key than the current one.
pub(super) async fn rewrap(store: &Store, vault: &Vault) -> store::Result<Round> {
    let kek_id = vault.current_id().to_string();
    let mut round = Round::default();
    let mut after = SecretId::from_uuid(uuid::Uuid::nil());
    loop {
        let secrets = store
            .source_secret_list_other_kek(&kek_id, after, BATCH)
            .await?;
        let Some(last) = secrets.last() else {
            return Ok(round);
        };
        after = last.id;
        let mut tx = store.begin().await?;
        for secret in &secrets {
            match rewrapped(vault, secret) {
                Some(rewrapped) => {
                    tx.source_secret_rewrap(secret, &rewrapped).await?;
                    round.rewrapped += 1;
                }
                None => round.unopened += 1,
            }
        }
        tx.commit().await?;
    }
}

/// Deletes former secrets whose time is over.
pub(super) async fn retire(work: &Rewrapping, now: i64) -> Result<(), Error> {
    for id in work.store.source_secret_retired(now).await? {
        let mut tx = work.store.begin().await?;
        tx.source_secret_prune(id, now).await?;
        let changed = [Changed::Source(id)];
        work.registry.commit(tx, changed, Vec::new()).await?;
    }
    Ok(())
}

/// The secret under the current master key. None: it does not open.
fn rewrapped(vault: &Vault, secret: &SealedSourceSecret) -> Option<SealedSourceSecret> {
    let kek_id = vault.current_id().to_string();
    match vault.rewrap(&secret.sealed, secret.into(), &mut clock::rng()) {
        Ok(Rewrap::Rewrapped(sealed)) => Some(SealedSourceSecret {
            kek_id,
            sealed,
            ..secret.clone()
        }),
        Ok(Rewrap::Current) => Some(SealedSourceSecret {
            kek_id,
            ..secret.clone()
        }),
        Err(error) => {
            let id = secret.source_id;
            tracing::warn!(source_id = %id, error = %error, "a secret of source {id} cannot be re-wrapped");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::fixture;

    #[tokio::test]
    async fn secrets_of_sources_move_to_the_current_master_key() {
        let (store, _directory) = fixture::store().await;
        let tenant = fixture::tenant(1);
        fixture::insert_tenant(&store, &tenant).await;
        let source = fixture::source(1, &tenant, "standard_webhooks");
        fixture::insert_source(&store, &fixture::vault(1), &source, &["a", "b"]).await;

        let found = |rewrapped, unopened| Round {
            rewrapped,
            unopened,
        };
        let (new, both) = (fixture::vault(2), fixture::vault_of(&[2, 1]));
        assert_eq!(rewrap(&store, &new).await.unwrap(), found(0, 2));
        assert_eq!(rewrap(&store, &both).await.unwrap(), found(2, 0));
        assert_eq!(rewrap(&store, &both).await.unwrap(), found(0, 0));
        let secret = store.source_secret_list(source.id).await.unwrap().remove(0);
        let opened = new.open(&secret.sealed, (&secret).into()).unwrap();
        assert_eq!(opened.as_slice(), b"b");
    }
}
