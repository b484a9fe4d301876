//! Secrets stay inside: planted ones are looked for in everything that comes out or is kept.

use std::{path::Path, process::Stdio};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use posthorn::v1::{
    CreateEndpointRequest, CreateSourceRequest, DeliveryState, EndpointHeader, EndpointSettings,
    ExplicitRetry, GetDeliveryRequest, GetEndpointRequest, GetSourceRequest, Header,
    ListApiKeysRequest, ListEndpointsRequest, ListSourcesRequest, PollSettings, RetryPolicy, Role,
    RotateEndpointSecretRequest, RotateSourceSecretRequest, SourceSettings, TestEndpointRequest,
    retry_policy::Schedule,
};
use posthorn_harness::{Answer, ControlPlaneOptions, Deployment, StoreKind, get};
use tokio::{io::AsyncWriteExt as _, process::Command};

use super::support::{
    follow::{attempts_of, await_delivery, await_state, delivery_of},
    hex,
    time::millis,
};

on_both! {
    planted_secrets_are_found_nowhere,
    a_payload_is_in_no_log,
    s11_a_viewer_sees_no_answer_and_nobody_sees_a_secret_in_one,
}

/// The bytes of the signing secrets, which nobody may ever see.
const SIGNING: [&[u8]; 2] = [
    b"canary-signing-secret-of-32-byte",
    b"canary-second-secret-of-32-bytes",
];
const HEADER: &str = "canary-secret-header-value";
/// The secrets of a source: those that requests are verified with, and the one that polling sends.
const SOURCE: [&[u8]; 2] = [
    b"canary-source-secret-of-32-bytes",
    b"canary-other-source-secret-of-32",
];
const POLL: &str = "canary-secret-that-polling-sends";
const PAYLOAD: &str = "canary-payload-of-a-person";

/// A text that must not occur, and what it is.
struct Canary {
    what: &'static str,
    text: Vec<u8>,
}

/// Everything planted, in each spelling that it could come out in.
fn canaries(deployment: &Deployment, key: &str) -> Vec<Canary> {
    let mut canaries = Vec::new();
    let mut plant = |what, secret: &[u8]| {
        let hex = hex(secret);
        for text in [
            secret.to_vec(),
            // Without what depends on the bytes before and after.
            BASE64.encode(secret).as_bytes()[..secret.len()].to_vec(),
            hex.to_uppercase().into_bytes(),
            hex.into_bytes(),
        ] {
            canaries.push(Canary { what, text });
        }
    };
    for secret in SIGNING {
        plant("a signing secret", secret);
    }
    plant("the value of a secret header", HEADER.as_bytes());
    for secret in SOURCE {
        plant("a source's secret", secret);
    }
    plant("a poll secret", POLL.as_bytes());
    // Of a key the id is no secret; what follows it is.
    for (what, key) in [
        ("an API key", key),
        ("the admin's key", &deployment.control.admin_key),
        ("the node's key", &deployment.node_key),
    ] {
        let secret = key.rsplit('_').next().expect("splitting gives one part");
        plant(what, secret.as_bytes());
    }
    canaries
}

#[track_caller]
fn assert_absent(canaries: &[Canary], place: &str, content: &[u8]) {
    for canary in canaries {
        let length = canary.text.len();
        let found = content.windows(length).any(|window| window == canary.text);
        assert!(!found, "{} is in {place}", canary.what);
    }
}

