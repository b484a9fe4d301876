//! The one place of this crate that reads a clock.
//!
//! Instants are milliseconds since 1970 as `i64`, named `*_at`. Callers read the clock once per request or tick and
//! pass the value down. Nothing here promises that the clock does not jump: what must not jump uses [`monotonic`].

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::{sync::watch, time::Instant};

/// The wall clock that a plane lives by: the system's, which whoever runs the plane may move ahead. Cheap to clone, and
/// clones are moved together.
#[derive(Clone)]
pub struct Clock(Arc<watch::Sender<Duration>>);

impl Clock {
    /// The system's.
    pub fn system() -> Self {
        Self(Arc::new(watch::Sender::new(Duration::ZERO)))
    }

    /// Moves it ahead. Whoever sleeps by it has slept so much longer.
    pub fn advance(&self, by: Duration) {
        self.0.send_modify(|ahead| *ahead += by);
    }

    /// Milliseconds since 1970.
    pub(crate) fn now_ms(&self) -> i64 {
        let ahead_ms = i64::try_from(self.0.borrow().as_millis()).unwrap_or(i64::MAX);
        system_ms().saturating_add(ahead_ms)
    }

    /// Waits for so long by this clock.
    pub(crate) async fn sleep(&self, duration: Duration) {
        let mut moved = self.0.subscribe();
        let ahead = *moved.borrow_and_update();
        let began = monotonic();
        loop {
            let by = moved.borrow_and_update().saturating_sub(ahead);
            let slept = monotonic().duration_since(began) + by;
            let Some(rest) = duration.checked_sub(slept).filter(|rest| !rest.is_zero()) else {
                return;
            };
            // Whichever comes first; the sender is this clock's own.
            let _ = tokio::time::timeout(rest, moved.changed()).await;
        }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock(..)")
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one reader of the wall clock"
)]
fn system_ms() -> i64 {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_sleeps_wakes_when_the_clock_is_moved_past_the_end() {
        let clock = Clock::system();
        let before = clock.now_ms();
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move { clock.sleep(Duration::from_hours(2)).await }
        });
        tokio::task::yield_now().await;
        clock.advance(Duration::from_hours(1));
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        clock.advance(Duration::from_hours(1));
        sleeper.await.unwrap();
        assert!(clock.now_ms() - before >= 2 * 60 * 60 * 1_000);
    }
}
