//! What becomes of a request between the edge and its answer. An edge moved by hand forwards them.

use std::collections::BTreeMap;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use posthorn::node::v1::{ForwardRequest, ForwardedAnswer, ForwardedRequest};
use posthorn::v1::{
    CreateSourceResponse, InboundRequest, ListInboundRequestsRequest, SetSourceStateRequest,
    SourceSettings, SourceState, Verdict,
};
use posthorn_harness::{Client, Deployment, Provider, STANDARD_WEBHOOKS, StoreKind};
use sha2::Sha256;

use crate::support::{
    DEADLINE,
    hand_edge::{HandEdge, NOWHERE, forwarded, posted, provider_of},
    hex,
};

on_both! {
    an_accepted_request_is_delivered_and_its_repeats_have_no_effect,
    repeats_that_arrive_together_make_one_event,
    a_body_in_parts_is_put_together,
    no_source_and_a_wrong_signature_hear_the_same,
    what_a_source_says_of_itself_decides_after_the_signature,
    what_is_not_accepted_is_kept_up_to_a_bound,
    an_edge_is_told_what_differs_as_soon_as_it_does,
    what_was_answered_survives_the_end_of_the_process,
    a_secret_that_is_handed_over_is_taken_once,
}

const SECRET: &str = "whsec_AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

pub(super) struct World {
    pub(super) deployment: Deployment,
    pub(super) node: Client,
    pub(super) edge: HandEdge,
    pub(super) provider: Provider,
    pub(super) source_id: String,
}

fn source_of(created: &CreateSourceResponse) -> String {
    let source = created.source.as_ref().expect("the answer holds it");
    source.source_id.clone()
}

impl World {
    pub(super) async fn start(store: StoreKind, settings: SourceSettings) -> Self {
        let deployment = Deployment::start(store).await;
        let settings = SourceSettings {
            provider: STANDARD_WEBHOOKS.to_owned(),
            ..settings
        };
        let created = deployment
            .admin
            .create_source_with(settings, &[SECRET])
            .await;
        let node = deployment.admin.with_key(&deployment.node_key);
        Self {
            edge: HandEdge::open(&node).await,
            provider: provider_of(&created, SECRET),
            source_id: source_of(&created),
            node,
            deployment,
        }
    }

    /// The records with a verdict, newest first.
    async fn list(&self, verdict: Verdict) -> Vec<InboundRequest> {
        list(&self.deployment.admin, &self.deployment.tenant_id, verdict).await
    }

    async fn set_state(&self, state: SourceState) {
        let request = SetSourceStateRequest {
            tenant_id: self.deployment.tenant_id.clone(),
            source_id: self.source_id.clone(),
            state: state.into(),
            ..SetSourceStateRequest::default()
        };
        let answer = self
            .deployment
            .admin
            .sources()
            .set_source_state(request)
            .await;
        answer.expect("it is set");
    }
}

async fn list(admin: &Client, tenant_id: &str, verdict: Verdict) -> Vec<InboundRequest> {
    let request = ListInboundRequestsRequest {
        tenant_id: tenant_id.to_owned(),
        verdict: verdict.into(),
        page_size: 500,
        ..ListInboundRequestsRequest::default()
    };
    let answer = admin.inbound().list_inbound_requests(request).await;
    answer.expect("requests are listed").into_inner().requests
}

async fn an_accepted_request_is_delivered_and_its_repeats_have_no_effect(store: StoreKind) {
    let mut world = World::start(store, SourceSettings::default()).await;
    let url = world.deployment.receiver.url("/");
    world.deployment.admin.create_endpoint(&url, &["*"]).await;
    let body = "{ \"type\": \"order.paid\", \"n\": 1e400 }";
    let first = world.edge.post(&world.provider, "msg_1", body).await;
    assert_eq!(first.status, 200, "{first:?}");
    let repeat = world.edge.post(&world.provider, "msg_1", body).await;
    let conflict = world.edge.post(&world.provider, "msg_1", "{}").await;
    assert_eq!((repeat.status, &repeat.body), (first.status, &first.body));
    assert_eq!(
        (conflict.status, &conflict.body),
        (first.status, &first.body)
    );

    let accepted = world.list(Verdict::Accepted).await;
    let [accepted] = &accepted[..] else {
        panic!("{accepted:?}");
    };
    assert_eq!(accepted.event_type, "standard_webhooks.order.paid");
    assert_eq!(accepted.provider_event_id, "msg_1");
    for verdict in [Verdict::Duplicate, Verdict::Conflict] {
        let found = world.list(verdict).await;
        let originals = found.iter().map(|request| &request.original_id);
        assert!(originals.eq([&accepted.inbound_request_id]), "{found:?}");
    }
    let received = world.deployment.receiver.received("/");
    let received = received.await_count(1, DEADLINE).await;
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].body, body.as_bytes());
}

