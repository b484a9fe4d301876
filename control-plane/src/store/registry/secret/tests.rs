//! Whose secrets are, and what becomes of them with their owner: on both databases.

use std::{any::Any, cmp::Reverse};

use posthorn_harness::Postgres;

use super::*;
use crate::{
    model::{endpoint::Endpoint, source::Source},
    registry::fixture,
    store::Change,
};

/// An endpoint and a source of one id, with a secret and with two.
async fn fill(store: &Store) -> (Endpoint, Source) {
    let (tenant, vault) = (fixture::tenant(1), fixture::vault(1));
    fixture::insert_tenant(store, &tenant).await;
    let endpoint = fixture::endpoint(1, &tenant, &["*"]);
    fixture::insert_endpoint(store, &vault, &endpoint).await;
    let source = fixture::source(1, &tenant, "standard_webhooks");
    fixture::insert_source(store, &vault, &source, &["a", "b"]).await;
    (endpoint, source)
}

async fn counts(store: &Store, owners: [Owner; 2]) -> [usize; 2] {
    let mut counts = [0; 2];
    for (count, owner) in counts.iter_mut().zip(owners) {
        *count = store.secret_list(owner).await.unwrap().len();
    }
    counts
}

/// An empty database of each kind, with what it must not outlive.
async fn both(name: &str) -> [(Store, Box<dyn Any>); 2] {
    let (sqlite, directory) = fixture::store().await;
    let server = Postgres::shared().await;
    let postgres = Store::open(&server.database(name).await).await.unwrap();
    [(sqlite, Box::new(directory)), (postgres, Box::new(server))]
}

#[tokio::test]
async fn the_secrets_of_an_owner_go_with_it_and_those_of_another_stay() {
    for (store, _kept) in both("owners").await {
        let (endpoint, source) = fill(&store).await;
        let owners = [endpoint.id.into(), source.id.into()];
        assert_eq!(counts(&store, owners).await, [1, 2]);

        let mut tx = store.begin().await.unwrap();
        assert_eq!(tx.object_delete(endpoint.id).await.unwrap(), Change::Done);
        tx.commit().await.unwrap();
        assert_eq!(counts(&store, owners).await, [0, 2]);

        let mut tx = store.begin().await.unwrap();
        assert_eq!(tx.object_delete(source.id).await.unwrap(), Change::Done);
        tx.commit().await.unwrap();
        assert_eq!(counts(&store, owners).await, [0, 0]);
        assert!(store.secret_sealed_under().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_secret_of_nobody_is_refused() {
    for (store, _kept) in both("nobody").await {
        let (endpoint, source) = fill(&store).await;
        let mut secret = store.secret_list(source.id.into()).await.unwrap().remove(0);
        let mut tx = store.begin().await.unwrap();
        assert_eq!(tx.object_delete(source.id).await.unwrap(), Change::Done);
        tx.commit().await.unwrap();

        // There still is an endpoint of this id.
        assert_eq!(endpoint.id.uuid(), source.id.uuid());
        secret.binding.version = 2;
        let mut tx = store.begin().await.unwrap();
        assert!(tx.secret_insert(&secret).await.is_err());
    }
}

#[tokio::test]
async fn a_row_that_is_given_to_another_owner_does_not_open() {
    for (store, _kept) in both("moved").await {
        let (endpoint, _) = fill(&store).await;
        let (tenant, vault) = (fixture::tenant(1), fixture::vault(1));
        let other = fixture::endpoint(2, &tenant, &["*"]);
        fixture::insert_endpoint(&store, &vault, &other).await;
        let mut tx = store.begin().await.unwrap();
        let signing = Purpose::Signing;
        tx.secret_delete(other.id.into(), &signing).await.unwrap();
        tx.commit().await.unwrap();
        store
            .execute(
                "update secret
                 set owner_id = (select object_id from object where kind = 1 order by object_id desc limit 1)
                 where purpose = 1",
            )
            .await;

        assert!(
            store
                .secret_list(endpoint.id.into())
                .await
                .unwrap()
                .is_empty()
        );
        let moved = store.secret_list(other.id.into()).await.unwrap().remove(0);
        assert!(vault.open(&moved.sealed, &moved.binding).is_err());
        let registry = fixture::shared(&store, vault).await.snapshot();
        assert!(registry.is_sealed(other.id));
    }
}

#[tokio::test]
async fn an_owner_has_one_current_secret_for_each_purpose_but_several_to_verify_with() {
    for (store, _kept) in both("current").await {
        let (endpoint, source) = fill(&store).await;
        let mut secret = store
            .secret_list(endpoint.id.into())
            .await
            .unwrap()
            .remove(0);
        secret.binding.version = 2;
        let mut tx = store.begin().await.unwrap();
        assert!(tx.secret_insert(&secret).await.is_err());
        drop(tx);

        let secrets = store.secret_list(source.id.into()).await.unwrap();
        assert!(secrets.iter().all(|secret| secret.retires_at.is_none()));
        assert_eq!(secrets.len(), 2);
    }
}

#[tokio::test]
async fn however_secrets_are_read_they_are_of_one_kind_and_the_newest_comes_first() {
    for (store, _kept) in both("read").await {
        let (endpoint, source) = fill(&store).await;
        let tenant = endpoint.tenant_id;
        let owners: [Owner; 2] = [endpoint.id.into(), source.id.into()];
        for owner in owners {
            let (kind, ids) = (owner.kind(), [owner.uuid()]);
            let secrets = store.secret_list(owner).await.unwrap();
            assert!(secrets.iter().all(|secret| secret.binding.owner == owner));
            assert!(secrets.is_sorted_by_key(|secret| Reverse(secret.created_at)));
            for found in [
                store.secret_list_many(kind, &ids).await,
                store.secret_page(owner, owner).await,
                store.secret_list_range(tenant, owner, owner).await,
            ] {
                assert_eq!(found.unwrap(), secrets);
            }
        }
    }
}
