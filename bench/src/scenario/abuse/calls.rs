//! Calls that are made to be kept in memory: messages that never end, many large ones, and small ones that are large once
//! decoded.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use posthorn::v1::{EmitEventRequest, EmitEventsRequest, Role, emit_event_request::Content};
use prost::Message as _;
use tokio::task::JoinSet;

use super::bound;
use crate::{
    report::Measure,
    settings::Settings,
    stage::Stage,
    usage::float,
    wire::{Wire, prefixed},
};

const WATCH: &str = "/grpc.health.v1.Health/Watch";
const EMIT_EVENTS: &str = "/posthorn.v1.EventService/EmitEvents";
const CREATE_ENDPOINT: &str = "/posthorn.v1.EndpointService/CreateEndpoint";
/// The longest message that a caller may send.
const MESSAGE_BYTES: usize = 4 * 1024 * 1024;
/// How many calls without a key are begun.
const UNFINISHED: usize = 300;
/// How many streams one emitter opens.
const STREAMS: usize = 60;
/// How many events make up one of their messages.
const EVENTS: usize = 16;
/// How many calls are made whose messages hold nothing but empty items.
const EMPTY: usize = 16;
/// `EmitEventsRequest.events` without content.
const EMPTY_ITEM: [u8; 2] = [0x12, 0];
/// `EndpointSettings.headers` without content.
const EMPTY_HEADER: [u8; 2] = [0x22, 0];
/// The tag of `CreateEndpointRequest.settings`.
const SETTINGS: u8 = 0x12;

/// Without a key: calls whose message lacks its last two bytes for ever, over one connection.
pub(super) async fn unfinished(settings: &Settings) -> Vec<Measure> {
    let stage = Stage::start_without_node(settings.store).await;
    let before = stage.planes_mebibytes();
    let start = prefixed(MESSAGE_BYTES, &vec![0; MESSAGE_BYTES - 2]);
    let longest = hang(&stage, WATCH, None, vec![start; UNFINISHED]).await;
    let grown = stage.planes_mebibytes_peak() - before;
    vec![
        Measure::new(
            "unfinished calls without a key",
            "",
            float(UNFINISHED as u64),
        ),
        Measure::new("the longest unfinished call", "s", longest.as_secs_f64()).at_most(10.0, 10.0),
        Measure::new("memory that unfinished calls took", "MiB", grown).at_most(20.0, 5.0),
    ]
}

/// With an emitter's key: streams of large messages of which the last is never finished.
pub(super) async fn streams(settings: &Settings) -> Vec<Measure> {
    let stage = Stage::start_without_node(settings.store).await;
    let key = stage.client.create_key(&[Role::Emitter]).await;
    let before = stage.planes_mebibytes();
    let mut start = large_message().to_vec();
    start.extend(prefixed(MESSAGE_BYTES, &vec![0; MESSAGE_BYTES - 2]));
    hang(&stage, EMIT_EVENTS, Some(key), vec![start.into(); STREAMS]).await;
    let grown = stage.planes_mebibytes_peak() - before;
    vec![
        Measure::new(
            "memory that 60 streams of 4 MiB messages took",
            "MiB",
            grown,
        )
        .at_most(bound::CALLER, 64.0),
    ]
}

/// With a key that may do everything in its tenant: messages of 4 MiB that hold as many empty items as fit.
pub(super) async fn empty_items(settings: &Settings) -> Vec<Measure> {
    let stage = Stage::start_without_node(settings.store).await;
    let key = stage.client.create_key(&[Role::Admin]).await;
    let before = stage.planes_mebibytes();
    let events = EMPTY_ITEM.repeat(MESSAGE_BYTES / 2 - 8);
    let headers = settings_of(&EMPTY_HEADER.repeat(MESSAGE_BYTES / 2 - 8));
    for (path, message) in [(EMIT_EVENTS, events), (CREATE_ENDPOINT, headers)] {
        let start = prefixed(message.len(), &message);
        hang(&stage, path, Some(key.clone()), vec![start; EMPTY]).await;
    }
    let grown = stage.planes_mebibytes_peak() - before;
    vec![
        Measure::new("memory that messages of empty items took", "MiB", grown)
            .at_most(bound::CALLER, 64.0),
    ]
}

/// Begins these calls over one connection, and returns how long the longest lasted.
async fn hang(
    stage: &Stage,
    path: &'static str,
    key: Option<String>,
    starts: Vec<Bytes>,
) -> Duration {
    let wire = Arc::new(
        Wire::open(stage.grpc())
            .await
            .expect("the control plane listens"),
    );
    let mut calls = JoinSet::new();
    for start in starts {
        let (wire, key) = (Arc::clone(&wire), key.clone());
        calls.spawn(async move { wire.hang(path, key.as_deref(), start).await });
    }
    calls.join_all().await.into_iter().max().unwrap_or_default()
}

/// A whole message of nearly the greatest length.
fn large_message() -> Bytes {
    let payload = Bytes::from(vec![b'1'; MESSAGE_BYTES / EVENTS - 1024]);
    let event = EmitEventRequest {
        event_type: "abuse.large".to_owned(),
        content: Some(Content::Payload(payload)),
        ..EmitEventRequest::default()
    };
    let request = EmitEventsRequest {
        sequence: 1,
        events: vec![event; EVENTS],
    };
    let message = request.encode_to_vec();
    prefixed(message.len(), &message)
}

/// A `CreateEndpointRequest` with these bytes as its settings.
fn settings_of(settings: &[u8]) -> Vec<u8> {
    let mut message = vec![SETTINGS];
    prost::encoding::encode_varint(settings.len() as u64, &mut message);
    message.extend(settings);
    message
}
