//! Keys: made, listed, revoked.

use posthorn::v1::{
    CreateApiKeyRequest, GetApiKeyRequest, GetTenantRequest, ListApiKeysRequest, Role,
};
use posthorn_harness::{Deployment, StoreKind, eventually};
use tonic::Code;

use crate::support::{
    DEADLINE,
    refusal::{assert_refused, refusal},
    time::from_now,
};

on_both! {
    keys_are_listed_and_revoked_ones_stop_at_once,
    a_tenants_admin_makes_keys_for_that_tenant_only,
}

async fn keys_are_listed_and_revoked_ones_stop_at_once(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let mut keys = deployment.admin.api_keys();
    let request = CreateApiKeyRequest {
        tenant_id: deployment.tenant_id.clone(),
        name: "viewer of the tenant".to_owned(),
        roles: vec![Role::Viewer.into()],
        ..CreateApiKeyRequest::default()
    };
    let created = keys
        .create_api_key(request)
        .await
        .expect("it is created")
        .into_inner();
    let key = created.key.expect("the answer holds the key");
    let life = key.expires_at.expect("keys expire").seconds
        - key.created_at.expect("a key has a start").seconds;
    assert_eq!(life, 90 * 86_400);
    let viewer = deployment.admin.with_key(&created.api_key);
    let look = async || {
        let mut tenants = viewer.tenants();
        tenants.get_tenant(GetTenantRequest::default()).await
    };
    look().await.expect("the key works");
    let revoke = posthorn::v1::RevokeApiKeyRequest {
        key_id: key.key_id.clone(),
    };
    for _ in 0..2 {
        keys.revoke_api_key(revoke.clone())
            .await
            .expect("it is revoked");
        assert_refused("revoked", look().await, Code::Unauthenticated);
    }
    let list = ListApiKeysRequest {
        tenant_id: deployment.tenant_id.clone(),
        ..ListApiKeysRequest::default()
    };
    let listed = keys
        .list_api_keys(list)
        .await
        .expect("they are listed")
        .into_inner()
        .keys;
    let listed = listed.iter().find(|one| one.key_id == key.key_id);
    let listed = listed.expect("revoked keys are listed");
    assert!(listed.revoked_at.is_some());
    let request = GetApiKeyRequest {
        key_id: key.key_id.clone(),
    };
    let shown = keys.get_api_key(request.clone()).await;
    assert_eq!(
        shown.expect("it is there").into_inner().key.as_ref(),
        Some(listed)
    );
    let installation = deployment.admin.for_tenant("");
    let other = installation.create_tenant("other").await;
    let other = installation.for_tenant(&other);
    let stranger = other.with_key(&other.create_key(&[Role::Admin]).await);
    let refused = stranger.api_keys().get_api_key(request).await;
    assert_refused("another tenant's", refused, Code::NotFound);
    assert_eq!(listed.roles().collect::<Vec<_>>(), [Role::Viewer]);
}

async fn a_tenants_admin_makes_keys_for_that_tenant_only(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let admin = deployment.client(&[Role::Admin]).await;
    let other = deployment.admin.create_tenant("other").await;
    let request = |tenant_id: &str, role: Role| CreateApiKeyRequest {
        tenant_id: tenant_id.to_owned(),
        name: "made by a tenant".to_owned(),
        roles: vec![role.into()],
        expires_at: Some(from_now(3_600)),
        ..CreateApiKeyRequest::default()
    };
    let mut keys = admin.api_keys();
    for tenant_id in ["", &deployment.tenant_id] {
        let created = keys.create_api_key(request(tenant_id, Role::Emitter)).await;
        let key = created.expect("it is created").into_inner().key;
        let bound_to = key.expect("the answer holds the key").tenant_id;
        assert_eq!(bound_to, deployment.tenant_id);
    }
    let result = keys.create_api_key(request(&other, Role::Emitter)).await;
    assert_refused("another's", result, Code::PermissionDenied);
    let result = keys.create_api_key(request("", Role::Node)).await;
    let code = refusal("a tenant's node", result).code;
    assert_eq!(code, Code::InvalidArgument);
    eventually("the list has the new keys", DEADLINE, async || {
        let listed = keys.list_api_keys(ListApiKeysRequest::default()).await;
        listed.is_ok_and(|listed| listed.into_inner().keys.len() == 3)
    })
    .await;
}
