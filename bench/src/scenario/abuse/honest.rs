//! Callers who do nothing wrong, and what they notice of others.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use posthorn::v1::{CreateEventTypeRequest, ListEndpointsRequest};
use posthorn_harness::{Client, get};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, timeout},
};

use crate::{stage::Stage, usage::float, wire::PATIENCE};

/// The longest time that is told from longer ones, in microseconds.
const MICROS_MAX: u64 = 120_000_000;
/// How many calls of each kind are made a second.
const EMITS_PER_SECOND: u32 = 50;
const READS_PER_SECOND: u32 = 20;
const CHANGES_PER_SECOND: u32 = 5;
/// The type of the events that are emitted; a tenant that has declared types may emit no others.
const EVENT_TYPE: &str = "honest.day";
/// How often `/readyz` is asked.
const READY_EACH: Duration = Duration::from_millis(100);

/// What honest callers got.
pub(super) struct Served {
    micros: Histogram<u64>,
    refused: u64,
}

impl Served {
    /// Nobody yet.
    pub(super) fn new() -> Self {
        Self {
            micros: Histogram::new_with_bounds(1, MICROS_MAX, 3).expect("the bounds are allowed"),
            refused: 0,
        }
    }

    /// A call was answered so long after it was due.
    pub(super) fn note(&mut self, took: Duration, is_answered: bool) {
        let micros = took.as_micros().try_into().unwrap_or(MICROS_MAX);
        self.micros.saturating_record(micros);
        self.refused += u64::from(!is_answered);
    }

    /// How many calls were made.
    pub(super) fn count(&self) -> f64 {
        float(self.micros.len())
    }

    /// How many got no answer, or a refusal.
    pub(super) fn refused(&self) -> f64 {
        float(self.refused)
    }

    /// The time in milliseconds that this share did not exceed.
    pub(super) fn quantile_ms(&self, quantile: f64) -> f64 {
        float(self.micros.value_at_quantile(quantile)) / 1000.0
    }

    fn add(&mut self, other: &Self) {
        let added = self.micros.add(&other.micros);
        added.expect("the bounds are the same");
        self.refused += other.refused;
    }
}

/// Declares what [`day`] needs.
pub(super) async fn prepare(client: &Client) {
    assert!(declare(client, EVENT_TYPE).await, "a type can be declared");
}

/// A tenant's ordinary day: it emits, reads, and now and then changes its registry, at fixed rates.
pub(super) async fn day(client: &Client, duration: Duration) -> Served {
    let (emits, reads, changes) = tokio::join!(
        paced(EMITS_PER_SECOND, duration, || {
            let (mut events, event) = (client.events(), client.event(EVENT_TYPE, "{}"));
            async move { events.emit_event(event).await.is_ok() }
        }),
        paced(READS_PER_SECOND, duration, || {
            let mut endpoints = client.endpoints();
            let request = ListEndpointsRequest {
                tenant_id: client.tenant_id.clone(),
                ..ListEndpointsRequest::default()
            };
            async move { endpoints.list_endpoints(request).await.is_ok() }
        }),
        paced(CHANGES_PER_SECOND, duration, || {
            let client = client.clone();
            async move { declare(&client, &new_name()).await }
        }),
    );
    let mut all = emits;
    all.add(&reads);
    all.add(&changes);
    all
}

/// Declares an event type; whether that was accepted.
pub(in crate::scenario) async fn declare(client: &Client, name: &str) -> bool {
    let request = CreateEventTypeRequest {
        tenant_id: client.tenant_id.clone(),
        name: name.to_owned(),
        ..CreateEventTypeRequest::default()
    };
    client
        .event_types()
        .create_event_type(request)
        .await
        .is_ok()
}

/// The name of an event type that nobody has declared.
pub(in crate::scenario) fn new_name() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("new.type{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// How often `/readyz` of the control plane said so, as a share of how often it was asked.
pub(super) async fn readiness(stage: &Stage, duration: Duration) -> f64 {
    let (mut asked, mut ready) = (0, 0);
    let end = Instant::now() + duration;
    while Instant::now() < end {
        tokio::time::sleep(READY_EACH).await;
        asked += 1;
        let page = get(stage.control_metrics(), "/readyz").await;
        ready += u64::from(page.is_ok_and(|page| page.status == 200));
    }
    float(ready) / float(asked)
}

/// Makes calls at a fixed rate, whether or not earlier ones were answered. Each is timed from when it was due, and given
/// up after [`PATIENCE`].
pub(super) async fn paced<F>(per_second: u32, duration: Duration, call: impl Fn() -> F) -> Served
where
    F: Future<Output = bool> + Send + 'static,
{
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / per_second);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut calls = JoinSet::new();
    let end = Instant::now() + duration;
    loop {
        let due = ticks.tick().await.into_std();
        if due >= end {
            break;
        }
        let call = call();
        calls.spawn(async move {
            let is_answered = timeout(PATIENCE, call).await.unwrap_or(false);
            (due.elapsed(), is_answered)
        });
    }
    let mut served = Served::new();
    for (took, is_answered) in calls.join_all().await {
        served.note(took, is_answered);
    }
    served
}
