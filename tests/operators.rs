//! What an operator does, with the real grpcurl: no client of ours, nothing but the server's reflection.

use posthorn::v1::{DeliveryState, Role};
use posthorn_harness::{Answer, Deployment, StoreKind};
use serde_json::{Value, json};

use super::support::{
    DEADLINE,
    descriptor::rpcs,
    follow::{await_state, delivery_of},
    grpcurl::Grpcurl,
    unknown,
};

on_both! {
    every_service_can_be_listed_and_described,
    an_endpoint_is_made_an_event_emitted_and_its_attempts_looked_at,
    a_dead_delivery_is_found_and_retried,
    dead_letters_are_redriven_and_discarded,
    a_waiting_delivery_is_cancelled,
    a_refusal_says_what_to_do,
    without_a_key_nothing_is_told,
}

/// grpcurl under the key of an operator and emitter of the tenant.
async fn operator(deployment: &Deployment) -> Grpcurl {
    let key = deployment
        .admin
        .create_key(&[Role::Operator, Role::Emitter])
        .await;
    Grpcurl::new(deployment.control.grpc, &key)
}

/// Makes an endpoint for everything at the receiver's `path`, which fails for good at the first failure.
async fn endpoint(grpcurl: &Grpcurl, deployment: &Deployment, path: &str) -> String {
    let request = json!({"settings": {
        "name": path,
        "url": deployment.receiver.url(path),
        "subscriptions": ["*"],
        "retryPolicy": {"explicit": {"delays": []}},
    }});
    let made = grpcurl
        .call("EndpointService/CreateEndpoint", request)
        .await;
    let made = made.expect("it is created");
    assert!(text(&made["secret"]).starts_with("whsec_"));
    text(&made["endpoint"]["endpointId"])
}

async fn emit(grpcurl: &Grpcurl) -> String {
    let request = json!({"eventType": "order.paid", "data": {"amount": 7}});
    let emitted = grpcurl.call("EventService/EmitEvent", request).await;
    text(&emitted.expect("it is accepted")["eventId"])
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("not a text: {value}"))
        .to_owned()
}

async fn every_service_can_be_listed_and_described(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let grpcurl = operator(&deployment).await;
    let services = grpcurl.list(None).await.expect("services are listed");
    for rpc in rpcs() {
        let (service, method) = rpc.path[1..].split_once('/').expect("a path has two parts");
        assert!(
            services.iter().any(|one| one == service),
            "{service}: {services:?}"
        );
        let methods = grpcurl
            .list(Some(service))
            .await
            .expect("methods are listed");
        let name = format!("{service}.{method}");
        assert!(methods.contains(&name), "{name}: {methods:?}");
    }
    let described = grpcurl.describe("posthorn.v1.EmitEventRequest").await;
    let described = described.expect("a message is described");
    assert!(described.contains("idempotency_key"), "{described}");
}

