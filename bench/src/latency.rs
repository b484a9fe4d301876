//! The time from the emit of an event to its arrival.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use hdrhistogram::Histogram;
use posthorn_harness::Arrival;

use crate::{payload, usage::float};

/// The longest time that is told from longer ones, in microseconds.
const MICROS_MAX: u64 = 120_000_000;

/// Notes when numbered events are emitted and when they arrive. An event's second arrival does not count.
#[derive(Debug)]
pub(crate) struct Latencies {
    epoch: Instant,
    /// Microseconds after the epoch plus one; 0: not emitted, or arrived.
    emitted: Vec<AtomicU64>,
    arrived: AtomicU64,
    micros: Mutex<Histogram<u64>>,
}

impl Latencies {
    /// For the events with a number below `events`.
    pub(crate) fn of(events: u64) -> Self {
        Self {
            epoch: Instant::now(),
            emitted: (0..events).map(|_| AtomicU64::new(0)).collect(),
            arrived: AtomicU64::new(0),
            micros: Mutex::new(
                Histogram::new_with_bounds(1, MICROS_MAX, 3).expect("the bounds are allowed"),
            ),
        }
    }

    /// Event `number` is emitted now.
    pub(crate) fn emit(&self, number: u64) {
        if let Some(emitted) = self.slot(number) {
            emitted.store(self.micros_at(Instant::now()) + 1, Ordering::Release);
        }
    }

    /// Something arrived at the receiver.
    pub(crate) fn arrive(&self, arrival: &Arrival<'_>) {
        let Some(emitted) = payload::number(arrival.body).and_then(|number| self.slot(number))
        else {
            return;
        };
        let emitted = emitted.swap(0, Ordering::AcqRel);
        if emitted == 0 {
            return;
        }
        let took = self.micros_at(arrival.at).saturating_sub(emitted - 1);
        self.micros
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .saturating_record(took);
        self.arrived.fetch_add(1, Ordering::Release);
    }

    /// How many different events arrived.
    pub(crate) fn arrived(&self) -> u64 {
        self.arrived.load(Ordering::Acquire)
    }

    /// The time in milliseconds that this share of the events did not exceed.
    pub(crate) fn quantile_ms(&self, quantile: f64) -> f64 {
        float(
            self.micros
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .value_at_quantile(quantile),
        ) / 1000.0
    }

    fn slot(&self, number: u64) -> Option<&AtomicU64> {
        self.emitted.get(usize::try_from(number).ok()?)
    }

    fn micros_at(&self, instant: Instant) -> u64 {
        instant
            .saturating_duration_since(self.epoch)
            .as_micros()
            .try_into()
            .expect("a run is shorter than an age")
    }
}
