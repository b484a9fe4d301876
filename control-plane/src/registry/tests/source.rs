//! What the registry serves of sources after a load, a refresh and a loss, and which secrets it takes from providers.

use posthorn_verify::Secret;

use super::super::{Capture, Changed, SharedRegistry, fixture};
use crate::{
    audit::tests::recorded,
    model::{id::SourceId, source::Source, tenant::Tenant},
    store::{Change, Store, TenantDeletion},
    vault::Vault,
};

const PROVIDER: &str = "standard_webhooks";
const SECRET: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

async fn load(store: &Store, vault: Vault) -> SharedRegistry {
    fixture::shared(store, vault).await
}

/// A database with one tenant.
async fn store() -> (Store, Tenant, tempfile::TempDir) {
    let (store, directory) = fixture::store().await;
    let tenant = fixture::tenant(1);
    fixture::insert_tenant(&store, &tenant).await;
    (store, tenant, directory)
}

async fn write(store: &Store, source: &Source) {
    let mut tx = store.begin().await.unwrap();
    assert_eq!(tx.object_update(source).await.unwrap(), Change::Done);
    tx.commit().await.unwrap();
}

/// The secrets that a source is served with, the newest first.
fn served(shared: &SharedRegistry, id: SourceId) -> Vec<(String, Option<i64>)> {
    let registry = shared.snapshot();
    let secrets = registry.source(id).expect("it is served").secrets.iter();
    secrets
        .map(|(secret, until)| {
            (
                String::from_utf8_lossy(secret.expose()).into_owned(),
                *until,
            )
        })
        .collect()
}

#[tokio::test]
async fn a_load_compiles_the_scheme_and_opens_the_secrets() {
    let (store, tenant, _directory) = store().await;
    let source = fixture::source(10, &tenant, PROVIDER);
    let mut registered = fixture::source(11, &tenant, "cloudevents");
    registered.settings.registered_url = Some("https://example.com/a".to_owned());
    let vault = fixture::vault(1);
    fixture::insert_source(&store, &vault, &source, &["older", "newer"]).await;
    fixture::insert_source(&store, &vault, &registered, &[]).await;

    let shared = load(&store, vault).await;
    let registry = shared.snapshot();
    let live = registry.source(source.id).unwrap();
    assert_eq!(live.source, source);
    assert_eq!(
        live.url,
        format!("https://hooks.example.com/in/{}", source.id)
    );
    assert!(live.verifier.as_ref().unwrap().covers_body());
    assert!(live.secret_headers.is_empty());
    let secrets = [("newer".to_owned(), None), ("older".to_owned(), None)];
    assert_eq!(served(&shared, source.id), secrets);
    let live = registry.source(registered.id).unwrap();
    assert_eq!(live.url, "https://example.com/a");
    assert_eq!(live.secret_headers, ["authorization"]);
    assert_eq!(registry.sources().count(), 2);
}

#[tokio::test]
async fn a_source_whose_secret_does_not_open_is_sealed() {
    let (store, tenant, _directory) = store().await;
    let source = fixture::source(10, &tenant, PROVIDER);
    fixture::insert_source(&store, &fixture::vault(1), &source, &[SECRET]).await;

    let registry = load(&store, fixture::vault(2)).await.snapshot();
    assert!(registry.source(source.id).is_none());
    assert!(registry.is_source_sealed(source.id));
    assert_eq!(registry.sealed_sources().collect::<Vec<_>>(), [source.id]);
}

#[tokio::test]
async fn a_source_whose_scheme_nobody_knows_is_sealed() {
    let (store, tenant, _directory) = store().await;
    let source = fixture::source(10, &tenant, "of_a_later_version");
    fixture::insert_source(&store, &fixture::vault(1), &source, &[SECRET]).await;

    let registry = load(&store, fixture::vault(1)).await.snapshot();
    assert!(registry.is_source_sealed(source.id));
}

#[tokio::test]
async fn changes_of_sources_are_served_and_told() {
    let (store, tenant, _directory) = store().await;
    let shared = load(&store, fixture::vault(1)).await;
    let mut changes = shared.source_changes();
    let mut source = fixture::source(10, &tenant, PROVIDER);
    fixture::insert_source(&store, &fixture::vault(1), &source, &[SECRET]).await;
    shared.refresh(Changed::Source(source.id)).await.unwrap();
    assert!(changes.has_changed().unwrap());
    changes.mark_unchanged();
    let before = shared.snapshot();

    source.settings.rate_per_second = Some(7);
    source.version = 2;
    write(&store, &source).await;
    shared.refresh(Changed::Source(source.id)).await.unwrap();
    assert!(changes.has_changed().unwrap());
    let rate = |registry: &super::Registry| {
        let live = registry.source(source.id).unwrap();
        live.source.settings.rate_per_second
    };
    assert_eq!((rate(&before), rate(&shared.snapshot())), (None, Some(7)));

    changes.mark_unchanged();
    shared.refresh(Changed::Tenant(tenant.id)).await.unwrap();
    assert!(!changes.has_changed().unwrap(), "no source is concerned");

    let mut tx = store.begin().await.unwrap();
    assert_eq!(tx.object_delete(source.id).await.unwrap(), Change::Done);
    tx.commit().await.unwrap();
    shared.refresh(Changed::Source(source.id)).await.unwrap();
    assert!(shared.snapshot().source(source.id).is_none());
    let secrets = store.secret_list(source.id.into()).await.unwrap();
    assert!(secrets.is_empty(), "{secrets:?}");
}

#[tokio::test]
async fn a_secret_that_is_handed_over_is_taken_once() {
    let (store, tenant, _directory) = store().await;
    let source = fixture::source(10, &tenant, PROVIDER);
    fixture::insert_source(&store, &fixture::vault(1), &source, &[]).await;
    let shared = load(&store, fixture::vault(1)).await;
    let capture = async |id, text: &str| {
        let secret = Secret::new(text).unwrap();
        shared.capture_source_secret(id, &secret, 5).await.unwrap()
    };
    assert_eq!(capture(source.id, "first").await, Capture::Kept);
    assert_eq!(served(&shared, source.id), [("first".to_owned(), None)]);
    assert_eq!(capture(source.id, "first").await, Capture::Kept);
    assert_eq!(capture(source.id, "second").await, Capture::Refused);
    assert_eq!(served(&shared, source.id), [("first".to_owned(), None)]);
    let nobodys = fixture::source(11, &tenant, PROVIDER).id;
    assert_eq!(capture(nobodys, "first").await, Capture::Missing);
    // On record once, by its fingerprint.
    let records = recorded(&store).await;
    let [record] = records.as_slice() else {
        panic!("{records:?}");
    };
    let kept = store.secret_list(source.id.into()).await.unwrap();
    assert_eq!(record.method, "CaptureSourceSecret");
    assert_eq!(record.target, source.id.to_string());
    assert_eq!(record.changes[0].new.as_ref(), Some(&kept[0].fingerprint));
}

#[tokio::test]
async fn a_tenant_with_sources_is_not_deleted() {
    let (store, tenant, _directory) = store().await;
    let source = fixture::source(10, &tenant, PROVIDER);
    fixture::insert_source(&store, &fixture::vault(1), &source, &[]).await;
    let mut tx = store.begin().await.unwrap();
    assert_eq!(
        tx.tenant_delete(tenant.id).await.unwrap(),
        TenantDeletion::InUse
    );
}
