//! Endpoints: made, changed, deleted.

use posthorn::v1::{
    CreateEndpointRequest, CreateTenantRequest, DeleteEndpointRequest, DeliveryActionKind,
    DeliveryState, Endpoint, EndpointHeader, EndpointSettings, EndpointState, GetDeliveryRequest,
    GetEndpointRequest, SetEndpointStateRequest, TenantSettings, UpdateEndpointRequest,
};
use posthorn_harness::{Client, Deployment, StoreKind};
use tokio::task::JoinSet;
use tonic::Code;

use super::{create, settings, update};
use crate::support::{
    DEADLINE,
    follow::{delivery, delivery_of},
    refusal::{assert_invalid, assert_refused},
    time::millis,
};

on_both! {
    an_endpoint_is_as_it_was_made,
    an_update_changes_what_the_mask_names_and_nothing_else,
    an_update_takes_effect_on_the_next_attempt,
    an_update_needs_the_current_etag,
    a_secret_header_goes_nowhere_else_with_a_changed_url,
    a_name_is_taken_once_even_in_parallel,
    a_repeated_request_is_done_once,
    an_endpoint_with_open_deliveries_is_deleted_only_by_force,
}

async fn get(client: &Client, endpoint_id: &str) -> Endpoint {
    let request = GetEndpointRequest {
        tenant_id: client.tenant_id.clone(),
        endpoint_id: endpoint_id.to_owned(),
    };
    let answer = client.endpoints().get_endpoint(request).await;
    let endpoint = answer.expect("it is there").into_inner().endpoint;
    endpoint.expect("the answer holds the endpoint")
}

async fn an_endpoint_is_as_it_was_made(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let minimal = settings(&deployment, "/");
    let created = deployment.admin.create_endpoint_with(minimal.clone()).await;
    let endpoint = created.endpoint.expect("the answer holds the endpoint");
    assert!(endpoint.endpoint_id.starts_with("ep_"));
    assert_eq!(endpoint.tenant_id, deployment.tenant_id);
    assert_eq!(endpoint.secret_fingerprint.len(), 8);
    assert!(endpoint.created_at.is_some() && endpoint.updated_at == endpoint.created_at);
    let shown = endpoint.settings.clone().expect("an endpoint has settings");
    assert_eq!(shown.url, minimal.url);
    assert_eq!(shown.subscriptions, minimal.subscriptions);
    assert_eq!(shown.timeout, Some(millis(15_000)));
    assert_eq!(shown.concurrency, 64);
    assert_eq!(
        get(&deployment.admin, &endpoint.endpoint_id).await,
        endpoint
    );
}

async fn an_update_changes_what_the_mask_names_and_nothing_else(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let before = EndpointSettings {
        name: "before".to_owned(),
        timeout: Some(millis(5_000)),
        concurrency: 7,
        ..settings(&deployment, "/before")
    };
    let created = deployment.admin.create_endpoint_with(before.clone()).await;
    let endpoint = created.endpoint.expect("the answer holds the endpoint");
    let changes = EndpointSettings {
        name: "after".to_owned(),
        subscriptions: vec!["order.*".to_owned()],
        concurrency: 9,
        ..EndpointSettings::default()
    };
    let request = update(&endpoint, changes, &["name", "subscriptions"]);
    let answer = deployment.admin.endpoints().update_endpoint(request).await;
    let after = answer.expect("it is changed").into_inner().endpoint;
    let after = after.expect("the answer holds the endpoint");
    assert_ne!(after.etag, endpoint.etag);
    assert_eq!(after.secret_fingerprint, endpoint.secret_fingerprint);
    let expected = EndpointSettings {
        name: "after".to_owned(),
        subscriptions: vec!["order.*".to_owned()],
        ..endpoint.settings.expect("an endpoint has settings")
    };
    assert_eq!(after.settings, Some(expected));
    assert_eq!(get(&deployment.admin, &after.endpoint_id).await, after);
}

