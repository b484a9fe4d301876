//! What is a repeat, and what only looks like one.

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use posthorn::node::v1::ForwardedRequest;
use posthorn::v1::{
    InboundRequest, ListInboundRequestsRequest, OnConflict, SourceSettings, Verdict,
};
use posthorn_harness::{Deployment, STANDARD_WEBHOOKS, StoreKind};
use sha2::Sha256;

use crate::support::{
    DEADLINE,
    hand_edge::{HandEdge, posted, provider_of},
    hex,
    time::millis,
};

on_both! {
    case_2_notifications_that_say_only_what_changed_are_an_event_each,
    case_3_webhooks_that_share_the_id_of_their_cause_are_an_event_each,
    within_a_window_the_same_bytes_are_one_event_and_after_it_another,
    other_bytes_under_one_id_are_an_event_each_where_a_source_says_so,
}

struct World {
    deployment: Deployment,
    edge: HandEdge,
}

impl World {
    async fn start(store: StoreKind) -> Self {
        let deployment = Deployment::movable(store).await;
        let url = deployment.receiver.url("/");
        deployment.admin.create_endpoint(&url, &["*"]).await;
        let node = deployment.admin.with_key(&deployment.node_key);
        Self {
            edge: HandEdge::open(&node).await,
            deployment,
        }
    }

    async fn source(&self, settings: SourceSettings, secrets: &[&str]) -> String {
        let created = self
            .deployment
            .admin
            .create_source_with(settings, secrets)
            .await;
        created.source.expect("the answer holds it").source_id
    }

    async fn ask(&mut self, request: ForwardedRequest) {
        let answer = self.edge.ask(request).await;
        assert!((200..300).contains(&answer.status), "{answer:?}");
    }

    /// The source's requests, the oldest first.
    async fn list(&self, source_id: &str) -> Vec<InboundRequest> {
        let request = ListInboundRequestsRequest {
            tenant_id: self.deployment.tenant_id.clone(),
            source_id: source_id.to_owned(),
            page_size: 500,
            ..ListInboundRequestsRequest::default()
        };
        let mut inbound = self.deployment.admin.inbound();
        let answer = inbound.list_inbound_requests(request).await;
        let mut requests = answer.expect("they are listed").into_inner().requests;
        requests.reverse();
        requests
    }

    async fn verdicts(&self, source_id: &str) -> Vec<Verdict> {
        let requests = self.list(source_id).await;
        requests.iter().map(InboundRequest::verdict).collect()
    }
}

fn of(provider: &str) -> SourceSettings {
    SourceSettings {
        provider: provider.to_owned(),
        ..SourceSettings::default()
    }
}

