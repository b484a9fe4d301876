//! Providers as they really send: long bodies, forms, queries, old signatures.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use posthorn::node::v1::ForwardedRequest;
use posthorn::v1::{
    GetInboundRequestRequest, GetSourceRequest, InboundRequest, ListInboundRequestsRequest,
    SourceSettings, Verdict,
};
use posthorn_harness::{Deployment, Provider, STANDARD_WEBHOOKS, StoreKind, eventually};
use ring::hmac;

use super::taking::World;
use crate::support::{
    DEADLINE,
    hand_edge::{HandEdge, forwarded, posted},
    hex,
};

on_both! {
    case_6_a_body_as_long_as_its_provider_sends_is_taken,
    case_8_a_secret_of_polar_is_read_in_both_ways,
    case_9_routes_of_mailgun_are_taken_as_a_form_and_as_multipart,
    case_17_twilio_may_call_by_get_and_slack_checks_its_certificate,
    p5_what_is_genuine_and_stale_is_quarantined_and_can_be_taken_by_rule,
    s12_headers_that_hold_credentials_are_not_kept,
    p9_every_answer_names_its_request_and_the_record_has_the_same_name,
}

/// A source of a provider, and an edge that the test moves.
struct Source {
    deployment: Deployment,
    edge: HandEdge,
    id: String,
}

impl Source {
    async fn start(store: StoreKind, provider: &str, secret: &str) -> Self {
        let deployment = Deployment::start(store).await;
        let settings = SourceSettings {
            provider: provider.to_owned(),
            ..SourceSettings::default()
        };
        let id = source(&deployment, settings, secret).await;
        let node = deployment.admin.with_key(&deployment.node_key);
        let edge = HandEdge::open(&node).await;
        Self {
            deployment,
            edge,
            id,
        }
    }

    async fn ask(&mut self, headers: &[(&str, &str)], body: &str) -> u32 {
        let body = Bytes::copy_from_slice(body.as_bytes());
        let request = posted(&self.id, headers, body);
        self.edge.ask(request).await.status
    }

    async fn requests(&self) -> Vec<InboundRequest> {
        requests(&self.deployment).await
    }
}

async fn source(deployment: &Deployment, settings: SourceSettings, secret: &str) -> String {
    let admin = &deployment.admin;
    let created = admin.create_source_with(settings, &[secret]).await;
    created.source.expect("the answer holds it").source_id
}

async fn requests(deployment: &Deployment) -> Vec<InboundRequest> {
    let request = ListInboundRequestsRequest {
        tenant_id: deployment.tenant_id.clone(),
        ..ListInboundRequestsRequest::default()
    };
    let mut inbound = deployment.admin.inbound();
    let listed = inbound.list_inbound_requests(request).await;
    listed.expect("they are listed").into_inner().requests
}

async fn await_requests(deployment: &Deployment, count: usize) -> Vec<InboundRequest> {
    eventually("they are kept", DEADLINE, async || {
        requests(deployment).await.len() == count
    })
    .await;
    requests(deployment).await
}

fn mac(algorithm: hmac::Algorithm, key: &[u8], text: &str) -> Vec<u8> {
    let key = hmac::Key::new(algorithm, key);
    hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
}

#[expect(
    clippy::disallowed_methods,
    reason = "a provider has a clock of its own"
)]
fn now_s() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("it is after 1970").as_secs()
}

