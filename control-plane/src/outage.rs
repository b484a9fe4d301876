//! What the log says while the database is away or full: the cause, but not for each of the hundreds of calls and repeats
//! that meet it.

use std::time::Duration;

use posthorn_telemetry::with_causes;
use tokio::time::Instant;

use crate::{clock, lock::Leaf, store};

/// How often the cause is said.
const PERIOD: Duration = Duration::from_secs(10);

/// The log is the process's, and so is this.
static OUTAGE: Seldom = Seldom(Leaf::new(None));

/// Logs that something failed. Of errors that pass by themselves one line in ten seconds, the others all.
pub(crate) fn log(error: &store::Error, what: &'static str) {
    let store::Error::Unavailable(cause) = error else {
        tracing::error!(error = ?error, "{what}");
        return;
    };
    if let Some(unsaid) = OUTAGE.say(clock::monotonic()) {
        let (words, cause) = (error.words(), with_causes(cause));
        tracing::warn!(
            error = cause,
            unsaid,
            "{what}, because of the database: {words}; {unsaid} more such failures were not logged"
        );
    }
}

/// Something that is said at most once in a period: when it was, and how often it was not since.
struct Seldom(Leaf<Option<(Instant, u64)>>);

impl Seldom {
    /// How often it was not said since the last time, if it is to be said at `now`.
    fn say(&self, now: Instant) -> Option<u64> {
        let mut last = self.0.lock();
        match &mut *last {
            Some((at, unsaid)) if now < *at + PERIOD => {
                *unsaid += 1;
                None
            }
            last => {
                let unsaid = last.map_or(0, |(_, unsaid)| unsaid);
                *last = Some((now, 0));
                Some(unsaid)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_that_goes_on_is_said_once_in_a_period_with_how_often_it_was_not() {
        let (seldom, begin) = (Seldom(Leaf::new(None)), clock::monotonic());
        let said =
            [0, 1, 9, 10, 11, 35].map(|seconds| seldom.say(begin + Duration::from_secs(seconds)));
        assert_eq!(said, [Some(0), None, None, Some(2), None, Some(1)]);
    }
}
