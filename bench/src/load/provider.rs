//! The load of a provider: signed requests over kept connections, as fast as they are answered or at a fixed rate.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use http::header;
use posthorn_harness::{Provider, ProviderConnection};
use tokio::task::JoinSet;

use crate::{
    payload::Payloads,
    usage::{float, rate},
};

/// How many connections are kept, each with one request under way.
const CONNECTIONS: u64 = 128;

/// The longest answer that is told from longer ones, in microseconds.
const MICROS_MAX: u64 = 60_000_000;

/// A provider under load. Every request has an id of its own.
#[derive(Debug)]
pub(crate) struct ProviderLoad {
    provider: Provider,
    payloads: Payloads,
    next: AtomicU64,
}

/// What a load measured.
#[derive(Debug)]
pub(crate) struct Answered {
    /// How many requests were answered.
    pub(crate) count: u64,
    /// How many a second.
    pub(crate) per_second: f64,
    /// How long the longest answer took, and how long after the beginning.
    longest: Longest,
    micros: Histogram<u64>,
}

/// The longest answer of a load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Longest {
    took: Duration,
    after: Duration,
}

/// What one connection measured.
struct Part {
    micros: Histogram<u64>,
    longest: Longest,
}

impl Answered {
    /// The longest answer in milliseconds, and how many seconds after the beginning its request was due.
    pub(crate) fn longest(&self) -> (f64, f64) {
        let Longest { took, after } = self.longest;
        (took.as_secs_f64() * 1e3, after.as_secs_f64())
    }

    /// The time in milliseconds that this share of the answers did not exceed.
    pub(crate) fn quantile_ms(&self, quantile: f64) -> f64 {
        float(self.micros.value_at_quantile(quantile)) / 1000.0
    }
}

impl ProviderLoad {
    pub(crate) fn new(provider: Provider, payload_bytes: u32) -> Arc<Self> {
        Arc::new(Self {
            provider,
            payloads: Payloads::of_size(payload_bytes),
            next: AtomicU64::new(0),
        })
    }

    /// Posts as fast as answers come.
    pub(crate) async fn closed(self: &Arc<Self>, duration: Duration) -> Answered {
        let start = Instant::now();
        let end = start + duration;
        self.all(start, move |load, mut connection, _| async move {
            let mut part = Part::default();
            while Instant::now() < end {
                let sent = Instant::now();
                load.post(&mut connection).await;
                part.record(sent, start);
            }
            part
        })
        .await
    }

    /// Posts at a fixed rate. Each time is counted from when its request was due, so that a stall counts for all that
    /// it held up.
    pub(crate) async fn paced(self: &Arc<Self>, per_second: f64, duration: Duration) -> Answered {
        let start = Instant::now();
        let end = start + duration;
        let pause = Duration::from_secs_f64(float(CONNECTIONS) / per_second);
        self.all(start, move |load, mut connection, number| async move {
            let mut part = Part::default();
            let mut due = start + pause.mul_f64(float(number) / float(CONNECTIONS));
            while due < end {
                tokio::time::sleep_until(due.into()).await;
                load.post(&mut connection).await;
                part.record(due, start);
                due += pause;
            }
            part
        })
        .await
    }

    async fn all<F>(
        self: &Arc<Self>,
        start: Instant,
        run: impl Fn(Arc<Self>, ProviderConnection, u64) -> F,
    ) -> Answered
    where
        F: Future<Output = Part> + Send + 'static,
    {
        let mut connections = JoinSet::new();
        for number in 0..CONNECTIONS {
            let connection = self.connect().await;
            connections.spawn(run(Arc::clone(self), connection, number));
        }
        let Part {
            mut micros,
            mut longest,
        } = Part::default();
        while let Some(part) = connections.join_next().await {
            let part = part.expect("every request is answered");
            micros.add(part.micros).expect("the bounds are the same");
            longest = longest.max(part.longest);
        }
        Answered {
            count: micros.len(),
            per_second: rate(micros.len(), start.elapsed()),
            longest,
            micros,
        }
    }

    /// Posts one request, and connects anew when the server says that this was the connection's last one. Panics when it
    /// is refused: such a run measures something else.
    async fn post(&self, connection: &mut ProviderConnection) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let body = self.payloads.numbered(number);
        let request = self.provider.request(&format!("msg_{number}"), body);
        let posted = connection.send(request).await;
        let posted = posted.expect("the edge answers");
        assert!(posted.status.is_success(), "{posted:?}");
        if posted.headers.contains_key(header::CONNECTION) {
            *connection = self.connect().await;
        }
    }

    async fn connect(&self) -> ProviderConnection {
        let connection = self.provider.connect().await;
        connection.expect("the edge accepts connections")
    }
}

impl Default for Part {
    fn default() -> Self {
        let micros = Histogram::new_with_bounds(1, MICROS_MAX, 3);
        Self {
            micros: micros.expect("the bounds are allowed"),
            longest: Longest::default(),
        }
    }
}

impl Part {
    /// Notes an answer that came now to a request that was due at `since`, in a load that began at `start`.
    fn record(&mut self, since: Instant, start: Instant) {
        let (took, after) = (since.elapsed(), since - start);
        self.longest = self.longest.max(Longest { took, after });
        let micros = took.as_micros().try_into().unwrap_or(MICROS_MAX);
        self.micros.saturating_record(micros);
    }
}
