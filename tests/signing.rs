//! Signatures, checked by other people's code: the crate `standardwebhooks` and the reference library in Python.

mod headers;
mod rotation;
mod secrets;

use std::{collections::BTreeSet, process::Stdio};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use posthorn::v1::{
    DeliveryState, EndpointSettings, ExplicitRetry, RetryPolicy, retry_policy::Schedule,
};
use posthorn_harness::{Answer, Deployment, Request, StoreKind};
use serde_json::json;
use standardwebhooks::Webhook;
use tokio::{io::AsyncWriteExt as _, process::Command};

use crate::support::{DEADLINE, follow::await_state, source, time::millis, tool};

on_both! {
    every_attempt_is_signed_as_other_libraries_expect,
    each_attempt_of_a_delivery_is_signed_anew_under_one_id,
}

/// Whether a library of other people accepts the request.
fn is_signed(request: &Request, secret: &str) -> bool {
    let webhook = Webhook::new(secret).expect("the secret has the standard's form");
    webhook.verify(&request.body, &request.headers).is_ok()
}

fn signatures(request: &Request) -> usize {
    request.header("webhook-signature").split(' ').count()
}

/// Has Python's reference library verify these requests. Panics when it refuses one.
async fn verify_in_python(requests: &[Request], secret: &str) {
    let mut lines = String::new();
    for request in requests {
        let headers = ["webhook-id", "webhook-timestamp", "webhook-signature"];
        let headers = headers.map(|name| (name.to_owned(), json!(request.header(name))));
        let case = json!({
            "secret": secret,
            "body": BASE64.encode(&request.body),
            "headers": serde_json::Map::from_iter(headers),
        });
        lines.extend([case.to_string().as_str(), "\n"]);
    }
    let mut python = Command::new(tool("python"))
        .arg(source().join("tests/support/verify.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("python can be run");
    let mut stdin = python.stdin.take().expect("stdin is piped");
    let writing = tokio::spawn(async move { stdin.write_all(lines.as_bytes()).await });
    let output = python.wait_with_output().await.expect("python ends");
    writing
        .await
        .expect("writing does not panic")
        .expect("python reads it all");
    let verdicts = String::from_utf8(output.stdout).expect("python prints UTF-8");
    let good = verdicts
        .lines()
        .filter(|verdict| *verdict == "good")
        .count();
    assert_eq!(good, requests.len(), "{verdicts}");
}

async fn every_attempt_is_signed_as_other_libraries_expect(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let url = deployment.receiver.url("/");
    let created = deployment.admin.create_endpoint(&url, &["*"]).await;
    assert!(created.secret.starts_with("whsec_"));
    let long = format!("{{\"long\":\"{}\"}}", "é".repeat(60_000));
    let payloads = ["{}", " [1,\t2] \n", r#"{"text":"\u00e9 é 😀"}"#, &long];
    for payload in payloads.into_iter().cycle().take(200) {
        deployment.admin.emit("a.b", payload.to_owned()).await;
    }
    let received = deployment.receiver.received("/");
    let requests = received.await_distinct(200, DEADLINE).await;
    for request in &requests {
        assert!(is_signed(request, &created.secret), "{request:?}");
        assert_eq!(signatures(request), 1);
        let mut altered = request.clone();
        altered.body = [&request.body[..], b" "].concat().into();
        assert!(!is_signed(&altered, &created.secret));
    }
    verify_in_python(&requests, &created.secret).await;
}

async fn each_attempt_of_a_delivery_is_signed_anew_under_one_id(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let path = "/flaky";
    deployment
        .receiver
        .answer(path, Answer::Sequence(vec![500, 500, 200]));
    let settings = EndpointSettings {
        url: deployment.receiver.url(path),
        subscriptions: vec!["*".to_owned()],
        retry_policy: Some(RetryPolicy {
            schedule: Some(Schedule::Explicit(ExplicitRetry {
                delays: vec![millis(1_500), millis(0)],
            })),
        }),
        ..EndpointSettings::default()
    };
    let created = deployment.admin.create_endpoint_with(settings).await;
    let event = deployment.admin.emit("a.b", "{}").await.event_id;
    await_state(&deployment.admin, &event, DeliveryState::Delivered).await;
    let requests = deployment.receiver.received(path).requests();
    let ids: BTreeSet<&str> = requests.iter().map(Request::webhook_id).collect();
    assert_eq!(ids, [event.as_str()].into());
    let times = requests.iter().map(|one| one.header("webhook-timestamp"));
    let times: BTreeSet<&str> = times.collect();
    assert!(times.len() > 1, "{times:?}");
    assert!(requests.iter().all(|one| is_signed(one, &created.secret)));
}