async fn repeats_that_arrive_together_make_one_event(store: StoreKind) {
    let mut world = World::start(store, SourceSettings::default()).await;
    let mut requests = Vec::new();
    for number in 1..=30 {
        // Every third has another body.
        let body = if number % 3 == 0 { "{}" } else { "[]" };
        let request = forwarded(world.provider.request("msg_1", body)).await;
        requests.push(ForwardedRequest { number, ..request });
    }
    world
        .edge
        .send(ForwardRequest {
            requests,
            ..ForwardRequest::default()
        })
        .await;
    for number in 1..=30 {
        assert_eq!(world.edge.answer(number).await.status, 200);
    }
    let (duplicates, conflicts) = (
        world.list(Verdict::Duplicate).await.len(),
        world.list(Verdict::Conflict).await.len(),
    );
    assert_eq!(world.list(Verdict::Accepted).await.len(), 1);
    assert!(
        (duplicates, conflicts) == (19, 10) || (duplicates, conflicts) == (9, 20),
        "{duplicates} duplicates, {conflicts} conflicts"
    );
}

async fn a_body_in_parts_is_put_together(store: StoreKind) {
    let settings = SourceSettings {
        body_bytes_max: 2 * 1_024 * 1_024,
        ..SourceSettings::default()
    };
    let mut world = World::start(store, settings).await;
    let body = Bytes::from(format!("\"{}\"", "x".repeat(1_500_000)));
    let request = forwarded(world.provider.request("msg_1", body.clone())).await;
    let first = ForwardedRequest {
        body: body.slice(..200_000),
        more: true,
        ..request.clone()
    };
    let abandoned = world.edge.forward(first.clone()).await;
    let number = world.edge.forward(first).await;
    world.edge.abandon(abandoned).await;
    let mut at = 200_000;
    while at < body.len() {
        let end = body.len().min(at + 250_000);
        let part = body.slice(at..end);
        // Parts of what was abandoned are dropped.
        world.edge.part(abandoned, part.clone(), true).await;
        world.edge.part(number, part, end < body.len()).await;
        at = end;
    }
    assert_eq!(world.edge.answer(number).await.status, 200);
    let accepted = world.list(Verdict::Accepted).await;
    assert_eq!(accepted.len(), 1);
    assert_eq!(accepted[0].body_bytes, body.len() as u64);
}

async fn no_source_and_a_wrong_signature_hear_the_same(store: StoreKind) {
    let mut world = World::start(store, SourceSettings::default()).await;
    let headers = [
        ("webhook-id", "msg_1"),
        ("webhook-timestamp", "1"),
        ("webhook-signature", "v1,AAAA"),
    ];
    let wrong = posted(&world.source_id, &headers, "{}");
    let unknown = posted("src_01h455vb4pex5vsknk084sn02q", &headers, "{}");
    let wrong = world.edge.ask(wrong).await;
    let unknown = world.edge.ask(unknown).await;
    assert_eq!(wrong.status, 401);
    // Each has a name of its own, of the same form.
    let heard = |mut answer: ForwardedAnswer| {
        for field in &mut answer.headers {
            if field.name == "posthorn-request-id" {
                field.value = Bytes::from(field.value.len().to_string());
            }
        }
        (answer.status, answer.headers, answer.body)
    };
    assert_eq!(heard(wrong), heard(unknown));
}

async fn what_a_source_says_of_itself_decides_after_the_signature(store: StoreKind) {
    let settings = SourceSettings {
        rate_per_second: 1,
        ..SourceSettings::default()
    };
    let mut world = World::start(store, settings).await;
    let mut statuses = BTreeMap::new();
    for number in 0..20 {
        let id = format!("msg_{number}");
        let answer = world.edge.post(&world.provider, &id, "{}").await;
        *statuses.entry(answer.status).or_insert(0) += 1;
    }
    assert!(statuses[&200] >= 1 && statuses[&429] >= 1, "{statuses:?}");
    for (state, status) in [(SourceState::Paused, 503), (SourceState::Disabled, 410)] {
        world.set_state(state).await;
        let answer = world.edge.post(&world.provider, "msg_x", "{}").await;
        assert_eq!(answer.status, status);
        let stranger = Provider::new(NOWHERE, &world.source_id, &BASE64_STANDARD.encode([2; 32]));
        assert_eq!(world.edge.post(&stranger, "msg_x", "{}").await.status, 401);
    }
}