async fn an_update_takes_effect_on_the_next_attempt(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let before = settings(&deployment, "/before");
    let created = deployment.admin.create_endpoint_with(before).await;
    let endpoint = created.endpoint.expect("the answer holds the endpoint");
    deployment.admin.emit("a.b", "{}").await;
    let received = deployment.receiver.received("/before");
    received.await_count(1, DEADLINE).await;
    let request = update(&endpoint, settings(&deployment, "/after"), &["url"]);
    let answer = deployment.admin.endpoints().update_endpoint(request).await;
    answer.expect("it is changed");
    deployment.admin.emit("a.b", "{}").await;
    let moved = deployment.receiver.received("/after");
    moved.await_count(1, DEADLINE).await;
    assert_eq!(received.count(), 1);
}

async fn a_secret_header_goes_nowhere_else_with_a_changed_url(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let secret = |value: &str| EndpointHeader {
        name: "authorization".to_owned(),
        value: value.to_owned(),
        secret: true,
    };
    let before = EndpointSettings {
        headers: vec![secret("Bearer canary")],
        ..settings(&deployment, "/before")
    };
    let created = deployment.admin.create_endpoint_with(before).await;
    let endpoint = created.endpoint.expect("the answer holds the endpoint");
    let elsewhere = EndpointSettings {
        url: "http://127.0.0.2:40000/".to_owned(),
        headers: vec![secret("")],
        ..EndpointSettings::default()
    };
    let endpoints = deployment.admin.endpoints();
    for fields in [&["url"][..], &["url", "headers"]] {
        let request = update(&endpoint, elsewhere.clone(), fields);
        let answer = endpoints.clone().update_endpoint(request).await;
        assert_invalid("to another host", answer, "settings.headers");
    }
    let same = settings(&deployment, "/after");
    let answer = endpoints
        .clone()
        .update_endpoint(update(&endpoint, same, &["url"]))
        .await;
    let endpoint = answer.expect("the host is the same").into_inner().endpoint;
    let endpoint = endpoint.expect("the answer holds the endpoint");
    let given = EndpointSettings {
        headers: vec![secret("Bearer anew")],
        ..elsewhere
    };
    let request = update(&endpoint, given, &["url", "headers"]);
    let answer = endpoints.clone().update_endpoint(request).await;
    answer.expect("the value is given again");
}

async fn an_update_needs_the_current_etag(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let created = deployment
        .admin
        .create_endpoint_with(settings(&deployment, "/"))
        .await;
    let endpoint = created.endpoint.expect("the answer holds the endpoint");
    let mut endpoints = deployment.admin.endpoints();
    let good = update(&endpoint, settings(&deployment, "/x"), &["url"]);
    let none = UpdateEndpointRequest {
        etag: String::new(),
        ..good.clone()
    };
    assert_invalid("no etag", endpoints.update_endpoint(none).await, "etag");
    let other = UpdateEndpointRequest {
        etag: "no etag of ours".to_owned(),
        ..good.clone()
    };
    let result = endpoints.update_endpoint(other).await;
    assert_refused("another etag", result, Code::Aborted);
    endpoints
        .update_endpoint(good.clone())
        .await
        .expect("the current etag");
    let result = endpoints.update_endpoint(good).await;
    assert_refused("an old etag", result, Code::Aborted);
}

async fn a_name_is_taken_once_even_in_parallel(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let named = EndpointSettings {
        name: "the one".to_owned(),
        ..settings(&deployment, "/")
    };
    let mut calls = JoinSet::new();
    for _ in 0..10 {
        let mut endpoints = deployment.admin.endpoints();
        let request = create(&deployment, named.clone());
        calls.spawn(async move { endpoints.create_endpoint(request).await });
    }
    let (made, refused): (Vec<_>, Vec<_>) =
        calls.join_all().await.into_iter().partition(Result::is_ok);
    assert_eq!(made.len(), 1);
    for result in refused {
        assert_refused("a name in use", result, Code::AlreadyExists);
    }
    // Another tenant can use it, and endpoints without a name are no trouble to each other.
    let other = deployment.admin.create_tenant("other").await;
    deployment
        .admin
        .for_tenant(&other)
        .create_endpoint_with(named.clone())
        .await;
    for _ in 0..2 {
        deployment
            .admin
            .create_endpoint_with(settings(&deployment, "/"))
            .await;
    }
    let unnamed = deployment
        .admin
        .create_endpoint_with(settings(&deployment, "/"))
        .await;
    let unnamed = unnamed.endpoint.expect("the answer holds the endpoint");
    let request = update(&unnamed, named, &["name"]);
    let result = deployment.admin.endpoints().update_endpoint(request).await;
    assert_refused("renamed to a name in use", result, Code::AlreadyExists);
    let same = TenantSettings {
        name: "other".to_owned(),
        ..TenantSettings::default()
    };
    let request = CreateTenantRequest {
        settings: Some(same),
        ..CreateTenantRequest::default()
    };
    let result = deployment.admin.tenants().create_tenant(request).await;
    assert_refused("a tenant's name in use", result, Code::AlreadyExists);
}