async fn an_endpoint_is_made_an_event_emitted_and_its_attempts_looked_at(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let grpcurl = operator(&deployment).await;
    let endpoint_id = endpoint(&grpcurl, &deployment, "/hook").await;
    let event_id = emit(&grpcurl).await;
    let received = deployment.receiver.received("/hook");
    let requests = received.await_count(1, DEADLINE).await;
    assert_eq!(requests[0].body, r#"{"amount":7}"#);
    assert_eq!(requests[0].webhook_id(), event_id);
    await_state(&deployment.admin, &event_id, DeliveryState::Delivered).await;

    let listed = grpcurl
        .call(
            "DeliveryService/ListDeliveries",
            json!({"eventId": event_id}),
        )
        .await;
    let listed = listed.expect("deliveries are listed");
    let delivery = &listed["deliveries"][0];
    assert_eq!(delivery["state"], "DELIVERY_STATE_DELIVERED");
    assert_eq!(text(&delivery["endpointId"]), endpoint_id);
    let one = json!({"deliveryId": delivery["deliveryId"]});
    let shown = grpcurl
        .call("DeliveryService/GetDelivery", one.clone())
        .await;
    assert_eq!(&shown.expect("it is there")["delivery"], delivery);
    let attempts = grpcurl.call("DeliveryService/ListAttempts", one).await;
    let attempts = attempts.expect("attempts are listed");
    let attempt = &attempts["attempts"][0];
    assert_eq!(attempt["number"], 1);
    assert_eq!(attempt["succeeded"], true);
    assert_eq!(attempt["statusCode"], 200);
    let event = grpcurl
        .call("EventService/GetEvent", json!({"eventId": event_id}))
        .await;
    assert_eq!(
        event.expect("it is there")["event"]["eventType"],
        "order.paid"
    );
}

async fn a_dead_delivery_is_found_and_retried(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let grpcurl = operator(&deployment).await;
    endpoint(&grpcurl, &deployment, "/hook").await;
    deployment.receiver.answer("/hook", Answer::Status(500));
    let event_id = emit(&grpcurl).await;
    await_state(&deployment.admin, &event_id, DeliveryState::Dead).await;
    let dead = json!({"state": "DELIVERY_STATE_DEAD"});
    let found = grpcurl.call("DeliveryService/ListDeliveries", dead).await;
    let found = found.expect("deliveries are listed");
    let delivery = &found["deliveries"][0];
    assert_eq!(delivery["deadReason"], "DEAD_REASON_ATTEMPTS_EXHAUSTED");

    deployment.receiver.answer("/hook", Answer::Status(200));
    let request = json!({"deliveryId": delivery["deliveryId"], "reason": "receiver mended"});
    let retried = grpcurl.call("DeliveryService/RetryDelivery", request).await;
    let retried = retried.expect("it is retried");
    assert_eq!(retried["delivery"]["state"], "DELIVERY_STATE_PENDING");
    await_state(&deployment.admin, &event_id, DeliveryState::Delivered).await;
    let one = json!({"deliveryId": delivery["deliveryId"]});
    let shown = grpcurl.call("DeliveryService/GetDelivery", one).await;
    let action = &shown.expect("it is there")["actions"][0];
    assert_eq!(action["kind"], "DELIVERY_ACTION_KIND_RETRY");
    assert_eq!(action["reason"], "receiver mended");
    assert!(text(&action["keyId"]).starts_with("key_"));
}

async fn dead_letters_are_redriven_and_discarded(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let grpcurl = operator(&deployment).await;
    let endpoint_id = endpoint(&grpcurl, &deployment, "/hook").await;
    deployment.receiver.answer("/hook", Answer::Status(500));
    let mut events = Vec::new();
    for _ in 0..5 {
        let event_id = emit(&grpcurl).await;
        await_state(&deployment.admin, &event_id, DeliveryState::Dead).await;
        events.push(event_id);
    }
    deployment.receiver.answer("/hook", Answer::Status(200));
    let request = json!({"endpointId": endpoint_id, "limit": 3, "reason": "receiver mended"});
    let redriven = grpcurl
        .call("DeliveryService/RedriveDeadLetters", request)
        .await;
    assert_eq!(
        redriven.expect("some are redriven"),
        json!({"redriven": 3, "more": true})
    );
    // The oldest first.
    for event_id in &events[..3] {
        await_state(&deployment.admin, event_id, DeliveryState::Delivered).await;
    }
    let request = json!({"reason": "not needed any more"});
    let discarded = grpcurl
        .call("DeliveryService/DiscardDeadLetters", request)
        .await;
    assert_eq!(
        discarded.expect("the rest is discarded"),
        json!({"discarded": 2, "more": false})
    );
    for event_id in &events[3..] {
        await_state(&deployment.admin, event_id, DeliveryState::Cancelled).await;
    }
    let request = json!({"reason": "again"});
    let redriven = grpcurl
        .call("DeliveryService/RedriveDeadLetters", request)
        .await;
    assert_eq!(
        redriven.expect("none is left"),
        json!({"redriven": 0, "more": false})
    );
}

async fn a_waiting_delivery_is_cancelled(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let grpcurl = operator(&deployment).await;
    let endpoint_id = endpoint(&grpcurl, &deployment, "/hook").await;
    let pause = json!({
        "endpointId": endpoint_id, "state": "ENDPOINT_STATE_PAUSED", "reason": "not yet",
    });
    grpcurl
        .call("EndpointService/SetEndpointState", pause)
        .await
        .expect("it is paused");
    let event_id = emit(&grpcurl).await;
    let delivery_id = delivery_of(&deployment.admin, &event_id).await.delivery_id;
    let request = json!({"deliveryId": delivery_id, "reason": "sent by hand"});
    for _ in 0..2 {
        let cancelled = grpcurl
            .call("DeliveryService/CancelDelivery", request.clone())
            .await;
        let cancelled = cancelled.expect("it is cancelled");
        assert_eq!(cancelled["delivery"]["state"], "DELIVERY_STATE_CANCELLED");
    }
    let resume = json!({"endpointId": endpoint_id, "state": "ENDPOINT_STATE_ENABLED"});
    grpcurl
        .call("EndpointService/SetEndpointState", resume)
        .await
        .expect("it is resumed");
    let next = emit(&grpcurl).await;
    await_state(&deployment.admin, &next, DeliveryState::Delivered).await;
    let ids = deployment.receiver.received("/hook").by_webhook_id();
    assert_eq!(ids.into_iter().collect::<Vec<_>>(), [(next.clone(), 1)]);
    let delivered = delivery_of(&deployment.admin, &next).await.delivery_id;
    let request = json!({"deliveryId": delivered, "reason": "too late"});
    let refused = grpcurl
        .call("DeliveryService/CancelDelivery", request)
        .await;
    assert_eq!(
        refused.expect_err("it is delivered").code,
        "FailedPrecondition"
    );
}

async fn a_refusal_says_what_to_do(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let grpcurl = operator(&deployment).await;
    for (method, request, code, hint) in [
        (
            "EventService/EmitEvent",
            json!({"eventType": "a..b", "data": 1}),
            "InvalidArgument",
            "event_type",
        ),
        (
            "EndpointService/CreateEndpoint",
            json!({"settings": {"url": "https://10.0.0.1/", "subscriptions": ["*"]}}),
            "InvalidArgument",
            "target_not_allowed",
        ),
        (
            "DeliveryService/RetryDelivery",
            json!({"deliveryId": unknown::DELIVERY}),
            "InvalidArgument",
            "reason",
        ),
        (
            "DeliveryService/RetryDelivery",
            json!({"deliveryId": unknown::DELIVERY, "reason": "hope"}),
            "NotFound",
            "delivery",
        ),
        (
            "DeliveryService/GetDelivery",
            json!({"deliveryId": "dlv_1"}),
            "InvalidArgument",
            "delivery_id",
        ),
        (
            "DeliveryService/RedriveDeadLetters",
            json!({}),
            "InvalidArgument",
            "reason",
        ),
        (
            "ApiKeyService/ListApiKeys",
            json!({}),
            "PermissionDenied",
            "admin",
        ),
    ] {
        let refused = grpcurl.call(method, request).await.expect_err(method);
        assert_eq!(refused.code, code, "{method}: {}", refused.text);
        assert!(refused.text.contains(hint), "{method}: {}", refused.text);
    }
}

async fn without_a_key_nothing_is_told(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let stranger = Grpcurl::new(deployment.control.grpc, "");
    let refused = stranger.list(None).await.expect_err("no key");
    assert!(!refused.text.contains("EventService"), "{}", refused.text);
    assert!(refused.text.contains("API key"), "{}", refused.text);
}
