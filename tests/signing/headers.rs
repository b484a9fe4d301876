//! Headers of the endpoint's choice, and the test event.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use hmac::{Hmac, KeyInit as _, Mac as _};
use posthorn::v1::{
    EndpointHeader, EndpointSettings, EndpointState, GetEndpointRequest, SetEndpointStateRequest,
    TestEndpointRequest,
};
use posthorn_harness::{Deployment, StoreKind};
use sha2::Sha256;

use super::is_signed;
use crate::support::{DEADLINE, hex};

on_both! {
    a_header_of_the_endpoints_choice_holds_the_bodys_hash,
    headers_of_the_endpoint_are_sent,
    case_15_a_delivery_accepts_every_answer_unless_its_endpoint_says_otherwise,
    a_test_event_reaches_an_endpoint_that_subscribed_to_nothing_of_it,
    a_repeated_test_has_its_first_answer_though_the_endpoint_was_paused,
}

async fn a_header_of_the_endpoints_choice_holds_the_bodys_hash(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let settings = EndpointSettings {
        url: deployment.receiver.url("/"),
        subscriptions: vec!["*".to_owned()],
        body_signature_header: "X-Signature".to_owned(),
        ..EndpointSettings::default()
    };
    let created = deployment.admin.create_endpoint_with(settings).await;
    deployment.admin.emit("a.b", "{\"a\": 1}").await;
    let received = deployment.receiver.received("/");
    let requests = received.await_count(1, DEADLINE).await;
    assert!(is_signed(&requests[0], &created.secret));

    let secret = created.secret.trim_start_matches("whsec_");
    let secret = BASE64.decode(secret).expect("a secret is base64");
    let mut hash = Hmac::<Sha256>::new_from_slice(&secret).expect("any length will do");
    hash.update(&requests[0].body);
    let hash = hash.finalize().into_bytes();
    let hex = hex(&hash);
    assert_eq!(requests[0].header("x-signature"), format!("sha256={hex}"));
}

async fn headers_of_the_endpoint_are_sent(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let header = |name: &str, value: &str, secret| EndpointHeader {
        name: name.to_owned(),
        value: value.to_owned(),
        secret,
    };
    let settings = EndpointSettings {
        url: deployment.receiver.url("/"),
        subscriptions: vec!["*".to_owned()],
        headers: vec![
            header("X-Team", "billing and\tmore", false),
            header("Authorization", "Bearer endpoint-token", true),
        ],
        ..EndpointSettings::default()
    };
    let created = deployment.admin.create_endpoint_with(settings).await;
    let endpoint = created.endpoint.expect("the answer holds the endpoint");
    deployment.admin.emit("a.b", "{}").await;
    let received = deployment.receiver.received("/");
    let requests = received.await_count(1, DEADLINE).await;
    assert_eq!(requests[0].header("x-team"), "billing and\tmore");
    assert_eq!(requests[0].header("authorization"), "Bearer endpoint-token");

    let request = GetEndpointRequest {
        tenant_id: deployment.tenant_id.clone(),
        endpoint_id: endpoint.endpoint_id,
    };
    let answer = deployment.admin.endpoints().get_endpoint(request).await;
    let settings = answer.expect("it is there").into_inner().endpoint;
    let settings = settings.expect("the answer holds the endpoint").settings;
    let headers = settings.expect("an endpoint has settings").headers;
    let values = headers.iter().map(|one| (one.value.as_str(), one.secret));
    let values: Vec<_> = values.collect();
    assert_eq!(values, [("billing and\tmore", false), ("", true)]);
}

/// Common firewalls refuse, or count against it, a request that does not say what it accepts.
async fn case_15_a_delivery_accepts_every_answer_unless_its_endpoint_says_otherwise(
    store: StoreKind,
) {
    let deployment = Deployment::start(store).await;
    deployment
        .admin
        .create_endpoint(&deployment.receiver.url("/plain"), &["*"])
        .await;
    let own = EndpointHeader {
        name: "Accept".to_owned(),
        value: "application/json".to_owned(),
        secret: false,
    };
    let settings = EndpointSettings {
        url: deployment.receiver.url("/choosy"),
        subscriptions: vec!["*".to_owned()],
        headers: vec![own],
        ..EndpointSettings::default()
    };
    deployment.admin.create_endpoint_with(settings).await;
    deployment.admin.emit("a.b", "{}").await;
    for (path, accepted) in [("/plain", "*/*"), ("/choosy", "application/json")] {
        let received = deployment.receiver.received(path);
        let requests = received.await_count(1, DEADLINE).await;
        assert_eq!(requests[0].header("accept"), accepted, "{path}");
    }
}

async fn a_test_event_reaches_an_endpoint_that_subscribed_to_nothing_of_it(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let url = deployment.receiver.url("/tested");
    let created = deployment.admin.create_endpoint(&url, &["order.*"]).await;
    let endpoint = created.endpoint.expect("the answer holds the endpoint");
    let other = deployment.receiver.url("/other");
    deployment.admin.create_endpoint(&other, &["*"]).await;
    let request = TestEndpointRequest {
        tenant_id: deployment.tenant_id.clone(),
        endpoint_id: endpoint.endpoint_id,
        ..TestEndpointRequest::default()
    };
    let answer = deployment.admin.endpoints().test_endpoint(request).await;
    let test = answer.expect("it is accepted").into_inner();
    assert!(test.delivery_id.starts_with("dlv_"));
    let received = deployment.receiver.received("/tested");
    let requests = received.await_count(1, DEADLINE).await;
    assert_eq!(requests[0].webhook_id(), test.event_id);
    assert_eq!(requests[0].header("webhook-event-type"), "posthorn.test");
    assert!(is_signed(&requests[0], &created.secret));

    // Once an event of everyone's has come there, the test would have come too.
    deployment.admin.emit("a.b", "{}").await;
    let others = deployment.receiver.received("/other");
    let others = others.await_count(1, DEADLINE).await;
    assert_eq!(others[0].header("webhook-event-type"), "a.b");
}

async fn a_repeated_test_has_its_first_answer_though_the_endpoint_was_paused(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let url = deployment.receiver.url("/tested");
    let created = deployment.admin.create_endpoint(&url, &["*"]).await;
    let endpoint = created.endpoint.expect("the answer holds the endpoint");
    let request = TestEndpointRequest {
        tenant_id: deployment.tenant_id.clone(),
        endpoint_id: endpoint.endpoint_id.clone(),
        request_id: "one".to_owned(),
    };
    let mut endpoints = deployment.admin.endpoints();
    let first = endpoints.test_endpoint(request.clone()).await;
    let first = first.expect("it is accepted").into_inner();
    let pause = SetEndpointStateRequest {
        state: EndpointState::Paused.into(),
        tenant_id: deployment.tenant_id.clone(),
        endpoint_id: endpoint.endpoint_id,
        ..SetEndpointStateRequest::default()
    };
    let paused = endpoints.set_endpoint_state(pause).await;
    paused.expect("it is paused");
    let again = endpoints.test_endpoint(request).await;
    let again = again.expect("it is a repeat").into_inner();
    assert_eq!(again, first);
}
