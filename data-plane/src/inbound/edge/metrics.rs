//! What the edge counts. No label carries a source, a host or an address.

use std::{array, time::Duration};

use http::StatusCode;
use posthorn_telemetry::{
    Registry,
    prometheus_client::metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
};

use super::refusal::{REFUSALS, Refusal};

/// The edge's metrics.
pub(super) struct EdgeMetrics {
    /// Requests in flight.
    pub(super) requests: Gauge,
    /// Bytes of bodies in memory.
    pub(super) bytes: Gauge,
    /// Connections.
    pub(super) connections: Gauge,
    /// Connections closed at once because their address has as many as it may.
    pub(super) over_address: Counter,
    /// Connections whose TLS did not begin.
    pub(super) no_tls: Counter,
    /// Clients that went before their request was complete.
    pub(super) gone: Counter,
    seconds: Histogram,
    /// 2xx to 5xx, as the control plane answered.
    answers: [Counter; 4],
    refusals: [Counter; REFUSALS.len()],
}

impl EdgeMetrics {
    /// Metrics that the registry shows.
    pub(super) fn new(registry: &mut Registry) -> Self {
        let answers = Family::<[(&str, String); 1], Counter>::default();
        let refusals = Family::<[(&str, &str); 1], Counter>::default();
        let closed = Family::<[(&str, &str); 1], Counter>::default();
        let metrics = Self {
            requests: Gauge::default(),
            bytes: Gauge::default(),
            connections: Gauge::default(),
            over_address: closed.get_or_create_owned(&[("reason", "per_address")]),
            no_tls: closed.get_or_create_owned(&[("reason", "tls")]),
            gone: Counter::default(),
            // 0.5 ms to 16 s.
            seconds: Histogram::new(exponential_buckets(0.000_5, 2.0, 16)),
            answers: array::from_fn(|hundreds| {
                answers.get_or_create_owned(&[("status", format!("{}xx", hundreds + 2))])
            }),
            refusals: REFUSALS
                .map(|refusal| refusals.get_or_create_owned(&[("reason", refusal.label())])),
        };
        registry.register(
            "posthorn_edge_answers",
            "Requests that the control plane answered",
            answers,
        );
        registry.register(
            "posthorn_edge_refused",
            "Requests that the edge answered itself",
            refusals,
        );
        registry.register(
            "posthorn_edge_connections_closed",
            "Connections closed before a request",
            closed,
        );
        metrics.register(registry);
        metrics
    }

    /// Counts an answer of the control plane.
    pub(super) fn answered(&self, status: StatusCode, took: Duration) {
        let hundreds = usize::from(status.as_u16() / 100);
        self.answers[hundreds.clamp(2, 5) - 2].inc();
        self.seconds.observe(took.as_secs_f64());
    }

    /// Counts a refusal.
    pub(super) fn refused(&self, refusal: Refusal) {
        self.refusals[refusal as usize].inc();
    }

    fn register(&self, registry: &mut Registry) {
        registry.register(
            "posthorn_edge_answer_seconds",
            "From the end of the head to the control plane's answer",
            self.seconds.clone(),
        );
        registry.register(
            "posthorn_edge_gone",
            "Clients that went before their request was complete",
            self.gone.clone(),
        );
        for (name, help, gauge) in [
            ("requests", "Requests in flight", &self.requests),
            ("bytes", "Bytes of bodies in memory", &self.bytes),
            ("connections", "Connections", &self.connections),
        ] {
            registry.register(format!("posthorn_edge_{name}"), help, gauge.clone());
        }
    }
}
