//! The one place of this crate that reads a clock or takes a source of randomness.
//!
//! Instants are milliseconds since 1970 as `i64`, named `*_at`. Callers read the clock once per request or tick and
//! pass the value down. Nothing here promises that the clock does not jump: what must not jump uses [`monotonic`].

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Milliseconds since 1970 by the wall clock.
#[expect(
    clippy::disallowed_methods,
    reason = "the one reader of the wall clock"
)]
pub(crate) fn now_ms() -> i64 {
    let elapsed = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
}

/// An instant that never goes back, for measuring and for deadlines.
#[expect(
    clippy::disallowed_methods,
    reason = "the one reader of the monotonic clock"
)]
pub(crate) fn monotonic() -> Instant {
    Instant::now()
}

/// The one source of randomness of this crate.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that takes the global source"
)]
pub(crate) fn rng() -> rand::rngs::ThreadRng {
    rand::rng()
}
