//! Calls at one time.

use posthorn::v1::{
    CreateApiKeyRequest, CreateEventTypeRequest, ListEventsRequest, RevokeApiKeyRequest, Role,
};
use posthorn_harness::{Client, Deployment, StoreKind};
use tonic::Code;

use super::{options, until_refused};
use crate::support::refusal::Refusal;

on_both! {
    one_keys_flood_of_lists_is_refused_and_another_tenant_goes_on,
    one_keys_flood_of_changes_is_refused_and_its_revocation_passes,
}

/// An operator of a tenant of its own.
async fn operator_of_another(deployment: &Deployment) -> Client {
    let tenant = deployment.admin.create_tenant("other").await;
    let other = deployment.admin.for_tenant(&tenant);
    let key = other.create_key(&[Role::Operator]).await;
    other.with_key(&key)
}

/// Every refusal of a flood must say why, and when to come back.
fn check(refusals: &[Refusal], words: &str) {
    assert!(!refusals.is_empty(), "nobody was refused");
    for refusal in refusals {
        assert_eq!(refusal.code, Code::ResourceExhausted, "{refusal:?}");
        assert!(refusal.says_when_to_retry, "{refusal:?}");
        assert!(refusal.message.contains(words), "{refusal:?}");
    }
}

async fn one_keys_flood_of_lists_is_refused_and_another_tenant_goes_on(store: StoreKind) {
    let limits = options(&[("scans-per-key", "1"), ("waiting", "1")]);
    let deployment = Deployment::start_with(store, limits, &[]).await;
    let viewer = deployment.client(&[Role::Viewer]).await;
    let other = operator_of_another(&deployment).await;
    let list = |client: &Client| {
        let mut events = client.events();
        async move { events.list_events(ListEventsRequest::default()).await }
    };
    let flood = (0..200).map(|_| tokio::spawn(list(&viewer)));
    let flood = flood.collect::<Vec<_>>();
    list(&other).await.expect("another key has its own places");
    let mut refusals = Vec::new();
    for call in flood {
        let answer = call.await.expect("it is answered");
        refusals.extend(answer.err().map(Refusal::from));
    }
    check(
        &refusals,
        "as many lists and payloads under way as it may (1)",
    );
    until_refused(deployment.control.metrics, "scans_per_key").await;
}

async fn one_keys_flood_of_changes_is_refused_and_its_revocation_passes(store: StoreKind) {
    let limits = options(&[("changes-per-key", "1"), ("waiting", "1")]);
    let deployment = Deployment::start_with(store, limits, &[]).await;
    let request = CreateApiKeyRequest {
        tenant_id: deployment.tenant_id.clone(),
        name: "floods".to_owned(),
        roles: vec![Role::Admin.into()],
        ..CreateApiKeyRequest::default()
    };
    let made = deployment.admin.api_keys().create_api_key(request).await;
    let made = made.expect("the key is made").into_inner();
    let flooding = deployment.admin.with_key(&made.api_key);
    // Each goes on until its key works no more.
    let flood = (0..32).map(|flooder| {
        let mut types = flooding.event_types();
        tokio::spawn(async move {
            let mut refusals = Vec::new();
            for number in 0_u64.. {
                let request = CreateEventTypeRequest {
                    name: format!("flood.number_{flooder}_{number}"),
                    ..CreateEventTypeRequest::default()
                };
                match types
                    .create_event_type(request)
                    .await
                    .map_err(Refusal::from)
                {
                    Err(refusal) if refusal.code == Code::Unauthenticated => break,
                    Err(refusal) => refusals.push(refusal),
                    Ok(_) => {}
                }
            }
            refusals
        })
    });
    let flood = flood.collect::<Vec<_>>();
    until_refused(deployment.control.metrics, "changes_per_key").await;
    let revocation = RevokeApiKeyRequest {
        key_id: made.key.expect("it is shown").key_id,
    };
    // The key revokes itself, in the middle of its flood.
    let mut keys = flooding.api_keys();
    keys.revoke_api_key(revocation).await.expect("it passes");
    let mut refusals = Vec::new();
    for flooder in flood {
        refusals.extend(flooder.await.expect("it hears of the revocation"));
    }
    check(&refusals, "as many changes under way as it may (1)");
}
