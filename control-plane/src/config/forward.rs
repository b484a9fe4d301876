//! How much of what nodes forward is held at one time. The comments are the texts of `--help`.

use std::time::Duration;

use clap::Args;

use super::value::{parse_body_seconds, parse_forward_bytes};

/// How much of what nodes forward is held at one time, and for how long a body may be unfinished.
#[derive(Debug, Clone, Args)]
pub struct ForwardConfig {
    /// How many bytes of inbound requests are held for all nodes until they are answered: at least 33554432. What finds
    /// no room is answered 503
    #[arg(
        long = "forward-bytes-in-flight",
        value_name = "BYTES",
        default_value = "268435456",
        value_parser = parse_forward_bytes
    )]
    pub bytes_in_flight: usize,

    /// How many of them may be of nodes that share one key: at least 33554432
    #[arg(
        long = "forward-bytes-per-key",
        value_name = "BYTES",
        default_value = "134217728",
        value_parser = parse_forward_bytes
    )]
    pub bytes_per_key: usize,

    /// How long the body of an inbound request may take to come, from its first part to its last, in seconds: 1 to 300.
    /// Edges are told, and wait no longer for their clients
    #[arg(
        long = "forward-body-timeout",
        value_name = "SECONDS",
        default_value = "15",
        value_parser = parse_body_seconds
    )]
    pub body_timeout: Duration,
}

impl Default for ForwardConfig {
    fn default() -> Self {
        posthorn_telemetry::defaults()
    }
}