/// Which of these texts are in a file below a folder: a line with the file for each. The key of all keys, which an
/// operator keeps elsewhere, is not looked at.
async fn grep(folder: &Path, texts: &[Vec<u8>]) -> String {
    let mut grep = Command::new("grep")
        .args(["-r", "-s", "-a", "-o", "-F", "-f", "-"])
        .args(["--exclude=master.key", "--"])
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("grep can be run");
    let mut stdin = grep.stdin.take().expect("stdin is piped");
    let lines = texts.join(&b'\n');
    stdin.write_all(&lines).await.expect("grep reads it all");
    drop(stdin);
    let output = grep.wait_with_output().await.expect("grep ends");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn secret(bytes: &[u8]) -> String {
    format!("whsec_{}", BASE64.encode(bytes))
}

/// A deployment that logs as much as it can.
async fn talkative(store: StoreKind) -> Deployment {
    let filter = "debug,posthorn_control_plane=trace,posthorn_data_plane=trace";
    let options = ControlPlaneOptions {
        args: vec!["--log".to_owned(), filter.to_owned()],
        ..ControlPlaneOptions::default()
    };
    Deployment::start_with(store, options, &["--log", filter]).await
}

/// Makes an endpoint with planted secrets at the receiver's `path`, and rotates its secret to another planted one.
async fn plant(deployment: &Deployment, path: &str) -> (String, Vec<String>) {
    let mut answers = Vec::new();
    let request = CreateEndpointRequest {
        tenant_id: deployment.tenant_id.clone(),
        settings: Some(EndpointSettings {
            url: deployment.receiver.url(path),
            subscriptions: vec!["*".to_owned()],
            headers: vec![EndpointHeader {
                name: "authorization".to_owned(),
                value: HEADER.to_owned(),
                secret: true,
            }],
            retry_policy: Some(RetryPolicy {
                schedule: Some(Schedule::Explicit(ExplicitRetry {
                    delays: vec![millis(0)],
                })),
            }),
            ..EndpointSettings::default()
        }),
        secret: secret(SIGNING[0]),
        request_id: format!("plant {path}"),
    };
    let mut endpoints = deployment.admin.endpoints();
    let created = endpoints.create_endpoint(request).await;
    let created = created.expect("it is created").into_inner();
    answers.push(format!("{created:?}"));
    let endpoint_id = created.endpoint.expect("the answer holds it").endpoint_id;
    let request = RotateEndpointSecretRequest {
        tenant_id: deployment.tenant_id.clone(),
        endpoint_id: endpoint_id.clone(),
        secret: secret(SIGNING[1]),
        request_id: format!("rotate {path}"),
        ..RotateEndpointSecretRequest::default()
    };
    let rotated = endpoints.rotate_endpoint_secret(request).await;
    answers.push(format!(
        "{:?}",
        rotated.expect("it is rotated").into_inner()
    ));
    (endpoint_id, answers)
}

/// Makes a source with planted secrets, changes it and rotates its secret; returns every answer.
async fn plant_source(deployment: &Deployment) -> Vec<String> {
    let tenant_id = deployment.tenant_id.clone();
    let mut settings = SourceSettings {
        provider: "standard_webhooks".to_owned(),
        poll: Some(PollSettings {
            url: deployment.receiver.url("/list"),
            headers: vec![Header {
                name: "authorization".to_owned(),
                value: "Bearer {secret}".to_owned(),
            }],
            interval: Some(millis(86_400_000)),
            ..PollSettings::default()
        }),
        ..SourceSettings::default()
    };
    let request = CreateSourceRequest {
        tenant_id: tenant_id.clone(),
        settings: Some(settings.clone()),
        secrets: vec![secret(SOURCE[0])],
        poll_secret: POLL.to_owned(),
        request_id: "plant".to_owned(),
    };
    let mut sources = deployment.admin.sources();
    let created = sources.create_source(request).await;
    let created = created.expect("it is created").into_inner();
    let mut answers = vec![format!("{created:?}")];
    let source = created.source.expect("the answer holds it");
    // A secret that is refused is not repeated to whoever sent it.
    let bad = String::from_utf8_lossy(SOURCE[1]).into_owned();
    "refused".clone_into(&mut settings.name);
    let request = CreateSourceRequest {
        tenant_id: tenant_id.clone(),
        settings: Some(settings),
        secrets: vec![format!("whsec_{bad}!")],
        ..CreateSourceRequest::default()
    };
    let refused = sources.create_source(request).await;
    answers.push(format!("{:?}", refused.expect_err("it is no base64")));
    let request = RotateSourceSecretRequest {
        tenant_id: tenant_id.clone(),
        source_id: source.source_id.clone(),
        secret: secret(SOURCE[1]),
        request_id: "rotate".to_owned(),
        ..RotateSourceSecretRequest::default()
    };
    let rotated = sources.rotate_source_secret(request).await;
    answers.push(format!("{:?}", rotated.expect("it is rotated")));
    let source_id = source.source_id;
    let get = GetSourceRequest {
        tenant_id: tenant_id.clone(),
        source_id,
    };
    answers.push(format!("{:?}", sources.get_source(get).await));
    let list = ListSourcesRequest {
        tenant_id,
        ..ListSourcesRequest::default()
    };
    answers.push(format!("{:?}", sources.list_sources(list).await));
    answers
}

/// What the contract says about everything that was planted.
async fn ask_everything(deployment: &Deployment, endpoint_id: &str, event_id: &str) -> Vec<String> {
    let tenant_id = deployment.tenant_id.clone();
    let get_endpoint = GetEndpointRequest {
        tenant_id: tenant_id.clone(),
        endpoint_id: endpoint_id.to_owned(),
    };
    let list_endpoints = ListEndpointsRequest {
        tenant_id: tenant_id.clone(),
        ..ListEndpointsRequest::default()
    };
    let list_keys = ListApiKeysRequest::default();
    let delivery = delivery_of(&deployment.admin, event_id).await;
    let get_delivery = GetDeliveryRequest {
        tenant_id,
        delivery_id: delivery.delivery_id.clone(),
    };
    let admin = &deployment.admin;
    vec![
        format!("{:?}", admin.endpoints().get_endpoint(get_endpoint).await),
        format!(
            "{:?}",
            admin.endpoints().list_endpoints(list_endpoints).await
        ),
        format!("{:?}", admin.api_keys().list_api_keys(list_keys).await),
        format!("{:?}", admin.deliveries().get_delivery(get_delivery).await),
        format!("{:?}", attempts_of(admin, &delivery.delivery_id).await),
    ]
}

async fn planted_secrets_are_found_nowhere(store: StoreKind) {
    let mut deployment = talkative(store).await;
    let key = deployment.admin.create_key(&[Role::Operator]).await;
    let (good, mut answers) = plant(&deployment, "/good").await;
    deployment.receiver.answer("/bad", Answer::Status(500));
    let (bad, more) = plant(&deployment, "/bad").await;
    answers.extend(more);
    answers.extend(plant_source(&deployment).await);
    for endpoint in [good, bad] {
        let test = TestEndpointRequest {
            tenant_id: deployment.tenant_id.clone(),
            endpoint_id: endpoint.clone(),
            ..TestEndpointRequest::default()
        };
        let operator = deployment.admin.with_key(&key);
        let test = operator.endpoints().test_endpoint(test).await;
        let event_id = test.expect("it is accepted").into_inner().event_id;
        let delivery = delivery_of(&deployment.admin, &event_id).await;
        await_delivery(
            &deployment.admin,
            &delivery.delivery_id,
            "has ended",
            |delivery| delivery.state() != DeliveryState::Pending,
        )
        .await;
        answers.extend(ask_everything(&deployment, &endpoint, &event_id).await);
    }
    let canaries = canaries(&deployment, &key);
    for answer in &answers {
        assert_absent(&canaries, "an answer", answer.as_bytes());
    }
    for addr in [deployment.control.metrics, deployment.node.metrics] {
        let page = get(addr, "/metrics").await.expect("it answers");
        assert_absent(&canaries, "the metrics", page.body.as_bytes());
    }
    // What is still written at the end counts too.
    let status = deployment.node.terminate().await;
    assert!(status.success(), "{}", deployment.node.logs());
    let status = deployment.control.terminate().await;
    assert!(status.success(), "{}", deployment.control.logs());
    let logs = [deployment.control.logs(), deployment.node.logs()];
    assert!(
        logs.iter()
            .all(|log| log.contains("DEBUG") || log.contains("TRACE"))
    );
    for log in logs {
        assert_absent(&canaries, "a log", log.as_bytes());
    }
    let mut folders = vec![deployment.control.folder().path()];
    folders.extend(
        deployment
            .postgres
            .as_ref()
            .map(|postgres| postgres.folder()),
    );
    let texts: Vec<Vec<u8>> = canaries.into_iter().map(|canary| canary.text).collect();
    let mut known = String::new();
    for folder in folders {
        let found = grep(folder, &texts).await;
        assert!(found.is_empty(), "secrets are kept in plain:\n{found}");
        known += &grep(folder, &[b"/good".to_vec()]).await;
    }
    assert!(!known.is_empty(), "what is no secret is found like this");
}

async fn a_payload_is_in_no_log(store: StoreKind) {
    let mut deployment = talkative(store).await;
    deployment.receiver.answer(
        "/",
        Answer::Full {
            status: 400,
            headers: Vec::new(),
            body: format!("no: {PAYLOAD}").into(),
        },
    );
    let url = deployment.receiver.url("/");
    deployment.admin.create_endpoint(&url, &["*"]).await;
    let payload = format!("{{\"name\":\"{PAYLOAD}\"}}");
    let event_id = deployment.admin.emit("a.b", payload).await.event_id;
    let broken = deployment.admin.event("a.b", format!("{{\"{PAYLOAD}\""));
    let refused = deployment.admin.events().emit_event(broken).await;
    let refused = refused.expect_err("it is not JSON");
    assert!(!format!("{refused:?}").contains(PAYLOAD), "{refused:?}");
    await_state(&deployment.admin, &event_id, DeliveryState::Dead).await;
    deployment.node.terminate().await;
    deployment.control.terminate().await;
    for log in [deployment.control.logs(), deployment.node.logs()] {
        assert!(!log.contains(PAYLOAD));
    }
}

/// An endpoint that sends back what it got must not hand its secret headers, or a signature that is still good, to
/// whoever may look at attempts.
async fn s11_a_viewer_sees_no_answer_and_nobody_sees_a_secret_in_one(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let header = EndpointHeader {
        name: "Authorization".to_owned(),
        value: format!("Bearer {HEADER}"),
        secret: true,
    };
    let settings = EndpointSettings {
        url: deployment.receiver.url("/echo"),
        subscriptions: vec!["*".to_owned()],
        headers: vec![header],
        body_signature_header: "x-signature".to_owned(),
        ..EndpointSettings::default()
    };
    deployment.admin.create_endpoint_with(settings).await;
    deployment.receiver.answer("/echo", Answer::Echo);
    let event_id = deployment.admin.emit("a.b", "{\"n\": 7}").await.event_id;
    await_state(&deployment.admin, &event_id, DeliveryState::Delivered).await;
    let delivery_id = delivery_of(&deployment.admin, &event_id).await.delivery_id;
    let sent = deployment.receiver.received("/echo").requests();
    let viewer = deployment.client(&[Role::Viewer]).await;
    let seen = attempts_of(&viewer, &delivery_id).await;
    assert_eq!((seen[0].status_code, &*seen[0].response_excerpt), (200, ""));
    let operator = deployment.client(&[Role::Operator]).await;
    let shown = attempts_of(&operator, &delivery_id).await;
    let shown = &shown[0].response_excerpt;
    assert!(shown.contains("{\"n\": 7}"), "{shown}");
    for name in ["authorization", "webhook-signature", "x-signature"] {
        assert!(shown.contains(&format!("{name}: [redacted]")), "{shown}");
        assert!(!shown.contains(sent[0].header(name)), "{shown}");
    }
    assert!(!shown.contains(HEADER), "{shown}");
}
