//! Fills the gauges that nothing else updates: what is open in the database and in memory.

use std::time::Duration;

use super::every;
use crate::{
    core::Core,
    dispatch::Dispatch,
    metrics::{Metrics, State},
    model::shard::ShardSet,
    outage,
    store::OpenCounts,
};

/// How often memory is looked at.
const TICK: Duration = Duration::from_secs(1);
/// How often the database is asked to count, in ticks.
const COUNT_EVERY: u32 = 15;

/// Fills the gauges for ever.
pub(crate) async fn keep_gauges(core: Core, dispatch: Dispatch) {
    let mut tick = 0_u32;
    let round = async || {
        show_memory(&dispatch, &core.metrics);
        if tick.is_multiple_of(COUNT_EVERY) {
            match core.store.delivery_counts(&ShardSet::ALL).await {
                Ok(counts) => show_counts(&counts, &core.metrics, core.clock.now_ms()),
                Err(error) => outage::log(&error, "could not count what is open"),
            }
        }
        tick = tick.wrapping_add(1);
    };
    every(&core.clock, TICK, round).await;
}

fn show_memory(dispatch: &Dispatch, metrics: &Metrics) {
    let (loaded, payload_bytes) = dispatch.loaded();
    let states = [
        ("waiting", loaded.waiting),
        ("leased", loaded.leased),
        ("ready_endpoints", loaded.ready_lanes),
    ];
    for (state, count) in states {
        metrics
            .scheduled
            .get_or_create(&State { state })
            .set(gauge(count));
    }
    metrics.payload_bytes.set(gauge(payload_bytes));
}

fn show_counts(counts: &OpenCounts, metrics: &Metrics, now_ms: i64) {
    metrics
        .open
        .get_or_create(&State { state: "pending" })
        .set(counts.pending);
    metrics
        .open
        .get_or_create(&State { state: "dead" })
        .set(counts.dead);
    metrics
        .oldest_due_seconds
        .set(age_seconds(counts.oldest_due_at, now_ms));
    metrics
        .oldest_dead_seconds
        .set(age_seconds(counts.oldest_dead_at, now_ms));
}

fn age_seconds(since: Option<i64>, now_ms: i64) -> f64 {
    let age_ms = since.map_or(0, |since| now_ms.saturating_sub(since).max(0));
    #[expect(
        clippy::cast_precision_loss,
        reason = "an age in milliseconds is far below 2^52"
    )]
    let seconds = age_ms as f64 / 1_000.0;
    seconds
}

fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