async fn what_is_not_accepted_is_kept_up_to_a_bound(store: StoreKind) {
    let mut world = World::start(store, SourceSettings::default()).await;
    let mut numbers = Vec::new();
    for _ in 0..1_200 {
        let headers = [("webhook-id", "msg_1"), ("webhook-timestamp", "1")];
        let request = posted(&world.source_id, &headers, "{}");
        numbers.push(world.edge.forward(request).await);
    }
    for number in numbers {
        assert_eq!(world.edge.answer(number).await.status, 401);
    }
    let kept = world.list(Verdict::Rejected).await;
    assert!(!kept.is_empty());
    assert!(
        kept.iter()
            .all(|request| request.reason == "missing_signature")
    );
    assert!(
        world
            .deployment
            .control
            .logged("did not verify within a minute")
            .await
    );
}

async fn an_edge_is_told_what_differs_as_soon_as_it_does(store: StoreKind) {
    let mut world = World::start(store, SourceSettings::default()).await;
    assert!(world.edge.settings().sources.is_empty());
    let settings = SourceSettings {
        provider: STANDARD_WEBHOOKS.to_owned(),
        body_bytes_max: 5_000,
        ..SourceSettings::default()
    };
    let created = world
        .deployment
        .admin
        .create_source_with(settings, &[SECRET]);
    let source_id = source_of(&created.await);
    world
        .edge
        .await_settings(|settings| {
            let mut sources = settings.sources.iter();
            sources.any(|source| source.source_id == source_id && source.body_bytes_max == 5_000)
        })
        .await;
}

async fn what_was_answered_survives_the_end_of_the_process(store: StoreKind) {
    let mut world = World::start(store, SourceSettings::default()).await;
    let mut requests = Vec::new();
    for number in 1..=400 {
        let id = format!("msg_{number}");
        let request = forwarded(world.provider.request(&id, "{}")).await;
        requests.push(ForwardedRequest { number, ..request });
    }
    for requests in requests.chunks(40) {
        world
            .edge
            .send(ForwardRequest {
                requests: requests.to_vec(),
                ..ForwardRequest::default()
            })
            .await;
    }
    let answered = 100;
    for number in 1..=answered {
        assert_eq!(world.edge.answer(number).await.status, 200);
    }
    world.deployment.control.kill();
    world.deployment.control.restart().await;
    let admin = world.deployment.control.admin().await;
    let accepted = list(&admin, &world.deployment.tenant_id, Verdict::Accepted).await;
    let ids = accepted.iter().map(|request| &request.provider_event_id);
    let ids = ids.collect::<std::collections::BTreeSet<_>>();
    assert_eq!(ids.len(), accepted.len(), "each claim is accepted once");
    for number in 1..=answered {
        assert!(ids.contains(&format!("msg_{number}")), "{number}");
    }
    let node = admin.with_key(&world.deployment.node_key);
    let mut edge = HandEdge::open(&node).await;
    for number in 1..=400 {
        let id = format!("msg_{number}");
        assert_eq!(edge.post(&world.provider, &id, "{}").await.status, 200);
    }
    let accepted = list(&admin, &world.deployment.tenant_id, Verdict::Accepted).await;
    assert_eq!(accepted.len(), 400);
}

async fn a_secret_that_is_handed_over_is_taken_once(store: StoreKind) {
    let mut world = World::start(store, SourceSettings::default()).await;
    let settings = SourceSettings {
        provider: "asana".to_owned(),
        ..SourceSettings::default()
    };
    let created = world.deployment.admin.create_source_with(settings, &[]);
    let source_id = source_of(&created.await);
    let hand_over = |secret: &str| posted(&source_id, &[("x-hook-secret", secret)], "");
    let signed = |secret: &str| {
        let body = r#"{"events":[]}"#;
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length");
        mac.update(body.as_bytes());
        let signature = hex(&mac.finalize().into_bytes());
        let headers = [
            ("content-type", "application/json"),
            ("x-hook-signature", &signature),
        ];
        posted(&source_id, &headers, body)
    };
    let early = world.edge.ask(signed("first")).await;
    assert_eq!(early.status, 503, "it has no secret yet");
    for (secret, status) in [("first", 200), ("first", 200), ("second", 403)] {
        let answer = world.edge.ask(hand_over(secret)).await;
        assert_eq!(answer.status, status, "{secret}");
        let mut headers = answer.headers.iter();
        let echoed = headers.any(|field| field.name == "x-hook-secret");
        assert_eq!(echoed, status == 200, "{secret}");
    }
    assert_eq!(world.edge.ask(signed("first")).await.status, 200);
    assert_eq!(world.edge.ask(signed("second")).await.status, 401);
    assert_eq!(world.list(Verdict::Accepted).await.len(), 1);
}