async fn case_6_a_body_as_long_as_its_provider_sends_is_taken(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let settings = SourceSettings {
        provider: "github".to_owned(),
        ..SourceSettings::default()
    };
    let id = source(&deployment, settings, "gh-secret").await;
    let body = format!(r#"{{"commits":"{}"}}"#, "x".repeat(1_500_000));
    let signature = hex(&mac(hmac::HMAC_SHA256, b"gh-secret", &body));
    let edge = Provider::new(deployment.node.edge, &id, "");
    let request = || {
        Request::post(format!("/in/{id}"))
            .header("host", "localhost")
            .header("content-type", "application/json")
            .header("x-github-event", "push")
            .header("x-github-delivery", "1")
            .header("x-hub-signature-256", format!("sha256={signature}"))
            .body(Full::new(Bytes::from(body.clone())))
            .expect("the request is well formed")
    };
    // The edge learns of the source a moment after it was made.
    loop {
        let mut connection = edge.connect().await.expect("the edge listens");
        let answer = connection.send(request()).await;
        match answer.expect("an answer").status {
            StatusCode::OK => break,
            status => assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE),
        }
    }
    assert_eq!(requests(&deployment).await[0].event_type, "github.push");
}

async fn case_8_a_secret_of_polar_is_read_in_both_ways(store: StoreKind) {
    let text = BASE64_STANDARD.encode([7; 32]);
    let secret = format!("whsec_{text}");
    let mut source = Source::start(store, "polar", &secret).await;
    let time = now_s().to_string();
    for (id, key) in [("msg_1", &[7; 32][..]), ("msg_2", secret.as_bytes())] {
        let body = r#"{"type":"order.paid"}"#;
        let signed = mac(hmac::HMAC_SHA256, key, &format!("{id}.{time}.{body}"));
        let signature = format!("v1,{}", BASE64_STANDARD.encode(signed));
        let headers = [
            ("content-type", "application/json"),
            ("webhook-id", id),
            ("webhook-timestamp", &time),
            ("webhook-signature", &signature),
        ];
        assert_eq!(source.ask(&headers, body).await, 200, "{id}");
    }
}

