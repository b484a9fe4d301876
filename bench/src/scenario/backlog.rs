//! Memory with many open deliveries, how fast they drain once their endpoint takes them, and memory of an idle
//! standalone process.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use posthorn::v1::{EndpointState, SetEndpointStateRequest};
use posthorn_harness::{Standalone, rss_bytes};
use tokio::time::sleep;

use super::emit::{SUBSCRIBED, paused_endpoint, stream};
use crate::{
    report::Measure,
    settings::Settings,
    sink::Sink,
    stage::Stage,
    usage::{mebibytes, rate},
};

const EVENTS: u64 = 1_000_000;

pub(crate) async fn run(settings: &Settings) -> Vec<Measure> {
    let mut measures = vec![idle_standalone().await];
    let arrived = Arc::new(AtomicU64::new(0));
    let sink = Sink::start({
        let arrived = Arc::clone(&arrived);
        move |_| {
            arrived.fetch_add(1, Ordering::Relaxed);
        }
    })
    .await;
    let stage = Stage::start(settings.store).await;
    measures.extend(stage.memory_now("idle"));
    let endpoint_id = paused_endpoint(&stage, sink.receiver().url("/")).await;

    let events = settings.events.unwrap_or(EVENTS);
    let start = Instant::now();
    stream(&stage.client, settings, SUBSCRIBED, events).await;
    let filled = rate(events, start.elapsed());
    let queued = format!("memory of both planes with {events} open deliveries");
    measures.push(Measure::new(queued, "MiB", stage.planes_mebibytes()).at_most(300.0, 150.0));
    measures.extend(stage.memory_now("with the backlog"));
    measures.push(Measure::new(
        "durable emits while the backlog grew",
        "/s",
        filled,
    ));

    let request = SetEndpointStateRequest {
        state: EndpointState::Enabled.into(),
        endpoint_id,
        ..SetEndpointStateRequest::default()
    };
    stage
        .client
        .endpoints()
        .set_endpoint_state(request)
        .await
        .expect("the endpoint is resumed");
    measures.push(Measure::new(
        "arrivals while the backlog drained",
        "/s",
        drain(settings, &arrived, events).await,
    ));
    measures.extend(stage.memory_peak());
    measures
}

/// Arrivals per second until the time is over or everything arrived.
async fn drain(settings: &Settings, arrived: &AtomicU64, events: u64) -> f64 {
    const STEP: Duration = Duration::from_millis(50);
    let start = Instant::now();
    let limit = Duration::from_secs(settings.seconds.into());
    while start.elapsed() < limit && arrived.load(Ordering::Relaxed) < events {
        sleep(STEP).await;
    }
    rate(arrived.load(Ordering::Relaxed), start.elapsed())
}

async fn idle_standalone() -> Measure {
    let standalone = Standalone::start(&[]).await;
    standalone.ready().await;
    Measure::new(
        "memory of standalone, idle",
        "MiB",
        mebibytes(rss_bytes(standalone.pid())),
    )
    .at_most(40.0, 25.0)
}
