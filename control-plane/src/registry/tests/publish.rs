//! What becomes of changes: together, in the end always, and never otherwise than the database has them.

mod steps;

use std::collections::BTreeMap;

use super::super::{publish::Round, *};
use crate::{
    clock::Clock,
    model::{
        api_key::Role,
        event_type::{EventType, EventTypeName},
        object::ObjectState,
        tenant::Tenant,
    },
    store::Change,
};

fn name(text: &str) -> EventTypeName {
    EventTypeName::parse(text).unwrap()
}

fn key(n: u128, tenant: Option<TenantId>) -> ApiKey {
    ApiKey {
        id: KeyId::from_uuid(uuid::Uuid::from_u128(n)),
        tenant_id: tenant,
        name: "a key".to_owned(),
        roles: Roles::of(&[Role::Emitter]),
        created_at: 1,
        expires_at: None,
        revoked_at: None,
        hash: KeyHash::of("text"),
    }
}

async fn insert_key(store: &Store, key: &ApiKey) {
    let mut tx = store.begin().await.unwrap();
    assert_eq!(tx.api_key_insert(key).await.unwrap(), Change::Done);
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn changes_that_wait_are_read_and_published_in_one_go() {
    let (store, _directory) = fixture::store().await;
    let shared = fixture::shared(&store, fixture::vault(1)).await;
    let tenants = (1..=20).map(fixture::tenant).collect::<Vec<_>>();
    for tenant in &tenants {
        fixture::insert_tenant(&store, tenant).await;
        // Whoever promised it has gone: it is published all the same.
        drop(shared.promise([Changed::Tenant(tenant.id)]));
        drop(shared.promise([Changed::Tenant(tenant.id)]));
    }
    let held = shared.hold_turn().await;
    for tenant in &tenants {
        drop(shared.promise([Changed::Tenant(tenant.id), Changed::Tenant(tenant.id)]));
    }
    drop(held);
    let round = Round::next(&shared.inner).expect("changes wait");
    assert_eq!(
        round.len(),
        tenants.len(),
        "each row once, all in one round"
    );
    assert!(Round::next(&shared.inner).is_none(), "nothing else waits");
    // A round that fails is repeated.
    drop(round);
    shared
        .refresh(Changed::Tenant(tenants[0].id))
        .await
        .unwrap();
    let snapshot = shared.snapshot();
    assert!(
        tenants
            .iter()
            .all(|tenant| snapshot.tenant(tenant.id).is_some())
    );
}

#[tokio::test]
async fn a_change_whose_commit_was_not_answered_is_published_too() {
    let (store, _directory) = fixture::store().await;
    let shared = fixture::shared(&store, fixture::vault(1)).await;
    let (tenant, other) = (fixture::tenant(1), fixture::tenant(2));
    // The commit took place, and its answer was lost on the way.
    let promise = shared.promise([Changed::Tenant(tenant.id)]);
    fixture::insert_tenant(&store, &tenant).await;
    drop(promise);
    shared.refresh(Changed::Tenant(other.id)).await.unwrap();
    assert!(shared.snapshot().tenant(tenant.id).is_some());
    assert!(shared.snapshot().tenant(other.id).is_none());
}

#[tokio::test]
async fn a_row_that_nobody_can_read_holds_up_no_other() {
    let (store, _directory) = fixture::store().await;
    let (broken, good) = (fixture::tenant(1), fixture::tenant(2));
    for tenant in [&broken, &good] {
        fixture::insert_tenant(&store, tenant).await;
    }
    let shared = fixture::shared(&store, fixture::vault(1)).await;
    let good_endpoint = fixture::endpoint(10, &good, &["a"]);
    fixture::insert_endpoint(&store, &fixture::vault(1), &good_endpoint).await;
    store
        .execute("update tenant set settings = '{' where name = 'tenant 1'")
        .await;
    let waiting = shared.promise([
        Changed::Tenant(broken.id),
        Changed::Endpoint(good_endpoint.id),
    ]);
    waiting.kept().await.unwrap();
    assert!(shared.snapshot().endpoint(good_endpoint.id).is_some());
    assert_eq!(shared.snapshot().tenant(broken.id).unwrap().tenant, broken);
}

#[tokio::test]
async fn a_key_ends_at_once_whoever_has_the_turn_and_whatever_snapshot_is_asked() {
    let (store, _directory) = fixture::store().await;
    let key = key(1, None);
    insert_key(&store, &key).await;
    let shared = fixture::shared(&store, fixture::vault(1)).await;
    let before = shared.snapshot();
    let stream = Arc::clone(before.key(key.id).unwrap());
    let held = shared.hold_turn().await;
    assert!(before.key(key.id).unwrap().is_live(5));
    let promise = shared.end_key(key.id, 5).expect("it is known");
    stream.ended(&Clock::system()).await;
    assert!(!before.key(key.id).unwrap().is_live(5));
    assert!(!shared.snapshot().key(key.id).unwrap().is_live(5));
    // The database has not heard of it yet. It does, whatever becomes of the caller.
    assert_eq!(
        store.api_key_get(key.id).await.unwrap().unwrap().revoked_at,
        None
    );
    drop(promise);
    drop(held);
    shared.refresh(Changed::Key(key.id)).await.unwrap();
    assert_eq!(
        store.api_key_get(key.id).await.unwrap().unwrap().revoked_at,
        Some(5)
    );
    assert!(!shared.snapshot().key(key.id).unwrap().is_live(5));
}

#[tokio::test]
async fn the_keys_of_a_tenant_end_with_it() {
    let (store, _directory) = fixture::store().await;
    let tenant = fixture::tenant(1);
    fixture::insert_tenant(&store, &tenant).await;
    let (own, others) = (key(1, Some(tenant.id)), key(2, None));
    insert_key(&store, &own).await;
    insert_key(&store, &others).await;
    let shared = fixture::shared(&store, fixture::vault(1)).await;
    let live = |id| {
        let key = shared.snapshot().key(id).cloned();
        key.is_some_and(|key| key.is_live(5))
    };
    let stream = shared.snapshot().key(own.id).cloned().unwrap();
    let held = shared.hold_turn().await;
    shared.end_keys_of(tenant.id);
    assert!(!live(own.id) && live(others.id));
    stream.ended(&Clock::system()).await;
    drop(held);
    let mut tx = store.begin().await.unwrap();
    let _ = tx.tenant_delete(tenant.id).await.unwrap();
    shared
        .commit(tx, [Changed::Tenant(tenant.id)], Vec::new())
        .await
        .unwrap();
    assert!(shared.snapshot().key(own.id).is_none());
    assert!(live(others.id));
}

#[tokio::test]
async fn a_place_is_taken_until_its_row_is_published_or_given_up() {
    let (store, _directory) = fixture::store().await;
    let tenant = fixture::tenant(1);
    fixture::insert_tenant(&store, &tenant).await;
    let limits = TenantLimits {
        endpoints_max: 2,
        ..TenantLimits::default()
    };
    let shared = fixture::shared_within(&store, fixture::vault(1), limits).await;
    let place = || shared.place(Some(tenant.id), Capped::Endpoints);
    let (first, second) = (place().unwrap(), place().unwrap());
    let refused = place().unwrap_err();
    assert!(refused.to_string().contains("2 endpoints"), "{refused}");
    assert!(shared.place(Some(tenant.id), Capped::Sources).is_ok());
    drop(second);

    let endpoint = fixture::endpoint(10, &tenant, &["a"]);
    let mut tx = store.begin().await.unwrap();
    fixture::insert_endpoint_in(&mut tx, &fixture::vault(1), &endpoint).await;
    let held = shared.hold_turn().await;
    let changed = [Changed::Endpoint(endpoint.id)];
    tx.commit().await.unwrap();
    // The caller is gone before it is published: it counts all the same.
    drop(shared.promise(changed).holding(vec![first]));
    let second = place().unwrap();
    assert!(place().is_err());
    drop(held);
    shared
        .refresh(Changed::Endpoint(endpoint.id))
        .await
        .unwrap();
    assert!(place().is_err());
    drop(second);
    assert!(place().is_ok());
}