async fn case_9_routes_of_mailgun_are_taken_as_a_form_and_as_multipart(store: StoreKind) {
    let mut source = Source::start(store, "mailgun", "mg-key").await;
    let url = source.deployment.receiver.url("/");
    let admin = &source.deployment.admin;
    admin.create_endpoint(&url, &["mailgun.route"]).await;
    let time = now_s().to_string();
    let signature = |token: &str| {
        hex(&mac(
            hmac::HMAC_SHA256,
            b"mg-key",
            &format!("{time}{token}"),
        ))
    };
    let form = format!("timestamp={time}&token=one&signature={}", signature("one"));
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    assert_eq!(source.ask(&headers, &form).await, 200);

    let signed = signature("two");
    let fields = [
        ("timestamp", &*time),
        ("token", "two"),
        ("signature", &*signed),
    ];
    let fields = fields.map(|(name, value)| {
        format!("--x\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    });
    let file = "--x\r\ncontent-disposition: form-data; name=\"a\"; filename=\"a\"\r\n\r\n\0\r\n";
    let multipart = format!("{}{file}--x--\r\n", fields.concat());
    let headers = [("content-type", "multipart/form-data; boundary=x")];
    assert_eq!(source.ask(&headers, &multipart).await, 200);
    assert_eq!(
        source.ask(&headers, &multipart.replace("two", "six")).await,
        401
    );
    // What was signed in a form says nothing of JSON around it.
    let inside = format!(
        r#"{{"signature":{{"timestamp":"{time}","token":"x","signature":"00"}},"a":"&{form}&b="}}"#
    );
    let headers = [("content-type", "application/json")];
    assert_eq!(source.ask(&headers, &inside).await, 401);

    let received = source.deployment.receiver.received("/");
    let mut bodies = received.await_count(2, DEADLINE).await;
    bodies.sort_by_key(|request| request.body.len());
    assert_eq!(bodies[0].body, form.as_bytes());
    assert_eq!(bodies[1].body, multipart.as_bytes());
    assert_eq!(
        bodies[1].header("content-type"),
        "multipart/form-data; boundary=x"
    );
}

async fn case_17_twilio_may_call_by_get_and_slack_checks_its_certificate(store: StoreKind) {
    let mut source = Source::start(store, "twilio", "auth-token").await;
    let url = source.deployment.receiver.url("/");
    let admin = source.deployment.admin.clone();
    admin.create_endpoint(&url, &["twilio.call.*"]).await;
    let query = "CallSid=CA1&CallStatus=ringing";
    let request = GetSourceRequest {
        tenant_id: source.deployment.tenant_id.clone(),
        source_id: source.id.clone(),
    };
    let found = admin.sources().get_source(request).await;
    let found = found.expect("it is there").into_inner().source;
    let registered = found.expect("the answer holds it").url;
    let text = format!("{registered}?{query}");
    let signed = mac(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, b"auth-token", &text);
    let signature = BASE64_STANDARD.encode(signed);
    for (query, status) in [(query, 200), ("CallSid=CA1&CallStatus=completed", 401)] {
        let headers = [("x-twilio-signature", signature.as_str())];
        let request = ForwardedRequest {
            method: "GET".to_owned(),
            path_query: format!("/in/{}?{query}", source.id),
            ..posted(&source.id, &headers, Bytes::new())
        };
        assert_eq!(source.edge.ask(request).await.status, status, "{query}");
    }
    let received = source.deployment.receiver.received("/");
    let received = received.await_count(1, DEADLINE).await;
    assert_eq!(received[0].body, query.as_bytes());
    let form = "application/x-www-form-urlencoded";
    assert_eq!(received[0].header("content-type"), form);
    let accepted = source.requests().await;
    let accepted = accepted
        .iter()
        .find(|one| one.verdict() == Verdict::Accepted);
    let accepted = accepted.expect("it is kept");
    assert_eq!(accepted.event_type, "twilio.call.ringing");

    let settings = SourceSettings {
        provider: "slack".to_owned(),
        ..SourceSettings::default()
    };
    let slack = self::source(&source.deployment, settings, "slack-secret").await;
    let kept = source.requests().await.len();
    let (time, body) = (now_s().to_string(), "ssl_check=1&token=x");
    let text = format!("v0:{time}:{body}");
    let signature = format!(
        "v0={}",
        hex(&mac(hmac::HMAC_SHA256, b"slack-secret", &text))
    );
    for signature in [signature.as_str(), "v0=00"] {
        let headers = [
            ("content-type", "application/x-www-form-urlencoded"),
            ("x-slack-request-timestamp", time.as_str()),
            ("x-slack-signature", signature),
        ];
        let request = posted(&slack, &headers, Bytes::from(body));
        assert_eq!(source.edge.ask(request).await.status, 200);
    }
    assert_eq!(source.requests().await.len(), kept);
}

async fn p5_what_is_genuine_and_stale_is_quarantined_and_can_be_taken_by_rule(store: StoreKind) {
    let mut world = World::start(store, SourceSettings::default()).await;
    let hour_ago = now_s() - 3_600;
    let body = r#"{"type":"order.paid"}"#;
    let stale =
        async |provider: &Provider| forwarded(provider.request_at("msg_1", body, hour_ago)).await;
    let request = stale(&world.provider).await;
    assert_eq!(world.edge.ask(request).await.status, 401);
    let kept = await_requests(&world.deployment, 1).await;
    assert_eq!(kept[0].verdict(), Verdict::Quarantined);
    assert_eq!(kept[0].reason, "stale");
    let wrong = Provider::new(
        world.deployment.node.edge,
        &world.source_id,
        "whsec_AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=",
    );
    let request = stale(&wrong).await;
    assert_eq!(world.edge.ask(request).await.status, 401);
    let kept = await_requests(&world.deployment, 2).await;
    assert!(kept.iter().any(|one| one.verdict() == Verdict::Rejected));

    let secret = "whsec_AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
    for (hours, statuses, verdicts) in [
        (2, [200, 200], [Verdict::Accepted, Verdict::Duplicate]),
        (0, [401, 401], [Verdict::Quarantined, Verdict::Quarantined]),
    ] {
        let accept_stale_for = (hours > 0).then_some(prost_types::Duration {
            seconds: hours * 3_600,
            nanos: 0,
        });
        let settings = SourceSettings {
            provider: STANDARD_WEBHOOKS.to_owned(),
            accept_stale_for,
            ..SourceSettings::default()
        };
        let id = source(&world.deployment, settings, secret).await;
        let provider = Provider::new(world.deployment.node.edge, &id, secret);
        for status in statuses {
            let request = stale(&provider).await;
            assert_eq!(world.edge.ask(request).await.status, status);
        }
        eventually("both are kept", DEADLINE, async || {
            let kept = requests(&world.deployment).await;
            let of_this = kept.iter().filter(|one| one.source_id == id);
            let mut found = of_this.map(InboundRequest::verdict).collect::<Vec<_>>();
            found.sort_unstable();
            found == verdicts
        })
        .await;
    }
}

async fn s12_headers_that_hold_credentials_are_not_kept(store: StoreKind) {
    let mut world = World::start(store, SourceSettings::default()).await;
    let mut request = forwarded(world.provider.request("msg_1", "{}")).await;
    let credentials = [
        "x-access-token",
        "private-token",
        "cf-access-jwt-assertion",
        "x-anything",
    ];
    for name in credentials.into_iter().chain(["x-request-id"]) {
        request.headers.push(posthorn::node::v1::Header {
            name: name.to_owned(),
            value: Bytes::from_static(b"a-secret"),
        });
    }
    assert_eq!(world.edge.ask(request).await.status, 200);
    let kept = requests(&world.deployment).await;
    let request = GetInboundRequestRequest {
        tenant_id: world.deployment.tenant_id.clone(),
        inbound_request_id: kept[0].inbound_request_id.clone(),
    };
    let mut inbound = world.deployment.admin.inbound();
    let found = inbound.get_inbound_request(request).await;
    let found = found.expect("it is there").into_inner().request;
    let headers = found.expect("the answer holds it").headers;
    let names = headers.iter().map(|header| header.name.as_str());
    let names = names.collect::<Vec<_>>();
    for name in credentials {
        assert!(!names.contains(&name), "{name}: {names:?}");
    }
    for name in [
        "x-request-id",
        "webhook-id",
        "webhook-signature",
        "content-type",
    ] {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
}

async fn p9_every_answer_names_its_request_and_the_record_has_the_same_name(store: StoreKind) {
    let world = World::start(store, SourceSettings::default()).await;
    let edge = world.provider.at(world.deployment.node.edge);
    let named = async |request: Request<Full<Bytes>>| {
        let mut connection = edge.connect().await.expect("the edge listens");
        let answer = connection.send(request).await.expect("an answer");
        let name = answer.headers.get("posthorn-request-id");
        let name = name.expect("it is named").to_str().expect("it is text");
        (answer.status, name.to_owned())
    };
    let (status, accepted) = named(edge.request("msg_1", r#"{"type":"a.b"}"#)).await;
    assert_eq!(status, StatusCode::OK);
    let mut forged = edge.request("msg_2", "{}");
    let signature = "v1,AAAA".parse().expect("it is a value");
    forged.headers_mut().insert("webhook-signature", signature);
    let (status, rejected) = named(forged).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let kept = await_requests(&world.deployment, 2).await;
    let mut ids = kept.iter().map(|one| one.inbound_request_id.clone());
    assert!(ids.any(|id| id == accepted), "{accepted}: {kept:?}");
    let mut ids = kept.iter().map(|one| one.inbound_request_id.clone());
    assert!(ids.any(|id| id == rejected), "{rejected}: {kept:?}");

    let path = |path: &str| {
        let request = Request::post(path).header("host", "localhost");
        let request = request.body(Full::new(Bytes::new()));
        request.expect("the request is well formed")
    };
    let (status, stranger) = named(path("/in/src_01h455vb4pex5vsknk084sn02q")).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert_eq!(stranger.len(), rejected.len());
    let (status, elsewhere) = named(path("/elsewhere")).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(elsewhere.starts_with("edge_"), "{elsewhere}");
}
