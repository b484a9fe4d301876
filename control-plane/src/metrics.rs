//! The numbers that the control plane shows. Labels are bounded words, never URLs or free text, and ids only of sources.

mod grpc;
mod inbound;

use std::{sync::atomic::AtomicU64, time::Duration};

use posthorn_telemetry::{
    Registry,
    prometheus_client::{
        encoding::EncodeLabelSet,
        metrics::{
            counter::Counter,
            family::Family,
            gauge::Gauge,
            histogram::{Histogram, exponential_buckets},
        },
    },
};

pub(crate) use self::grpc::GrpcMetrics;
use self::inbound::InboundCounts;
use crate::{error::Error, model::id::SourceId};

/// A label of one word.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ResultLabel {
    /// What happened.
    pub result: &'static str,
}

/// Which of the group commits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Commit {
    /// `emit`, `inbound` or `outcome`.
    pub kind: &'static str,
}

/// Where deliveries are.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct State {
    /// `pending`, `dead`, `waiting`, `leased`.
    pub state: &'static str,
}

/// The control plane's metrics. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    /// Emits by what became of them.
    pub emits: Family<ResultLabel, Counter>,
    /// Deliveries that ended, by how.
    pub deliveries: Family<ResultLabel, Counter>,
    /// Attempts by what came of them.
    pub attempts: Family<ResultLabel, Counter>,
    /// How long attempts took.
    pub attempt_seconds: Histogram,
    /// From the emit to the report of the first attempt.
    pub first_attempt_seconds: Histogram,
    /// Pulls of sources that are polled, by how they ended.
    pub polls: Family<ResultLabel, Counter>,
    /// Inbound requests by source and by what became of them.
    inbound: InboundCounts,
    /// Inbound requests that were refused, by reason.
    pub inbound_refusals: Family<ResultLabel, Counter>,
    /// Providers that wait for a computed answer.
    pub inbound_waiting: Gauge,
    /// Computed answers, by how the wait for them ended.
    pub inbound_waits: Family<ResultLabel, Counter>,
    /// Streams of forwarded requests.
    pub forwards: Gauge,
    /// Bytes of forwarded requests that are held until they are answered.
    pub forward_bytes: Gauge,
    /// Streams of nodes and consumers that their key had no room for, by what they were.
    pub streams_refused: Family<ResultLabel, Counter>,
    /// How long group commits took.
    pub commit_seconds: Family<Commit, Histogram, fn() -> Histogram>,
    /// How many rows group commits carried.
    pub commit_rows: Family<Commit, Histogram, fn() -> Histogram>,
    /// Open deliveries in the database.
    pub open: Family<State, Gauge>,
    /// Deliveries in the schedule's memory.
    pub scheduled: Family<State, Gauge>,
    /// Bytes of payloads in memory.
    pub payload_bytes: Gauge,
    /// For how long the delivery that is due longest has been due.
    pub oldest_due_seconds: Gauge<f64, AtomicU64>,
    /// The age of the oldest dead letter.
    pub oldest_dead_seconds: Gauge<f64, AtomicU64>,
    /// Sessions of nodes.
    pub sessions: Gauge,
    /// Streams of consumers.
    pub consumers: Gauge,
    /// Leases that were lost.
    pub leases_lost: Counter,
    /// Reports under a lease that is not the delivery's.
    pub stale_reports: Counter,
    /// What nodes said of leases that they were not given, by what was wrong with the proof.
    pub forged_reports: Family<ResultLabel, Counter>,
    /// What gRPC takes on and what it refuses.
    pub grpc: GrpcMetrics,
}

fn commit_seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.000_25, 2.0, 16))
}

fn commit_rows() -> Histogram {
    Histogram::new(exponential_buckets(1.0, 2.0, 12))
}

