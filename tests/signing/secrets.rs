//! Signing secrets that the caller brings.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use posthorn::v1::{CreateEndpointRequest, EndpointSettings};
use posthorn_harness::{Deployment, StoreKind};

use super::is_signed;
use crate::support::{DEADLINE, refusal::assert_invalid};

on_both! {
    a_secret_of_ones_own_can_be_given,
    a_secret_that_is_none_is_refused,
}

fn with_secret(deployment: &Deployment, secret: &str) -> CreateEndpointRequest {
    CreateEndpointRequest {
        tenant_id: deployment.tenant_id.clone(),
        settings: Some(EndpointSettings {
            url: deployment.receiver.url("/"),
            subscriptions: vec!["*".to_owned()],
            ..EndpointSettings::default()
        }),
        secret: secret.to_owned(),
        ..CreateEndpointRequest::default()
    }
}

async fn a_secret_of_ones_own_can_be_given(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let secrets = [24, 64].map(|length| format!("whsec_{}", BASE64.encode(vec![7; length])));
    for secret in &secrets {
        let request = with_secret(&deployment, secret);
        let created = deployment.admin.endpoints().create_endpoint(request).await;
        let created = created.expect("it is created").into_inner();
        assert_eq!(created.secret, "");
    }
    deployment.admin.emit("a.b", "{}").await;
    let received = deployment.receiver.received("/");
    let requests = received.await_count(2, DEADLINE).await;
    for secret in &secrets {
        let signed = requests.iter().filter(|one| is_signed(one, secret)).count();
        assert_eq!(signed, 1);
    }
}

async fn a_secret_that_is_none_is_refused(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let good = BASE64.encode([7; 32]);
    for secret in [
        "whsec_".to_owned(),
        good.clone(),
        format!("whsec_{}", BASE64.encode([7; 23])),
        format!("whsec_{}", BASE64.encode([7; 65])),
        format!("whsec_{}", BASE64.encode(vec![7; 1_000_000])),
        format!("whsec_whsec_{good}"),
        format!("whsec_{good}!"),
        format!("whsec_{}", good.replace('B', "é")),
    ] {
        let request = with_secret(&deployment, &secret);
        let result = deployment.admin.endpoints().create_endpoint(request).await;
        assert_invalid(&secret[..secret.len().min(40)], result, "secret");
    }
}
