//! What the log says of connections to the control plane that cannot be made: each state once, and once a minute while it
//! lasts.

use std::{error::Error, time::Duration};

use posthorn_telemetry::with_causes;
use tokio::time::Instant;
use tracing::{debug, warn};

/// How long a state is not said again.
const PERIOD: Duration = Duration::from_mins(1);

/// What was said last.
#[derive(Debug)]
pub(crate) struct Losses {
    what: &'static str,
    said: Option<(String, Instant)>,
    unsaid: u64,
}

impl Losses {
    /// `what` is what there is none of.
    pub(crate) fn new(what: &'static str) -> Self {
        Self {
            what,
            said: None,
            unsaid: 0,
        }
    }

    /// There is one again.
    pub(crate) fn over(&mut self) {
        self.said = None;
        self.unsaid = 0;
    }

    /// There is none, and the next attempt is made after `wait`.
    pub(crate) fn tell(&mut self, reason: &(dyn Error + 'static), wait: Duration, now: Instant) {
        let (what, reason, wait_ms) = (self.what, with_causes(reason), wait.as_millis());
        let Some(unsaid) = self.says(&reason, now) else {
            debug!(error = reason, wait_ms, "no {what}: {reason}");
            return;
        };
        warn!(
            error = reason,
            wait_ms, unsaid, "no {what}: {reason}; said again when that changes, or in a minute"
        );
    }

    /// How often it was not said since the last time, if it is to be said now.
    fn says(&mut self, reason: &str, now: Instant) -> Option<u64> {
        let is_known = self
            .said
            .as_ref()
            .is_some_and(|(said, at)| said == reason && now < *at + PERIOD);
        if is_known {
            self.unsaid += 1;
            return None;
        }
        self.said = Some((reason.to_owned(), now));
        Some(std::mem::take(&mut self.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn b4_a_state_is_said_once_and_once_a_minute_while_it_lasts() {
        let (mut losses, begin) = (Losses::new("session"), clock::now());
        let at = |seconds| begin + Duration::from_secs(seconds);
        let said = [
            ("a", 0),
            ("a", 1),
            ("b", 2),
            ("a", 3),
            ("a", 4),
            ("a", 62),
            ("a", 63),
        ];
        let said = said.map(|(reason, seconds)| losses.says(reason, at(seconds)));
        assert_eq!(said, [Some(0), None, Some(1), Some(0), None, None, Some(2)]);
        losses.over();
        assert_eq!(losses.says("a", at(64)), Some(0));
    }
}
