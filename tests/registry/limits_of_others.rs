//! What tenants and keys may not be.

use posthorn::v1::{CreateApiKeyRequest, CreateTenantRequest, Environment, Role, TenantSettings};
use posthorn_harness::{Deployment, StoreKind};

use super::unprintable;
use crate::support::{refusal::assert_invalid, time::from_now};

on_both! {
    a_tenant_out_of_its_limits_is_refused,
    a_key_out_of_its_limits_is_refused,
}

async fn a_tenant_out_of_its_limits_is_refused(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let good = TenantSettings {
        name: "good".to_owned(),
        ..TenantSettings::default()
    };
    let mut cases = Vec::new();
    for name in unprintable().into_iter().chain([String::new()]) {
        cases.push((
            "settings.name",
            TenantSettings {
                name,
                ..good.clone()
            },
        ));
    }
    for organization_id in unprintable() {
        cases.push((
            "settings.organization_id",
            TenantSettings {
                organization_id,
                ..good.clone()
            },
        ));
    }
    for environment in [4, -1, 1_000] {
        cases.push((
            "settings.environment",
            TenantSettings {
                environment,
                ..good.clone()
            },
        ));
    }
    for (field, settings) in cases {
        let what = format!("{settings:?}");
        let request = CreateTenantRequest {
            settings: Some(settings),
            ..CreateTenantRequest::default()
        };
        let result = deployment.admin.tenants().create_tenant(request).await;
        assert_invalid(&what, result, field);
    }
    let known = Environment::Staging.into();
    let request = CreateTenantRequest {
        settings: Some(TenantSettings {
            environment: known,
            ..good
        }),
        ..CreateTenantRequest::default()
    };
    let result = deployment.admin.tenants().create_tenant(request).await;
    assert!(result.is_ok(), "{result:?}");
}

async fn a_key_out_of_its_limits_is_refused(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let good = CreateApiKeyRequest {
        tenant_id: deployment.tenant_id.clone(),
        name: "good".to_owned(),
        roles: vec![Role::Viewer.into()],
        ..CreateApiKeyRequest::default()
    };
    let mut cases = vec![(
        "roles",
        CreateApiKeyRequest {
            roles: vec![],
            ..good.clone()
        },
    )];
    for role in [0, 7, -1] {
        let roles = vec![Role::Viewer.into(), role];
        cases.push((
            "roles[1]",
            CreateApiKeyRequest {
                roles,
                ..good.clone()
            },
        ));
    }
    for name in unprintable().into_iter().chain([String::new()]) {
        cases.push((
            "name",
            CreateApiKeyRequest {
                name,
                ..good.clone()
            },
        ));
    }
    for seconds in [-1, 366 * 86_400] {
        let expires_at = Some(from_now(seconds));
        cases.push((
            "expires_at",
            CreateApiKeyRequest {
                expires_at,
                ..good.clone()
            },
        ));
    }
    for (field, request) in cases {
        let what = format!("{request:?}");
        let result = deployment.admin.api_keys().create_api_key(request).await;
        assert_invalid(&what, result, field);
    }
    let expires_at = Some(from_now(364 * 86_400));
    let request = CreateApiKeyRequest { expires_at, ..good };
    let result = deployment.admin.api_keys().create_api_key(request).await;
    assert!(result.is_ok(), "{result:?}");
}
