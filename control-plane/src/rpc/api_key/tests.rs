//! What keys can be made, and how they end.

use super::*;
use crate::registry::fixture;

const NOW: i64 = 1_764_000_000_000;

fn request(roles: &[i32], expires_at: Option<i64>) -> v1::CreateApiKeyRequest {
    v1::CreateApiKeyRequest {
        name: "ci".to_owned(),
        roles: roles.to_vec(),
        expires_at: expires_at.map(timestamp),
        ..v1::CreateApiKeyRequest::default()
    }
}

fn key(n: u128) -> ApiKey {
    ApiKey {
        id: KeyId::from_uuid(uuid::Uuid::from_u128(n)),
        tenant_id: None,
        name: "a key".to_owned(),
        roles: Roles::of(&[Role::Admin]),
        created_at: NOW,
        expires_at: None,
        revoked_at: None,
        hash: KeyHash::of("text"),
    }
}

/// A service over a database with two keys, and a caller under the first.
async fn service() -> (ApiKeys, Caller, tempfile::TempDir) {
    let (store, directory) = fixture::store().await;
    let mut tx = store.begin().await.unwrap();
    for key in [key(1), key(2)] {
        assert_eq!(tx.api_key_insert(&key).await.unwrap(), Change::Done);
    }
    tx.commit().await.unwrap();
    let core = fixture::core(&store, fixture::vault(1)).await;
    let service = ApiKeys::new(core.for_callers());
    (service, Caller::from(&key(1)), directory)
}

fn revoke_second() -> v1::RevokeApiKeyRequest {
    v1::RevokeApiKeyRequest {
        key_id: key(2).id.to_string(),
    }
}

fn is_live(service: &ApiKeys) -> bool {
    let registry = service.core.registry.snapshot();
    registry
        .key(key(2).id)
        .unwrap()
        .is_live(service.core.clock.now_ms())
}

#[tokio::test]
async fn a_revocation_waits_for_no_turn_of_the_registry() {
    let (service, caller, _directory) = service().await;
    let _held = service.core.registry.hold_turn().await;
    let revoked = service.revoke(&caller, revoke_second()).await;
    assert!(revoked.unwrap().key.unwrap().revoked_at.is_some());
    assert!(!is_live(&service));
    // Once more says the same.
    assert!(service.revoke(&caller, revoke_second()).await.is_ok());
}

#[tokio::test]
async fn a_revocation_that_the_database_does_not_take_counts_all_the_same() {
    let (service, caller, _directory) = service().await;
    service.core.store.close().await;
    let refused = service.revoke(&caller, revoke_second()).await.unwrap_err();
    assert!(matches!(refused, Error::Unavailable(_)), "{refused:?}");
    assert!(!is_live(&service));
}

#[test]
fn a_key_has_known_roles_and_a_bounded_life() {
    let tenant = Some(TenantId::from_uuid(uuid::Uuid::nil()));
    for (roles, expires_at, tenant, is_good) in [
        (&[1, 2][..], None, None, true),
        (&[5], None, None, true),
        (&[3, 3], Some(NOW + LIFE_MAX_MS), tenant, true),
        (&[5], None, tenant, false),
        (&[], None, None, false),
        (&[0], None, None, false),
        (&[1, 7], None, None, false),
        (&[-1], None, None, false),
        (&[1], Some(NOW), None, false),
        (&[1], Some(NOW + LIFE_MAX_MS + 1), None, false),
    ] {
        let read = read(&request(roles, expires_at), tenant, NOW);
        assert_eq!(read.is_ok(), is_good, "{roles:?} {expires_at:?}");
    }
    let new = read(&request(&[1], None), None, NOW).unwrap();
    assert_eq!(new.expires_at, NOW + LIFE_DEFAULT_MS);
}
