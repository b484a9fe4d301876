//! How long to wait before the next session: exponential, from 50 ms to 2 s, with jitter; up to 30 s while the control plane
//! refuses the node's key. Pure.

use std::time::Duration;

use rand::{Rng, RngExt as _};

use super::Lost;

const FIRST: Duration = Duration::from_millis(50);
const MAX: Duration = Duration::from_secs(2);
/// The same while the key is refused, which no repeat mends.
const MAX_WHILE_REFUSED: Duration = Duration::from_secs(30);
/// A session that stood so long was a good one: the next waiting begins anew.
const GOOD_SESSION: Duration = Duration::from_secs(2);

/// Counts sessions that failed in a row.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// How long to wait after a session that stood for `stood`: between half of the step and all of it.
    pub(crate) fn after(&mut self, stood: Duration, reason: &Lost, rng: &mut impl Rng) -> Duration {
        if stood >= GOOD_SESSION {
            self.failures = 0;
        }
        let max = match reason {
            Lost::Refused(_) => MAX_WHILE_REFUSED,
            _ => MAX,
        };
        let step = FIRST.saturating_mul(2_u32.saturating_pow(self.failures));
        let step = step.min(max);
        self.failures += 1;
        step.mul_f64(rng.random_range(0.5..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng as _, rngs::SmallRng};

    use super::*;

    #[test]
    fn the_wait_doubles_up_to_its_maximum_and_begins_anew_after_a_good_session() {
        let mut rng = SmallRng::seed_from_u64(7);
        let mut backoff = Backoff::default();
        let mut check = |stood: Duration, step_ms: u64| {
            let wait = backoff.after(stood, &Lost::Closed, &mut rng);
            let step = Duration::from_millis(step_ms);
            assert!(step / 2 <= wait && wait <= step, "{wait:?} of {step:?}");
        };
        for step_ms in [50, 100, 200, 400, 800, 1_600, 2_000, 2_000] {
            check(Duration::ZERO, step_ms);
        }
        check(Duration::from_secs(3), 50);
        check(Duration::from_secs(1), 100);
    }

    #[test]
    fn b4_a_key_that_is_refused_is_shown_every_half_a_minute() {
        let mut rng = SmallRng::seed_from_u64(7);
        let mut backoff = Backoff::default();
        let refused = Lost::from(tonic::Status::unauthenticated("no such key"));
        let waits = (0..20).map(|_| backoff.after(Duration::ZERO, &refused, &mut rng));
        let last = waits.last().expect("there are some");
        assert!(last >= MAX_WHILE_REFUSED / 2, "{last:?}");
    }
}