impl Metrics {
    /// Makes the metrics and registers them.
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            emits: Family::default(),
            deliveries: Family::default(),
            attempts: Family::default(),
            attempt_seconds: Histogram::new(exponential_buckets(0.001, 2.0, 17)),
            first_attempt_seconds: Histogram::new(exponential_buckets(0.001, 2.0, 20)),
            polls: Family::default(),
            inbound: InboundCounts::default(),
            inbound_refusals: Family::default(),
            inbound_waiting: Gauge::default(),
            inbound_waits: Family::default(),
            forwards: Gauge::default(),
            forward_bytes: Gauge::default(),
            streams_refused: Family::default(),
            commit_seconds: Family::new_with_constructor(commit_seconds),
            commit_rows: Family::new_with_constructor(commit_rows),
            open: Family::default(),
            scheduled: Family::default(),
            payload_bytes: Gauge::default(),
            oldest_due_seconds: Gauge::default(),
            oldest_dead_seconds: Gauge::default(),
            sessions: Gauge::default(),
            consumers: Gauge::default(),
            leases_lost: Counter::default(),
            stale_reports: Counter::default(),
            forged_reports: Family::default(),
            grpc: GrpcMetrics::default(),
        };
        metrics.register(registry.sub_registry_with_prefix("posthorn"));
        metrics
    }

    /// Counts an inbound request of a source.
    pub(crate) fn count_inbound(&self, source: SourceId, verdict: &'static str) {
        self.inbound.count(source, verdict);
    }

    /// Notes whether a key had room for a stream: `session`, `forward` or `consume`.
    pub(crate) fn opened<T>(&self, what: &'static str, opened: &Result<T, Error>) {
        if let Err(Error::Exhausted(_)) = opened {
            let word = ResultLabel { result: what };
            self.streams_refused.get_or_create(&word).inc();
        }
    }

    /// Notes a group commit: its kind, how long it took and how many rows it carried.
    pub(crate) fn committed(&self, kind: &'static str, elapsed: Duration, rows: usize) {
        let commit = Commit { kind };
        self.commit_seconds
            .get_or_create(&commit)
            .observe(elapsed.as_secs_f64());
        #[expect(
            clippy::cast_precision_loss,
            reason = "a batch has at most a few hundred rows"
        )]
        self.commit_rows.get_or_create(&commit).observe(rows as f64);
    }

    #[expect(clippy::too_many_lines, reason = "it is a table")]
    fn register(&self, r: &mut Registry) {
        self.register_inbound(r);
        self.grpc.register(r);
        r.register("emits", "Emits by what became of them", self.emits.clone());
        r.register(
            "deliveries",
            "Deliveries that ended, by how",
            self.deliveries.clone(),
        );
        r.register(
            "polls",
            "Pulls of sources that are polled, by how they ended",
            self.polls.clone(),
        );
        r.register(
            "attempts",
            "Attempts by what came of them",
            self.attempts.clone(),
        );
        r.register(
            "attempt_seconds",
            "How long attempts took",
            self.attempt_seconds.clone(),
        );
        let first = self.first_attempt_seconds.clone();
        r.register(
            "first_attempt_seconds",
            "From the emit to the report of the first attempt",
            first,
        );
        r.register(
            "commit_seconds",
            "How long group commits took",
            self.commit_seconds.clone(),
        );
        r.register(
            "commit_rows",
            "How many rows group commits carried",
            self.commit_rows.clone(),
        );
        r.register(
            "open_deliveries",
            "Open deliveries in the database",
            self.open.clone(),
        );
        r.register(
            "scheduled_deliveries",
            "Deliveries in the schedule's memory",
            self.scheduled.clone(),
        );
        r.register(
            "payload_bytes",
            "Bytes of payloads in memory",
            self.payload_bytes.clone(),
        );
        let due = self.oldest_due_seconds.clone();
        r.register(
            "oldest_due_seconds",
            "For how long the oldest due delivery has been due",
            due,
        );
        let dead = self.oldest_dead_seconds.clone();
        r.register(
            "oldest_dead_seconds",
            "The age of the oldest dead letter",
            dead,
        );
        r.register("sessions", "Sessions of nodes", self.sessions.clone());
        r.register("consumers", "Streams of consumers", self.consumers.clone());
        r.register(
            "leases_lost",
            "Leases that were lost",
            self.leases_lost.clone(),
        );
        r.register(
            "stale_reports",
            "Reports under a lease that is not current",
            self.stale_reports.clone(),
        );
        r.register(
            "forged_reports",
            "What nodes said of leases that they were not given, by what was wrong with the proof",
            self.forged_reports.clone(),
        );
    }

    fn register_inbound(&self, r: &mut Registry) {
        r.register(
            "inbound_requests",
            "Inbound requests by source and by what became of them",
            self.inbound.family.clone(),
        );
        r.register(
            "inbound_refusals",
            "Inbound requests that were refused, by reason",
            self.inbound_refusals.clone(),
        );
        r.register(
            "inbound_waiting",
            "Providers that wait for a computed answer",
            self.inbound_waiting.clone(),
        );
        r.register(
            "inbound_waits",
            "Computed answers, by how the wait for them ended",
            self.inbound_waits.clone(),
        );
        r.register(
            "forward_streams",
            "Streams of forwarded requests",
            self.forwards.clone(),
        );
        r.register(
            "forward_bytes",
            "Bytes of forwarded requests that are held until they are answered",
            self.forward_bytes.clone(),
        );
        r.register(
            "streams_refused",
            "Streams of nodes and consumers that their key had no room for, by what they were",
            self.streams_refused.clone(),
        );
    }
}
