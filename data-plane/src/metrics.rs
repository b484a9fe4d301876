//! What a node counts.
//!
//! Everything on the path of an attempt is looked up once, at the start. No label carries an endpoint, a tenant or a URL.

use std::{array, time::Duration};

use posthorn::node::v1::{ErrorKind, outcome::Result as Fact};
use posthorn_telemetry::{
    Registry,
    prometheus_client::metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
};

/// The node's metrics.
pub(crate) struct Metrics {
    /// Connections to endpoints that were opened.
    pub(crate) connections_opened: Counter,
    /// Attempts that went over a kept connection.
    pub(crate) pool_hits: Counter,
    /// Leases that the node works on.
    pub(crate) in_flight: Gauge,
    /// Leases that the control plane may still send.
    pub(crate) credit: Gauge,
    /// 1 while the session with the control plane stands.
    pub(crate) session_up: Gauge,
    /// Outcomes that the control plane has not committed yet.
    pub(crate) uncommitted: Gauge,
    seconds: Histogram,
    /// 2xx to 5xx.
    statuses: [Counter; 4],
    /// By the number of the error kind.
    errors: Vec<Counter>,
    not_started: Counter,
}

impl Metrics {
    /// Metrics that the registry shows.
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let attempts = Family::<[(&str, String); 1], Counter>::default();
        let counter = |result: String| attempts.get_or_create_owned(&[("result", result)]);
        let metrics = Self {
            connections_opened: Counter::default(),
            pool_hits: Counter::default(),
            in_flight: Gauge::default(),
            credit: Gauge::default(),
            session_up: Gauge::default(),
            uncommitted: Gauge::default(),
            // 1 ms to 65 s.
            seconds: Histogram::new(exponential_buckets(0.001, 2.0, 17)),
            statuses: array::from_fn(|hundreds| counter(format!("{}xx", hundreds + 2))),
            errors: error_kinds()
                .map(|kind| counter(error_label(kind)))
                .collect(),
            not_started: counter("not_started".to_owned()),
        };
        registry.register(
            "posthorn_node_attempts",
            "Leases ended, by result",
            attempts,
        );
        metrics.register(registry);
        metrics
    }

    /// Counts a lease that ended.
    pub(crate) fn ended(&self, fact: &Fact, took: Duration) {
        match fact {
            Fact::Answer(answer) => {
                let hundreds = usize::try_from(answer.status_code / 100).unwrap_or(0);
                self.statuses[hundreds.clamp(2, 5) - 2].inc();
            }
            Fact::Error(kind) => {
                let number = usize::try_from(*kind).unwrap_or(0);
                let counter = self.errors.get(number).or(self.errors.first());
                counter.map(Counter::inc);
            }
            Fact::NotStarted(_) => {
                self.not_started.inc();
                return;
            }
        }
        self.seconds.observe(took.as_secs_f64());
    }

    fn register(&self, registry: &mut Registry) {
        registry.register(
            "posthorn_node_attempt_seconds",
            "How long attempts took",
            self.seconds.clone(),
        );
        registry.register(
            "posthorn_node_connections_opened",
            "Connections opened to endpoints",
            self.connections_opened.clone(),
        );
        registry.register(
            "posthorn_node_pool_hits",
            "Attempts over a kept connection",
            self.pool_hits.clone(),
        );
        for (name, help, gauge) in [
            ("in_flight", "Leases being worked on", &self.in_flight),
            (
                "credit",
                "Leases that the control plane may still send",
                &self.credit,
            ),
            (
                "session_up",
                "Whether the session with the control plane stands",
                &self.session_up,
            ),
            (
                "uncommitted",
                "Outcomes not committed yet",
                &self.uncommitted,
            ),
        ] {
            registry.register(format!("posthorn_node_{name}"), help, gauge.clone());
        }
    }
}

/// Every kind of the contract, by its number, which are all there from 0 on.
fn error_kinds() -> impl Iterator<Item = ErrorKind> {
    (0..).map_while(|number| ErrorKind::try_from(number).ok())
}

fn error_label(kind: ErrorKind) -> String {
    let name = kind.as_str_name();
    name.trim_start_matches("ERROR_KIND_").to_lowercase()
}
