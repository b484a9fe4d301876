//! Acknowledged durable emits per second, without deliveries being made.
//!
//! The events go to a paused endpoint: each acknowledgement stands for an event and its open delivery on disk. For
//! comparison, the stream is also measured with events that nobody subscribes to.

use std::{sync::Arc, time::Instant};

use posthorn::v1::{EmitEventRequest, EndpointState, SetEndpointStateRequest};
use posthorn_harness::Client;
use tokio::sync::Semaphore;

use crate::{
    load::{Release, StreamLoad, unary},
    payload::Payloads,
    report::Measure,
    settings::Settings,
    stage::Stage,
    usage::rate,
};

const EVENTS: u64 = 200_000;
const WINDOW: u32 = 10_000;

const CALLS: u32 = 256;

const WARM_UP_EVENTS: u64 = 5_000;

/// Nothing is ever sent there: the endpoint is paused.
const TARGET: &str = "http://127.0.0.1:9/";

pub(crate) async fn run(settings: &Settings) -> Vec<Measure> {
    let stage = Stage::start_without_node(settings.store).await;
    paused_endpoint(&stage, TARGET.to_owned()).await;
    let events = settings.events.unwrap_or(EVENTS);
    stream(&stage.client, settings, SUBSCRIBED, WARM_UP_EVENTS).await;

    let connections = stage.connections().await;
    let start = Instant::now();
    unary(
        &connections,
        settings.calls.unwrap_or(CALLS),
        events,
        events_of(&stage.client, settings, SUBSCRIBED),
    )
    .await;
    let unary = rate(events, start.elapsed());

    let start = Instant::now();
    stream(&stage.client, settings, SUBSCRIBED, events).await;
    let streamed = rate(events, start.elapsed());

    let start = Instant::now();
    stream(&stage.client, settings, "bench.unsubscribed", events).await;
    let unsubscribed = rate(events, start.elapsed());
    vec![
        Measure::new("durable emits, unary calls", "/s", unary).at_least(15_000.0, 30_000.0),
        Measure::new("durable emits, stream", "/s", streamed).at_least(40_000.0, 70_000.0),
        Measure::new(
            "durable emits that nobody subscribes to, stream",
            "/s",
            unsubscribed,
        ),
    ]
}

/// The type that the paused endpoint subscribes to.
pub(super) const SUBSCRIBED: &str = "bench.queued";

/// Creates an endpoint and pauses it; returns its id.
pub(super) async fn paused_endpoint(stage: &Stage, url: String) -> String {
    let endpoint_id = stage.endpoint(url, SUBSCRIBED.to_owned(), 1024).await;
    let request = SetEndpointStateRequest {
        state: EndpointState::Paused.into(),
        endpoint_id: endpoint_id.clone(),
        ..SetEndpointStateRequest::default()
    };
    stage
        .client
        .endpoints()
        .set_endpoint_state(request)
        .await
        .expect("the endpoint is paused");
    endpoint_id
}

/// Emits events over a stream, and returns when all are acknowledged.
pub(super) async fn stream(
    client: &Client,
    settings: &Settings,
    event_type: &'static str,
    events: u64,
) {
    let window = settings.window.unwrap_or(WINDOW).max(settings.batch);
    let load = StreamLoad {
        events: 0..events,
        batch: settings.batch,
        window: Arc::new(Semaphore::new(window as usize)),
        permits: 1,
        release: Release::AtAcknowledgement,
        event: events_of(client, settings, event_type),
    };
    load.run(client).await;
}

fn events_of(
    client: &Client,
    settings: &Settings,
    event_type: &'static str,
) -> impl Fn(u64) -> EmitEventRequest + Clone + Send + 'static {
    let (client, payloads) = (client.clone(), Payloads::of_size(settings.payload()));
    move |number| client.event(event_type, payloads.numbered(number))
}