async fn a_repeated_request_is_done_once(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let mut endpoints = deployment.admin.endpoints();
    let request = CreateEndpointRequest {
        request_id: "again and again".to_owned(),
        ..create(&deployment, settings(&deployment, "/"))
    };
    let first = endpoints.create_endpoint(request.clone()).await;
    let first = first.expect("it is created").into_inner();
    let repeat = endpoints.create_endpoint(request.clone()).await;
    let repeat = repeat.expect("it is repeated").into_inner();
    assert_eq!(repeat.endpoint, first.endpoint);
    assert_eq!(repeat.secret, "", "a secret is shown once");
    let other = CreateEndpointRequest {
        settings: Some(settings(&deployment, "/other")),
        ..request.clone()
    };
    let result = endpoints.create_endpoint(other).await;
    assert_refused("other content", result, Code::AlreadyExists);
    for bad in ["x".repeat(129), "a\0b".to_owned(), "é".to_owned()] {
        let request = CreateEndpointRequest {
            request_id: bad,
            ..request.clone()
        };
        let result = endpoints.create_endpoint(request).await;
        assert_invalid("a request id", result, "request_id");
    }
}

async fn an_endpoint_with_open_deliveries_is_deleted_only_by_force(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let created = deployment
        .admin
        .create_endpoint_with(settings(&deployment, "/"))
        .await;
    let id = created
        .endpoint
        .expect("the answer holds the endpoint")
        .endpoint_id;
    let mut endpoints = deployment.admin.endpoints();
    let pause = SetEndpointStateRequest {
        state: EndpointState::Paused.into(),
        tenant_id: deployment.tenant_id.clone(),
        endpoint_id: id.clone(),
        ..SetEndpointStateRequest::default()
    };
    endpoints
        .set_endpoint_state(pause)
        .await
        .expect("it is paused");
    let mut events = Vec::new();
    for _ in 0..3 {
        events.push(deployment.admin.emit("a.b", "{}").await.event_id);
    }
    let open = delivery_of(&deployment.admin, &events[0]).await;
    let delete = |force| DeleteEndpointRequest {
        tenant_id: deployment.tenant_id.clone(),
        endpoint_id: id.clone(),
        force,
        ..DeleteEndpointRequest::default()
    };
    let result = endpoints.delete_endpoint(delete(false)).await;
    assert_refused("without force", result, Code::FailedPrecondition);
    let answer = endpoints.delete_endpoint(delete(true)).await;
    assert_eq!(answer.expect("with force").into_inner().cancelled, 3);
    let ended = delivery(&deployment.admin, &open.delivery_id).await;
    assert_eq!(ended.state(), DeliveryState::Cancelled);
    let request = GetDeliveryRequest {
        tenant_id: deployment.tenant_id.clone(),
        delivery_id: open.delivery_id,
    };
    let answer = deployment.admin.deliveries().get_delivery(request).await;
    let actions = answer.expect("it is there").into_inner().actions;
    assert_eq!(actions[0].kind(), DeliveryActionKind::Cancel);
    let result = endpoints.delete_endpoint(delete(true)).await;
    assert_refused("deleted", result, Code::NotFound);
    let next = deployment.admin.emit("a.b", "{}").await;
    assert_eq!(next.delivery_count, 0);
}
