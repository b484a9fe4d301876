//! The limits of the edge, as its settings have them.

use std::time::Duration;

use super::config::EdgeConfig;

/// The most headers that any setting allows.
pub(crate) const FIELDS_MAX: usize = 256;

/// Everything that one connection and one request may do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) head: HeadLimits,
    pub(super) times: Times,
    /// The least speed of a body after its first 5 s.
    pub(super) body_bytes_per_second: u64,
    pub(super) requests_per_connection: u32,
}

/// What a head may be like.
#[derive(Debug, Clone, Copy)]
pub(super) struct HeadLimits {
    /// The longest head, in bytes.
    pub(super) bytes: usize,
    /// The most header fields.
    pub(super) fields: usize,
    /// The longest target, in bytes.
    pub(super) target_bytes: usize,
}

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// A head, from its first byte; and a new connection's silence.
    pub(super) head: Duration,
    /// A body, from the end of its head.
    pub(super) body: Duration,
    /// The silence between requests.
    pub(super) idle: Duration,
    /// The age at which a connection takes no more requests.
    pub(super) age: Duration,
}

impl Limits {
    /// Those of the settings.
    pub(super) fn new(config: &EdgeConfig) -> Self {
        Self {
            head: HeadLimits {
                bytes: config.head_bytes,
                fields: config.headers.min(FIELDS_MAX),
                target_bytes: config.target_bytes,
            },
            times: Times {
                head: config.head_timeout,
                body: config.body_timeout,
                idle: config.idle_timeout,
                age: config.connection_age,
            },
            body_bytes_per_second: config.body_bytes_per_second,
            requests_per_connection: config.requests_per_connection,
        }
    }
}
