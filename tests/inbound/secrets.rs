//! Which secret a request may be signed with, before and after a rotation.

use posthorn::v1::{CreateSourceResponse, RotateSourceSecretRequest, SourceSettings};
use posthorn_harness::{Client, Deployment, STANDARD_WEBHOOKS, StoreKind};
use prost_types::Duration;

use crate::support::hand_edge::{HandEdge, provider_of};

on_both! {
    a_former_secret_is_accepted_for_the_overlap_and_no_longer,
    case_5_without_an_overlap_every_older_secret_is_refused_at_once,
    any_of_several_secrets_is_accepted,
}

const ONE: &str = "whsec_AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
const TWO: &str = "whsec_AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";

async fn make(admin: &Client, secrets: &[&str]) -> CreateSourceResponse {
    let settings = SourceSettings {
        provider: STANDARD_WEBHOOKS.to_owned(),
        ..SourceSettings::default()
    };
    admin.create_source_with(settings, secrets).await
}

/// Gives the source a secret that Posthorn makes, and returns it.
async fn rotate(admin: &Client, created: &CreateSourceResponse, overlap_s: i64) -> String {
    let source = created.source.as_ref().expect("the answer holds it");
    let overlap = Duration {
        seconds: overlap_s,
        nanos: 0,
    };
    let request = RotateSourceSecretRequest {
        tenant_id: source.tenant_id.clone(),
        source_id: source.source_id.clone(),
        overlap: Some(overlap),
        ..RotateSourceSecretRequest::default()
    };
    let rotated = admin.sources().rotate_source_secret(request).await;
    rotated.expect("it is rotated").into_inner().secret
}

async fn a_former_secret_is_accepted_for_the_overlap_and_no_longer(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let admin = &deployment.admin;
    let created = make(admin, &[ONE]).await;
    let mut edge = HandEdge::open(&admin.with_key(&deployment.node_key)).await;
    let first = provider_of(&created, ONE);
    assert_eq!(edge.post(&first, "1", "{}").await.status, 200);

    let second = rotate(admin, &created, 3_600).await;
    let second = provider_of(&created, &second);
    assert_eq!(edge.post(&second, "2", "{}").await.status, 200);
    assert_eq!(edge.post(&first, "3", "{}").await.status, 200);

    let third = rotate(admin, &created, 0).await;
    let third = provider_of(&created, &third);
    assert_eq!(edge.post(&third, "4", "{}").await.status, 200);
    assert_eq!(edge.post(&second, "5", "{}").await.status, 401);
}

async fn case_5_without_an_overlap_every_older_secret_is_refused_at_once(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let admin = &deployment.admin;
    let created = make(admin, &[ONE, TWO]).await;
    // Two nodes, whose streams stand since before the rotations.
    let mut edges = [
        HandEdge::open(&admin.with_key(&deployment.node_key)).await,
        HandEdge::open(&admin.with_key(&deployment.node_key)).await,
    ];
    let third = rotate(admin, &created, 3_600).await;
    let older = [ONE, TWO, third.as_str()].map(|secret| provider_of(&created, secret));
    for (id, provider) in ["1", "2", "3"].iter().zip(&older) {
        assert_eq!(edges[0].post(provider, id, "{}").await.status, 200);
    }
    let last = rotate(admin, &created, 0).await;
    let last = provider_of(&created, &last);
    for (number, edge) in edges.iter_mut().enumerate() {
        for provider in &older {
            assert_eq!(edge.post(provider, "4", "{}").await.status, 401);
        }
        let id = format!("last-{number}");
        assert_eq!(edge.post(&last, &id, "{}").await.status, 200);
    }
}

async fn any_of_several_secrets_is_accepted(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let admin = &deployment.admin;
    let created = make(admin, &[ONE, TWO]).await;
    let mut edge = HandEdge::open(&admin.with_key(&deployment.node_key)).await;
    for (id, secret) in [("1", ONE), ("2", TWO)] {
        let provider = provider_of(&created, secret);
        assert_eq!(edge.post(&provider, id, "{}").await.status, 200);
    }
    let stranger = provider_of(
        &created,
        "whsec_AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=",
    );
    assert_eq!(edge.post(&stranger, "3", "{}").await.status, 401);
}
