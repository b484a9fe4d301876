//! Waiting for a condition that nothing announces.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, timeout};

const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Asks again and again until `condition` holds.
///
/// Panics, naming `what`, when it does not hold within `deadline`.
pub async fn eventually(what: &str, deadline: Duration, mut condition: impl AsyncFnMut() -> bool) {
    let polling = async {
        let mut ticks = interval(POLL_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if condition().await {
                return;
            }
        }
    };
    let holds = timeout(deadline, polling).await.is_ok();
    assert!(holds, "not within {deadline:?}: {what}");
}