fn mac(secret: &str, body: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length");
    mac.update(body.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

async fn case_2_notifications_that_say_only_what_changed_are_an_event_each(store: StoreKind) {
    let mut world = World::start(store).await;
    let mollie = world.source(of("mollie_classic"), &[]).await;
    for _ in ["paid", "refunded", "charged back"] {
        let form = [("content-type", "application/x-www-form-urlencoded")];
        world.ask(posted(&mollie, &form, "id=tr_WDqYK6vllg")).await;
    }
    let dropbox = world.source(of("dropbox"), &["app-secret"]).await;
    let body = r#"{"list_folder": {"accounts": ["dbid:AAAA"]}}"#;
    let signature = hex(&mac("app-secret", body));
    for _ in 0..2 {
        let headers = [
            ("content-type", "application/json"),
            ("x-dropbox-signature", signature.as_str()),
        ];
        world.ask(posted(&dropbox, &headers, body)).await;
    }
    let token = world.source(of("generic_token"), &["token"]).await;
    for _ in 0..2 {
        let headers = [("x-webhook-token", "token")];
        world.ask(posted(&token, &headers, "")).await;
    }
    for (source_id, count) in [(&mollie, 3), (&dropbox, 2), (&token, 2)] {
        let verdicts = world.verdicts(source_id).await;
        assert_eq!(verdicts, vec![Verdict::Accepted; count], "{source_id}");
    }
    let received = world.deployment.receiver.received("/");
    received.await_distinct(7, DEADLINE).await;
}

async fn case_3_webhooks_that_share_the_id_of_their_cause_are_an_event_each(store: StoreKind) {
    let mut world = World::start(store).await;
    let shop = world.source(of("shopify"), &["shop-secret"]).await;
    for (body, topic, id) in [
        (
            r#"{"id": 1, "financial_status": "pending"}"#,
            "orders/create",
            "w-1",
        ),
        (
            r#"{"id": 1, "financial_status": "paid"}"#,
            "orders/paid",
            "w-2",
        ),
    ] {
        let signature = BASE64_STANDARD.encode(mac("shop-secret", body));
        let headers = [
            ("content-type", "application/json"),
            ("x-shopify-topic", topic),
            ("x-shopify-event-id", "one-action"),
            ("x-shopify-webhook-id", id),
            ("x-shopify-hmac-sha256", signature.as_str()),
        ];
        // The provider repeats each of them.
        for _ in 0..2 {
            world.ask(posted(&shop, &headers, body)).await;
        }
    }
    let requests = world.list(&shop).await;
    let accepted = requests
        .iter()
        .filter(|request| request.verdict() == Verdict::Accepted);
    let types = accepted.map(|request| request.event_type.as_str());
    assert_eq!(
        types.collect::<Vec<_>>(),
        ["shopify.orders_create", "shopify.orders_paid"]
    );
    let repeats = requests.len() - 2;
    assert_eq!(repeats, 2, "{requests:?}");
}

async fn within_a_window_the_same_bytes_are_one_event_and_after_it_another(store: StoreKind) {
    let mut world = World::start(store).await;
    let settings = SourceSettings {
        dedupe_window: Some(millis(600_000)),
        ..of("generic_token")
    };
    let source_id = world.source(settings, &["token"]).await;
    let post = |body: &'static str| posted(&source_id, &[("x-webhook-token", "token")], body);
    for body in ["a", "a"] {
        world.ask(post(body)).await;
    }
    let minutes = |minutes| Duration::from_mins(minutes);
    world.deployment.control.advance(minutes(6)).await;
    world.ask(post("b")).await;
    let (accepted, duplicate) = (Verdict::Accepted, Verdict::Duplicate);
    let expected = [accepted, duplicate, accepted];
    assert_eq!(world.verdicts(&source_id).await, expected);

    // A restart forgets no window.
    world.deployment.control.kill();
    world.deployment.control.restart().await;
    world.deployment.admin = world
        .deployment
        .control
        .admin()
        .await
        .for_tenant(&world.deployment.tenant_id);
    let node = world.deployment.admin.with_key(&world.deployment.node_key);
    world.edge = HandEdge::open(&node).await;
    world.ask(post("a")).await;
    let expected = [accepted, duplicate, accepted, duplicate];
    assert_eq!(world.verdicts(&source_id).await, expected);

    // The window of the first is over, that of the third is not.
    world.deployment.control.advance(minutes(5)).await;
    for body in ["a", "a", "b"] {
        world.ask(post(body)).await;
    }
    let expected = [
        accepted, duplicate, accepted, duplicate, accepted, duplicate, duplicate,
    ];
    assert_eq!(world.verdicts(&source_id).await, expected);
    let last = world.list(&source_id).await;
    assert_eq!(last[5].original_id, last[4].inbound_request_id);
}

async fn other_bytes_under_one_id_are_an_event_each_where_a_source_says_so(store: StoreKind) {
    let mut world = World::start(store).await;
    let settings = SourceSettings {
        on_conflict: OnConflict::Emit.into(),
        ..of(STANDARD_WEBHOOKS)
    };
    let secret = "whsec_AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
    let created = world
        .deployment
        .admin
        .create_source_with(settings, &[secret])
        .await;
    let provider = provider_of(&created, secret);
    for body in ["{}", "[]", "{}", "[]", "7"] {
        let answer = world.edge.post(&provider, "msg_1", body).await;
        assert!((200..300).contains(&answer.status), "{answer:?}");
    }
    let source_id = created.source.expect("the answer holds it").source_id;
    let (accepted, duplicate) = (Verdict::Accepted, Verdict::Duplicate);
    let expected = [accepted, accepted, duplicate, duplicate, accepted];
    assert_eq!(world.verdicts(&source_id).await, expected);
    // All are found by the provider's id.
    let request = ListInboundRequestsRequest {
        tenant_id: world.deployment.tenant_id.clone(),
        source_id,
        provider_event_id: "msg_1".to_owned(),
        ..ListInboundRequestsRequest::default()
    };
    let mut inbound = world.deployment.admin.inbound();
    let found = inbound.list_inbound_requests(request).await;
    assert_eq!(
        found.expect("they are listed").into_inner().requests.len(),
        5
    );
}
