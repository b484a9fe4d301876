//! The only place of the node that reads the clock. Everything else is given `now`.
//!
//! Node time is monotonic: it measures how long things take and is never compared with another machine's time.

use std::time::SystemTime;

use tokio::time::Instant;

/// The monotonic time.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the clock that others are told to ask"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Milliseconds since 1970, for the node's id and the date of answers only. 0 on a machine whose clock is before that.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the clock that others are told to ask"
)]
pub(crate) fn unix_ms() -> u64 {
    let elapsed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    elapsed.map_or(0, |elapsed| u64::try_from(elapsed.as_millis()).unwrap_or(0))
}
