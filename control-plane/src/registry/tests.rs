//! What the registry serves after a load, a refresh and a loss.

mod publish;
mod source;

use super::*;
use crate::{
    model::{
        api_key::Role,
        event_type::{EventType, EventTypeName},
        object::ObjectState,
    },
    store::{Change, TenantDeletion},
};

fn name(text: &str) -> EventTypeName {
    EventTypeName::parse(text).unwrap()
}

async fn load(store: &Store, vault: Vault) -> SharedRegistry {
    fixture::shared(store, vault).await
}

#[tokio::test]
async fn b9_a_load_serves_what_the_database_holds() {
    let (store, _directory) = fixture::store().await;
    let (one, two) = (fixture::tenant(1), fixture::tenant(2));
    let paid = fixture::endpoint(10, &one, &["order.*"]);
    let mut disabled = fixture::endpoint(11, &one, &["*"]);
    disabled.state = ObjectState::Disabled;
    let other = fixture::endpoint(12, &two, &["*"]);
    for tenant in [&one, &two] {
        fixture::insert_tenant(&store, tenant).await;
    }
    for endpoint in [&paid, &disabled, &other] {
        fixture::insert_endpoint(&store, &fixture::vault(1), endpoint).await;
    }

    let registry = load(&store, fixture::vault(1)).await.snapshot();
    let entry = registry.tenant(one.id).unwrap();
    assert_eq!(entry.tenant, one);
    assert_eq!(entry.shard, crate::model::id::Shard::of(one.id));
    assert_eq!(entry.subscribers(&name("order.paid"), None), [paid.id]);
    assert_eq!(
        registry
            .tenant(two.id)
            .unwrap()
            .subscribers(&name("x"), None),
        [other.id]
    );
    assert_eq!(registry.endpoint(disabled.id).unwrap().endpoint, disabled);
    assert_eq!(
        *registry.retry_policy(registry.endpoint(paid.id).unwrap()),
        RetryPolicy::Long
    );
    assert_eq!(registry.endpoints().count(), 3);
}

#[tokio::test]
async fn an_endpoint_whose_secret_does_not_open_waits_and_is_not_served() {
    let (store, _directory) = fixture::store().await;
    let tenant = fixture::tenant(1);
    let endpoint = fixture::endpoint(10, &tenant, &["*"]);
    fixture::insert_tenant(&store, &tenant).await;
    fixture::insert_endpoint(&store, &fixture::vault(1), &endpoint).await;

    let registry = load(&store, fixture::vault(2)).await.snapshot();
    assert!(registry.endpoint(endpoint.id).is_none());
    assert!(registry.is_sealed(endpoint.id));
    assert_eq!(registry.sealed().collect::<Vec<_>>(), [endpoint.id]);
    let subscribers = registry
        .tenant(tenant.id)
        .unwrap()
        .subscribers(&name("x"), None);
    assert_eq!(subscribers, [endpoint.id]);
}

#[tokio::test]
async fn a_refresh_serves_the_change_and_leaves_older_snapshots_alone() {
    let (store, _directory) = fixture::store().await;
    let tenant = fixture::tenant(1);
    let mut endpoint = fixture::endpoint(10, &tenant, &["a"]);
    let shared = load(&store, fixture::vault(1)).await;
    let empty = shared.snapshot();

    fixture::insert_tenant(&store, &tenant).await;
    shared.refresh(Changed::Tenant(tenant.id)).await.unwrap();
    fixture::insert_endpoint(&store, &fixture::vault(1), &endpoint).await;
    shared
        .refresh(Changed::Endpoint(endpoint.id))
        .await
        .unwrap();
    let subscribers = |text: &str| {
        let registry = shared.snapshot();
        registry
            .tenant(tenant.id)
            .unwrap()
            .subscribers(&name(text), None)
    };
    assert_eq!(subscribers("a"), [endpoint.id]);

    endpoint.settings.subscriptions = fixture::endpoint(10, &tenant, &["b"])
        .settings
        .subscriptions;
    endpoint.version = 2;
    let mut tx = store.begin().await.unwrap();
    assert_eq!(tx.object_update(&endpoint).await.unwrap(), Change::Done);
    tx.commit().await.unwrap();
    shared
        .refresh(Changed::Endpoint(endpoint.id))
        .await
        .unwrap();
    assert_eq!(
        (subscribers("a"), subscribers("b")),
        (vec![], vec![endpoint.id])
    );

    let mut tx = store.begin().await.unwrap();
    assert_eq!(tx.object_delete(endpoint.id).await.unwrap(), Change::Done);
    tx.commit().await.unwrap();
    shared
        .refresh(Changed::Endpoint(endpoint.id))
        .await
        .unwrap();
    assert!(subscribers("b").is_empty());
    assert!(shared.snapshot().endpoint(endpoint.id).is_none());
    assert!(empty.tenant(tenant.id).is_none());
}

