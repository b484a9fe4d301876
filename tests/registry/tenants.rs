//! Tenants: changed and deleted.

use posthorn::v1::{
    DeleteEndpointRequest, DeleteTenantRequest, Environment, GetTenantRequest, Role, Tenant,
    TenantSettings, UpdateTenantRequest,
};
use posthorn_harness::{Client, Deployment, StoreKind};
use tonic::Code;

use super::{mask, settings};
use crate::support::refusal::assert_refused;

on_both! {
    a_tenant_is_changed_and_deleted,
    s14_only_a_key_of_the_installation_renames_a_tenant,
}

async fn s14_only_a_key_of_the_installation_renames_a_tenant(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let admin = &deployment.admin;
    admin.create_tenant("taken").await;
    let own = admin.with_key(&admin.create_key(&[Role::Admin]).await);
    let rename = async |client: &Client, name: &str| {
        let get = GetTenantRequest {
            tenant_id: deployment.tenant_id.clone(),
        };
        let shown = admin.tenants().get_tenant(get).await;
        let shown = shown.expect("it is there").into_inner().tenant;
        let request = UpdateTenantRequest {
            tenant_id: deployment.tenant_id.clone(),
            settings: Some(TenantSettings {
                name: name.to_owned(),
                ..TenantSettings::default()
            }),
            update_mask: Some(mask(&["name"])),
            etag: shown.expect("the tenant").etag,
            ..UpdateTenantRequest::default()
        };
        client.tenants().update_tenant(request).await
    };
    // The same answer for a name that another tenant has and for one that nobody has.
    let of_another = rename(&own, "taken").await;
    let of_another = assert_refused("taken", of_another, Code::PermissionDenied);
    let of_nobody = rename(&own, "free").await;
    let of_nobody = assert_refused("free", of_nobody, Code::PermissionDenied);
    assert_eq!(of_another.message, of_nobody.message);

    let refused = rename(admin, "taken").await;
    let refused = assert_refused("by the installation", refused, Code::AlreadyExists);
    assert_eq!(refused.reason, "NAME_TAKEN");
    rename(admin, "free").await.expect("it is renamed");
}

async fn a_tenant_is_changed_and_deleted(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let tenant_id = deployment.admin.create_tenant("short-lived").await;
    let mut tenants = deployment.admin.tenants();
    let get = GetTenantRequest {
        tenant_id: tenant_id.clone(),
    };
    let tenant = tenants.get_tenant(get.clone()).await;
    let tenant: Tenant = tenant
        .expect("it is there")
        .into_inner()
        .tenant
        .expect("the tenant");
    let shown = tenant.settings.expect("a tenant has settings");
    assert_eq!(shown.environment(), Environment::Development);
    let request = UpdateTenantRequest {
        tenant_id: tenant_id.clone(),
        settings: Some(TenantSettings {
            name: "ignored".to_owned(),
            organization_id: "org-7".to_owned(),
            environment: Environment::Production.into(),
            ..TenantSettings::default()
        }),
        update_mask: Some(mask(&["organization_id", "environment"])),
        etag: tenant.etag.clone(),
        ..UpdateTenantRequest::default()
    };
    let changed = tenants.update_tenant(request.clone()).await;
    let changed = changed
        .expect("it is changed")
        .into_inner()
        .tenant
        .expect("the tenant");
    let shown = changed.settings.expect("a tenant has settings");
    assert_eq!(shown.name, "short-lived");
    assert_eq!(shown.organization_id, "org-7");
    assert_eq!(shown.environment(), Environment::Production);
    let result = tenants.update_tenant(request).await;
    assert_refused("an old etag", result, Code::Aborted);

    let client = deployment.admin.for_tenant(&tenant_id);
    let key = client.create_key(&[Role::Operator]).await;
    let created = client
        .create_endpoint_with(settings(&deployment, "/"))
        .await;
    let delete = DeleteTenantRequest {
        tenant_id: tenant_id.clone(),
        ..DeleteTenantRequest::default()
    };
    let result = tenants.delete_tenant(delete.clone()).await;
    assert_refused("with an endpoint", result, Code::FailedPrecondition);
    let request = DeleteEndpointRequest {
        tenant_id,
        endpoint_id: created.endpoint.expect("the answer holds it").endpoint_id,
        ..DeleteEndpointRequest::default()
    };
    client
        .endpoints()
        .delete_endpoint(request)
        .await
        .expect("it is deleted");
    tenants.delete_tenant(delete).await.expect("it is deleted");
    let result = tenants.get_tenant(get).await;
    assert_refused("deleted", result, Code::NotFound);
    let orphan = client.with_key(&key);
    let result = orphan
        .tenants()
        .get_tenant(GetTenantRequest::default())
        .await;
    assert_refused("its key", result, Code::Unauthenticated);
}
