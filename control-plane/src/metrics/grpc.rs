//! What gRPC takes on and what it refuses.

use posthorn_telemetry::{
    Registry,
    prometheus_client::{
        encoding::EncodeLabelSet,
        metrics::{counter::Counter, family::Family, gauge::Gauge},
    },
};

/// Why something was refused.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

/// Whose connections.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct State {
    state: &'static str,
}

/// Whose bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Holder {
    holder: &'static str,
}

/// The numbers of gRPC. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct GrpcMetrics {
    refused: Family<Reason, Counter>,
    connections: Family<State, Gauge>,
    bytes: Family<Holder, Gauge>,
    denied: Family<Reason, Counter>,
    denials_shed: Family<Reason, Counter>,
}

impl GrpcMetrics {
    /// Counts something that was refused.
    pub(crate) fn refuse(&self, reason: &'static str) {
        self.refused.get_or_create(&Reason { reason }).inc();
    }

    /// Counts a call that was not let through: `no_key`, `unknown_key`, `wrong_secret`, `key_ended`, `tenant_gone`, `no_role`,
    /// `no_such_call`, `actor`.
    pub(crate) fn deny(&self, reason: &'static str) {
        self.denied.get_or_create(&Reason { reason }).inc();
    }

    /// The connections of `stranger`, `caller` or `node`.
    pub(crate) fn connections(&self, state: &'static str) -> Gauge {
        self.connections.get_or_create_owned(&State { state })
    }

    /// The bytes of messages in memory, of `callers` or `nodes`.
    pub(crate) fn bytes(&self, holder: &'static str) -> Gauge {
        self.bytes.get_or_create_owned(&Holder { holder })
    }

    /// Counts denied calls that are not put on record: their `key` has too many, the `queue` is full, or the `database` did
    /// not take them.
    pub(crate) fn shed_denials(&self, reason: &'static str, count: u64) {
        self.denials_shed
            .get_or_create(&Reason { reason })
            .inc_by(count);
    }

    pub(super) fn register(&self, r: &mut Registry) {
        r.register(
            "grpc_refused",
            "Connections, calls and messages of gRPC that were refused or ended, by the limit that they were over",
            self.refused.clone(),
        );
        r.register(
            "grpc_connections",
            "Connections of gRPC: of strangers, callers and nodes",
            self.connections.clone(),
        );
        r.register(
            "grpc_message_bytes",
            "Bytes that messages of callers and nodes take in memory",
            self.bytes.clone(),
        );
        r.register(
            "calls_denied",
            "Calls of gRPC that were not let through, by why",
            self.denied.clone(),
        );
        r.register(
            "audit_denials_shed",
            "Denied calls that were not put on record, by why",
            self.denials_shed.clone(),
        );
    }
}
