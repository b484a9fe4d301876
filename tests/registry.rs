//! Tenants, event types, endpoints and keys.

mod caps;
mod endpoints;
mod event_types;
mod keys;
mod limits;
mod limits_of_others;
mod limits_of_retries;
mod limits_of_sources;
mod lists;
mod providers;
mod revocation;
mod source_secrets;
mod sources;
mod targets;
mod tenants;

use posthorn::v1::{CreateEndpointRequest, Endpoint, EndpointSettings, UpdateEndpointRequest};
use posthorn_harness::Deployment;
use prost_types::FieldMask;

/// Settings for the receiver's `path`, subscribed to everything.
fn settings(deployment: &Deployment, path: &str) -> EndpointSettings {
    EndpointSettings {
        url: deployment.receiver.url(path),
        subscriptions: vec!["*".to_owned()],
        ..EndpointSettings::default()
    }
}

fn create(deployment: &Deployment, settings: EndpointSettings) -> CreateEndpointRequest {
    CreateEndpointRequest {
        tenant_id: deployment.tenant_id.clone(),
        settings: Some(settings),
        ..CreateEndpointRequest::default()
    }
}

fn mask(paths: &[&str]) -> FieldMask {
    let paths = paths.iter().map(|&path| path.to_owned()).collect();
    FieldMask { paths }
}

fn update(
    endpoint: &Endpoint,
    settings: EndpointSettings,
    paths: &[&str],
) -> UpdateEndpointRequest {
    UpdateEndpointRequest {
        tenant_id: endpoint.tenant_id.clone(),
        endpoint_id: endpoint.endpoint_id.clone(),
        settings: Some(settings),
        update_mask: Some(mask(paths)),
        etag: endpoint.etag.clone(),
        ..UpdateEndpointRequest::default()
    }
}

/// Text that no name may be.
fn unprintable() -> Vec<String> {
    let text = [
        "a\0b",
        "a\nb",
        "\u{202e}evil",
        "a\u{2066}b",
        "   ",
        "\u{7f}",
    ];
    let long = "x".repeat(101);
    text.into_iter().map(str::to_owned).chain([long]).collect()
}
