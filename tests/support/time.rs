//! Instants and durations as the contract has them.

use std::time::{Duration, SystemTime};

use prost_types::Timestamp;

/// An hour.
pub(crate) const HOUR: Duration = Duration::from_hours(1);
/// A day.
pub(crate) const DAY: Duration = Duration::from_hours(24);

/// Now, moved by so many seconds.
#[expect(
    clippy::disallowed_methods,
    reason = "the tests stand for callers, who have clocks"
)]
pub(crate) fn from_now(seconds: i64) -> Timestamp {
    let mut now = Timestamp::from(SystemTime::now());
    now.seconds += seconds;
    now
}

/// A duration of so many milliseconds.
pub(crate) fn millis(millis: u64) -> prost_types::Duration {
    Duration::from_millis(millis)
        .try_into()
        .expect("a small number fits")
}
