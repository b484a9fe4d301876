//! Messages: paid for before they are kept, in time, and of few enough items.

use bytes::Bytes;
use posthorn::v1::{EmitEventRequest, Role};
use posthorn_harness::{
    ControlPlane, Deployment, StoreKind, eventually, peak_rss_bytes, rss_bytes,
};
use tonic::Code;

use super::{metric, options, until_refused};
use crate::support::{
    DEADLINE,
    descriptor::rpcs,
    raw::{call, field, frame, open, send, send_body},
};

const WATCH: &str = "/grpc.health.v1.Health/Watch";
const EMIT: &str = "/posthorn.v1.EventService/EmitEvent";
const EMITS: &str = "/posthorn.v1.EventService/EmitEvents";
const FORWARD: &str = "/posthorn.node.v1.NodeService/Forward";
const MIB: usize = 1024 * 1024;
/// The bytes of three messages of nearly 4 MiB.
const THREE_MESSAGES: f64 = 12_582_000.0;

on_both! {
    streams_of_long_messages_are_held_to_the_budget_and_others_go_on,
    empty_elements_are_refused_with_words,
}

/// The prefix of a message of so many bytes.
fn announced(bytes: usize) -> [u8; 5] {
    let length = u32::try_from(bytes).expect("a message is shorter than 4 GiB");
    let [a, b, c, d] = length.to_be_bytes();
    [0, a, b, c, d]
}

#[tokio::test]
async fn a_stream_that_announces_a_long_message_on_health_is_refused_and_ended() {
    let control = ControlPlane::start(options(&[])).await;
    let paths = [
        (WATCH, ""),
        ("/grpc.health.v1.Health/Check", ""),
        (
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            &control.admin_key,
        ),
    ];
    for (path, key) in paths {
        let mut body = announced(4 * MIB).to_vec();
        body.extend(vec![0; 32 * 1024]);
        let (_unended, body) = open(&body);
        let answer = send_body(control.grpc, call(control.grpc, path, key), body).await;
        // Reflection ends its stream without a word.
        let ended = matches!(answer.code, Some(Code::OutOfRange | Code::Ok));
        assert!(
            ended && !(path == WATCH && answer.code == Some(Code::Ok)),
            "{path}: {answer:?}"
        );
    }
    until_refused(control.metrics, "message_bytes").await;
}

#[tokio::test]
async fn a_first_message_that_does_not_come_ends_every_call_that_owes_one() {
    let flags = [
        ("message-timeout", "1"),
        ("changes-per-key", "1000"),
        ("scans-per-key", "1000"),
    ];
    let control = ControlPlane::start(options(&flags)).await;
    let admin = control.admin().await;
    let node_key = admin.create_key(&[Role::Node]).await;
    let tenant = admin.create_tenant("test").await;
    let key = admin.for_tenant(&tenant).create_key(&[Role::Admin]).await;
    // A node has nothing to forward until a provider comes.
    let (_unended, silent) = open(&[]);
    let silent = send_body(control.grpc, call(control.grpc, FORWARD, &node_key), silent);
    let silent = tokio::spawn(silent);
    let own = rpcs().into_iter().map(|rpc| rpc.path);
    let mut calls = Vec::new();
    for path in own.chain([WATCH.to_owned()]) {
        let key = if path.contains("NodeService") {
            &node_key
        } else {
            &key
        };
        for begun in [&[][..], &announced(100)] {
            if path == FORWARD && begun.is_empty() {
                continue;
            }
            let (unended, body) = open(begun);
            let call = send_body(control.grpc, call(control.grpc, &path, key), body);
            let path = path.clone();
            calls.push(tokio::spawn(async move {
                let answer = call.await;
                drop(unended);
                (path, answer)
            }));
        }
    }
    for call in calls {
        let (path, answer) = call.await.expect("it is answered");
        let code = answer.code.expect("it was ended with a status");
        assert_eq!(code, Code::DeadlineExceeded, "{path}: {answer:?}");
    }
    until_refused(control.metrics, "message_timeout").await;
    assert!(!silent.is_finished(), "{:?}", silent.await);
}

async fn empty_elements_are_refused_with_words(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let addr = deployment.control.grpc;
    let key = deployment.admin.create_key(&[Role::Emitter]).await;
    // `events` of a batch, and the elements of a list within `data`.
    let events = [0x12, 0].repeat(2 * MIB - 8);
    let list = field(6, &[0x0a, 0].repeat(2 * MIB - 64));
    let before = rss_bytes(deployment.control.pid());
    for (path, message) in [(EMITS, events), (EMIT, field(4, &list))] {
        let answer = send(addr, call(addr, path, &key), frame(false, &message)).await;
        assert_eq!(
            answer.code,
            Some(Code::InvalidArgument),
            "{path}: {answer:?}"
        );
    }
    let answer = send(
        addr,
        call(addr, EMITS, &key),
        frame(false, &[0x12, 0].repeat(MIB)),
    )
    .await;
    assert!(answer.message.contains("elements"), "{answer:?}");
    let grown = peak_rss_bytes(deployment.control.pid()).saturating_sub(before);
    assert!(grown < 100 * MIB as u64, "{grown} bytes more");
    until_refused(deployment.control.metrics, "message_items").await;
}

async fn streams_of_long_messages_are_held_to_the_budget_and_others_go_on(store: StoreKind) {
    let limits = options(&[
        ("bytes-per-key", "16777216"),
        ("emit-streams-per-key", "48"),
        ("message-timeout", "1"),
    ]);
    let deployment = Deployment::start_with(store, limits, &[]).await;
    let (addr, metrics) = (deployment.control.grpc, deployment.control.metrics);
    let key = deployment.admin.create_key(&[Role::Emitter]).await;
    let other = deployment.admin.create_tenant("other").await;
    let other = deployment.admin.for_tenant(&other);
    let other = other.with_key(&other.create_key(&[Role::Emitter]).await);
    let before = rss_bytes(deployment.control.pid());
    let long = 4 * MIB - 64;
    let mut begun = announced(long).to_vec();
    begun.extend(vec![0x7a; long - 2]);
    let begun = Bytes::from(begun);
    let streams = (0..60).map(|_| {
        let (call, begun, (unended, body)) = (call(addr, EMITS, &key), begun.clone(), open(&[]));
        tokio::spawn(async move {
            let _always = unended.send(begun);
            let answer = send_body(addr, call, body).await;
            drop(unended);
            answer
        })
    });
    let streams = streams.collect::<Vec<_>>();
    let held = "posthorn_grpc_message_bytes{holder=\"callers\"}";
    eventually("the budget is used up", DEADLINE, async || {
        metric(metrics, held).await >= THREE_MESSAGES
    })
    .await;
    let event = EmitEventRequest {
        tenant_id: String::new(),
        ..other.event("order.paid", "{}")
    };
    let emitted = other.events().emit_event(event).await;
    emitted.expect("another key has bytes of its own");
    let mut codes = Vec::new();
    for stream in streams {
        codes.push(stream.await.expect("it was answered").code);
    }
    let refused = codes
        .iter()
        .filter(|code| **code == Some(Code::ResourceExhausted));
    assert_eq!(refused.count(), 12, "{codes:?}");
    let late = codes
        .iter()
        .filter(|code| **code == Some(Code::DeadlineExceeded));
    assert_eq!(late.count(), 48, "{codes:?}");
    let grown = peak_rss_bytes(deployment.control.pid()).saturating_sub(before);
    assert!(grown < 128 * MIB as u64, "{grown} bytes more");
    assert!(metric(metrics, held).await < 1.0);
}