#[tokio::test]
async fn a_tenant_accepts_any_type_until_it_has_declared_one() {
    let (store, _directory) = fixture::store().await;
    let tenant = fixture::tenant(1);
    fixture::insert_tenant(&store, &tenant).await;
    let shared = load(&store, fixture::vault(1)).await;
    let accepts = |text: &str| {
        let registry = shared.snapshot();
        registry.tenant(tenant.id).unwrap().accepts(&name(text))
    };
    assert!(accepts("a") && accepts("b"));

    let event_type = EventType {
        name: name("a"),
        description: String::new(),
        version: 1,
        created_at: 1,
        updated_at: 1,
    };
    let mut tx = store.begin().await.unwrap();
    assert_eq!(
        tx.event_type_insert(tenant.id, &event_type).await.unwrap(),
        Change::Done
    );
    tx.commit().await.unwrap();
    let changed = Changed::EventType(tenant.id, event_type.name);
    shared.refresh(changed).await.unwrap();
    assert!(accepts("a") && !accepts("b"));
}

#[tokio::test]
async fn a_tenant_with_endpoints_is_not_deleted() {
    let (store, _directory) = fixture::store().await;
    let tenant = fixture::tenant(1);
    fixture::insert_tenant(&store, &tenant).await;
    let endpoint = fixture::endpoint(10, &tenant, &["a"]);
    fixture::insert_endpoint(&store, &fixture::vault(1), &endpoint).await;
    let mut tx = store.begin().await.unwrap();
    assert_eq!(
        tx.tenant_delete(tenant.id).await.unwrap(),
        TenantDeletion::InUse
    );
}

#[tokio::test]
async fn a_key_in_memory_outlives_changes_and_is_in_no_database() {
    let (store, _directory) = fixture::store().await;
    let shared = load(&store, fixture::vault(1)).await;
    let text = shared.add_ephemeral_key(Roles::of(&[Role::Node]), 1);
    let id = api_key::parse(text.expose_secret()).unwrap();
    let tenant = fixture::tenant(1);
    fixture::insert_tenant(&store, &tenant).await;
    shared.refresh(Changed::Tenant(tenant.id)).await.unwrap();
    assert!(
        shared
            .snapshot()
            .key(id)
            .unwrap()
            .key
            .hash
            .matches(text.expose_secret())
    );
    assert!(store.api_key_get(id).await.unwrap().is_none());
}

#[tokio::test]
async fn who_wants_events_of_sources_alone_gets_no_others() {
    let (store, _directory) = fixture::store().await;
    let tenant = fixture::tenant(1);
    fixture::insert_tenant(&store, &tenant).await;
    let source = |n| SourceId::from_uuid(uuid::Uuid::from_u128(n));
    let any = fixture::endpoint(10, &tenant, &["a.*"]);
    let mut picky = fixture::endpoint(11, &tenant, &["*"]);
    picky.settings.sources = vec![source(1), source(2)];
    for endpoint in [&any, &picky] {
        fixture::insert_endpoint(&store, &fixture::vault(1), endpoint).await;
    }
    let registry = load(&store, fixture::vault(1)).await.snapshot();
    let entry = registry.tenant(tenant.id).unwrap();
    for (of, ids) in [
        (None, vec![any.id]),
        (Some(source(2)), vec![any.id, picky.id]),
        (Some(source(3)), vec![any.id]),
    ] {
        assert_eq!(entry.subscribers(&name("a.b"), of), ids);
    }
}
