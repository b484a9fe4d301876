//! How much gRPC takes on: connections, bytes, calls. Each is refused by name and counted in `posthorn_grpc_refused_total`.
//!
//! What each limit means in memory is in docs/limits.md.

use std::time::Duration;

use clap::Args;

use super::value::{parse_at_least_1, parse_time};

/// The limits of gRPC.
#[derive(Debug, Clone, Args)]
pub struct Limits {
    /// How many connections of callers, nodes and strangers there may be at one time
    #[arg(
        id = "grpc-connections",
        long = "grpc-connections",
        value_name = "N",
        default_value = "4096",
        hide_short_help = true,
        value_parser = parse_at_least_1
    )]
    pub connections: usize,

    /// How many of them may be strangers: connections that have shown no API key yet. When there are more, the oldest of
    /// the address that has the most goes
    #[arg(
        long = "grpc-strangers",
        value_name = "N",
        default_value = "1024",
        hide_short_help = true,
        value_parser = parse_at_least_1
    )]
    pub strangers: usize,

    /// How many strangers one address, or one IPv6 network of 64 bits, may have that are older than a second
    #[arg(
        long = "grpc-strangers-per-address",
        value_name = "N",
        default_value = "64",
        hide_short_help = true,
        value_parser = parse_at_least_1
    )]
    pub strangers_per_address: usize,

    /// How many connections are kept free for nodes, out of those that strangers cannot take
    #[arg(
        long = "grpc-node-connections",
        value_name = "N",
        default_value = "256",
        hide_short_help = true,
        value_parser = parse_at_least_1
    )]
    pub node_connections: usize,

    /// How long TLS and the beginning of HTTP/2 may take together, in seconds
    #[arg(
        long = "grpc-greeting-timeout",
        value_name = "SECONDS",
        default_value = "5",
        hide_short_help = true,
        value_parser = parse_time
    )]
    pub greeting_timeout: Duration,

    /// How long a new connection may make no call, in seconds
    #[arg(
        long = "grpc-first-call-timeout",
        value_name = "SECONDS",
        default_value = "10",
        hide_short_help = true,
        value_parser = parse_time
    )]
    pub first_call_timeout: Duration,

    /// How long a stranger may be without a call, in seconds
    #[arg(
        long = "grpc-stranger-idle-timeout",
        value_name = "SECONDS",
        default_value = "30",
        hide_short_help = true,
        value_parser = parse_time
    )]
    pub stranger_idle_timeout: Duration,

    /// How long a connection that has shown an API key may be without a call, in seconds
    #[arg(
        id = "grpc-idle-timeout",
        long = "grpc-idle-timeout",
        value_name = "SECONDS",
        default_value = "300",
        hide_short_help = true,
        value_parser = parse_time
    )]
    pub idle_timeout: Duration,

    /// How old a stranger gets, in seconds; its calls have 30 s more
    #[arg(
        long = "grpc-stranger-age",
        value_name = "SECONDS",
        default_value = "600",
        hide_short_help = true,
        value_parser = parse_time
    )]
    pub stranger_age: Duration,

    /// How old a connection gets before it takes no more calls, in seconds; those under way go on
    #[arg(
        id = "grpc-connection-age",
        long = "grpc-connection-age",
        value_name = "SECONDS",
        default_value = "3600",
        hide_short_help = true,
        value_parser = parse_time
    )]
    pub connection_age: Duration,

    /// How long the first message of a call (but of a node's Forward), and each message that has begun, may take to arrive, in seconds
    #[arg(
        long = "grpc-message-timeout",
        value_name = "SECONDS",
        default_value = "10",
        hide_short_help = true,
        value_parser = parse_time
    )]
    pub message_timeout: Duration,

    /// How many bytes of messages of callers may be in memory at one time
    #[arg(
        long = "grpc-bytes",
        value_name = "BYTES",
        default_value = "268435456",
        hide_short_help = true,
        value_parser = parse_at_least_1
    )]
    pub bytes: usize,

    /// How many bytes of messages of nodes may be in memory at one time
    #[arg(
        long = "grpc-node-bytes",
        value_name = "BYTES",
        default_value = "268435456",
        hide_short_help = true,
        value_parser = parse_at_least_1
    )]
    pub node_bytes: usize,

    /// How many bytes of messages one connection may have in memory
    #[arg(
        long = "grpc-bytes-per-connection",
        value_name = "BYTES",
        default_value = "67108864",
        hide_short_help = true,
        value_parser = parse_at_least_1
    )]
    pub bytes_per_connection: usize,

    /// How many bytes of messages the connections of one API key may have in memory
    #[arg(
        id = "grpc-bytes-per-key",
        long = "grpc-bytes-per-key",
        value_name = "BYTES",
        default_value = "67108864",
        hide_short_help = true,
        value_parser = parse_at_least_1
    )]
    pub bytes_per_key: usize,

    /// How many bytes of events the emits of one tenant's keys may have in memory
    #[arg(
        long = "grpc-emit-bytes-per-tenant",
        value_name = "BYTES",
        default_value = "67108864",
        hide_short_help = true,
        value_parser = parse_at_least_1
    )]
    pub emit_bytes_per_tenant: usize,

    /// How many plain calls there may be under way at one time
    #[arg(
        long = "grpc-calls",
        value_name = "N",
        default_value = "8192",
        hide_short_help = true,
        value_parser = parse_at_least_1
    )]
    pub calls: usize,

    /// How many streams of callers there may be at one time
    #[arg(
        long = "grpc-streams",
        value_name = "N",
        default_value = "1024",
        hide_short_help = true,
        value_parser = parse_at_least_1
    )]
    pub streams: usize,

    /// How many calls may wait for a place or for memory at one time
    #[arg(
        long = "grpc-waiting",
        value_name = "N",
        default_value = "256",
        hide_short_help = true,
        value_parser = parse_at_least_1
    )]
    pub waiting: usize,

    /// How many calls that read one object an API key may have under way. The keys of one tenant together have twice as many,
    /// here and below
    #[arg(
        long = "grpc-gets-per-key",
        value_name = "N",
        default_value = "64",
        hide_short_help = true,
        value_parser = parse_at_least_1
    )]
    pub gets_per_key: usize,

    /// How many lists, and payloads of inbound requests, an API key may read at one time
    #[arg(
        long = "grpc-scans-per-key",
        value_name = "N",
        default_value = "2",
        hide_short_help = true,
        value_parser = parse_at_least_1
    )]
    pub scans_per_key: usize,

    /// How many changes an API key may have under way
    #[arg(
        long = "grpc-changes-per-key",
        value_name = "N",
        default_value = "2",
        hide_short_help = true,
        value_parser = parse_at_least_1
    )]
    pub changes_per_key: usize,

    /// How many plain emits an API key may have under way
    #[arg(
        long = "grpc-emits-per-key",
        value_name = "N",
        default_value = "2048",
        hide_short_help = true,
        value_parser = parse_at_least_1
    )]
    pub emits_per_key: usize,

    /// How many streams of emits an API key may have
    #[arg(
        long = "grpc-emit-streams-per-key",
        value_name = "N",
        default_value = "32",
        hide_short_help = true,
        value_parser = parse_at_least_1
    )]
    pub emit_streams_per_key: usize,

    /// How many streams of consumers an API key may have
    #[arg(
        long = "grpc-consume-streams-per-key",
        value_name = "N",
        default_value = "256",
        hide_short_help = true,
        value_parser = parse_at_least_1
    )]
    pub consume_streams_per_key: usize,

    /// How many streams of nodes an API key may have: each node has two
    #[arg(
        long = "grpc-node-streams-per-key",
        value_name = "N",
        default_value = "128",
        hide_short_help = true,
        value_parser = parse_at_least_1
    )]
    pub node_streams_per_key: usize,
}

/// Limits that do not fit together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LimitsError {
    /// Nothing is left for callers.
    #[error(
        "--grpc-strangers and --grpc-node-connections together must be fewer than --grpc-connections, so that callers \
         have places"
    )]
    NoPlaces,
}

impl Limits {
    /// How many connections may have shown an API key.
    pub(crate) fn known_max(&self) -> usize {
        self.connections.saturating_sub(self.strangers)
    }

    /// Whether they fit together.
    pub(super) fn check(&self) -> Result<(), LimitsError> {
        let taken = self.strangers.saturating_add(self.node_connections);
        if taken < self.connections {
            Ok(())
        } else {
            Err(LimitsError::NoPlaces)
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        posthorn_telemetry::defaults()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_always_have_places() {
        let limits = |connections| Limits {
            connections,
            strangers: 10,
            node_connections: 5,
            ..Limits::default()
        };
        assert_eq!(Limits::default().check(), Ok(()));
        assert_eq!(limits(16).check(), Ok(()));
        assert_eq!(limits(15).check(), Err(LimitsError::NoPlaces));
        assert_eq!(limits(16).known_max(), 6);
    }
}
