//! Deliveries per second, from the emit over the POST to the durable outcome, with the pipeline kept loaded.
//!
//! Events go out over one stream. A window bounds what is emitted and has not arrived, so that the load neither starves
//! nor floods the pipeline. Or they go out by unary calls, each of which is answered before its caller makes the next one.
//! The clock stops when no delivery is open any more.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use posthorn_harness::{Receiver, eventually};
use tokio::sync::Semaphore;

use crate::{
    ceiling::{self, Posts},
    load::{Release, StreamLoad, unary},
    payload::Payloads,
    report::Measure,
    settings::{Settings, Store},
    sink::Sink,
    stage::Stage,
    usage::{float, rate},
};

const EVENTS: u64 = 200_000;
const ENDPOINTS: u32 = 16;
const WINDOW: u32 = 4_000;

/// Opens connections and fills caches before anything is measured.
const WARM_UP_EVENTS: u64 = 5_000;

/// The most that an endpoint may have, so that the window is what limits.
const CONCURRENCY: u32 = 1024;

const ARRIVAL_DEADLINE: Duration = Duration::from_mins(10);

pub(crate) async fn run(settings: &Settings) -> Vec<Measure> {
    let posts = ceiling::posts(settings.payload()).await;
    let window = settings
        .window
        .unwrap_or(WINDOW)
        .max(settings.batch * settings.fan_out);
    let arrivals = Arrivals::new(window);
    let sink = Sink::start({
        let arrivals = arrivals.clone();
        move |_| arrivals.add()
    })
    .await;
    let stage = Stage::start(settings.store).await;
    let commits = ceiling::commits(stage.postgres(), settings.payload()).await;
    let mut measures = stage.memory_now("idle");
    let types = subscribe(&stage, sink.receiver(), settings).await;

    emit(&stage, settings, &arrivals, &types, WARM_UP_EVENTS).await;
    let events = settings.events.unwrap_or(EVENTS);
    let deliveries = events * u64::from(settings.fan_out);
    let (before, start) = (stage.usage().await, Instant::now());
    emit(&stage, settings, &arrivals, &types, events).await;
    let took = start.elapsed();
    let after = stage.usage().await;
    measures.extend(after.per_delivery(&before, deliveries));
    measures.push(after.others(&before, took));
    measures.extend(stage.memory_peak());

    let expected = (WARM_UP_EVENTS + events) * u64::from(settings.fan_out);
    let mut rates = rates(settings.store, rate(deliveries, took), posts, commits);
    rates.push(Measure::new(
        "deliveries that arrived twice",
        "",
        float(arrivals.count() - expected),
    ));
    rates.append(&mut measures);
    rates
}

/// Subscribes endpoints in groups of the fan-out, each group to a type of its own; returns the types.
async fn subscribe(stage: &Stage, receiver: &Receiver, settings: &Settings) -> Vec<String> {
    let groups = (settings.endpoints.unwrap_or(ENDPOINTS) / settings.fan_out).max(1);
    let types: Vec<String> = (0..groups)
        .map(|group| format!("bench.group{group}"))
        .collect();
    for (group, event_type) in types.iter().enumerate() {
        for member in 0..settings.fan_out {
            let url = receiver.url(&format!("/{group}/{member}"));
            stage.endpoint(url, event_type.clone(), CONCURRENCY).await;
        }
    }
    types
}

/// Emits events, and returns when every outcome is durable.
async fn emit(
    stage: &Stage,
    settings: &Settings,
    arrivals: &Arrivals,
    types: &[String],
    events: u64,
) {
    let payloads = Payloads::of_size(settings.payload());
    let expected = arrivals.count() + events * u64::from(settings.fan_out);
    let event = {
        let (client, types) = (stage.client.clone(), types.to_vec());
        move |number| {
            let index = usize::try_from(number % types.len() as u64).expect("an index of types");
            client.event(&types[index], payloads.numbered(number))
        }
    };
    if let Some(calls) = settings.calls {
        unary(&stage.connections().await, calls, events, event).await;
    } else {
        let load = StreamLoad {
            events: 0..events,
            batch: settings.batch,
            window: Arc::clone(&arrivals.window),
            permits: settings.fan_out,
            release: Release::AtArrival,
            event,
        };
        load.run(&stage.client).await;
    }
    eventually("every delivery arrived", ARRIVAL_DEADLINE, async || {
        arrivals.count() >= expected
    })
    .await;
    stage.settled().await;
}

fn rates(store: Store, deliveries: f64, posts: Posts, commits: f64) -> Vec<Measure> {
    let rate = Measure::new("deliveries, emit to durable outcome", "/s", deliveries);
    let ratio = Measure::new("of the bare POST loop", "", deliveries / posts.per_second);
    let (rate, ratio) = match store {
        Store::Postgres => (
            rate.at_least(10_000.0, 16_000.0),
            ratio.at_least(0.22, 0.35),
        ),
        Store::Sqlite => (
            rate.at_least(12_000.0, 18_000.0),
            ratio.at_least(0.26, 0.40),
        ),
    };
    let mut measures = vec![
        rate,
        ratio,
        Measure::new("of the bare commits", "", deliveries / commits),
    ];
    measures.extend(super::ceiling::measures(posts, commits));
    measures
}

/// What arrived at the receiver; each arrival lets another delivery be emitted.
#[derive(Clone, Debug)]
struct Arrivals {
    count: Arc<AtomicU64>,
    window: Arc<Semaphore>,
}

impl Arrivals {
    fn new(window: u32) -> Self {
        Self {
            count: Arc::default(),
            window: Arc::new(Semaphore::new(window as usize)),
        }
    }

    fn add(&self) {
        self.count.fetch_add(1, Ordering::Release);
        self.window.add_permits(1);
    }

    fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }
}
