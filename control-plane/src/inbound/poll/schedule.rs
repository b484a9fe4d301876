//! When a source is polled next. Pure.

use rand::{Rng, RngExt as _};

/// The longest time between two pulls of a source that fails, in milliseconds, unless its own interval is longer.
const BACKOFF_MAX_MS: i64 = 60 * 60 * 1_000;

/// The instant of the next pull: the interval, doubled with each failure in a row up to an hour, and moved by up to a
/// tenth of itself, so that sources do not fall into step.
pub(super) fn next_at(now_ms: i64, interval_ms: u32, failures: u32, rng: &mut impl Rng) -> i64 {
    let interval = i64::from(interval_ms);
    let backed_off = interval.saturating_mul(1 << failures.min(12));
    let wait = backed_off.clamp(interval, interval.max(BACKOFF_MAX_MS));
    let tenth = wait / 10;
    now_ms + wait + rng.random_range(-tenth..=tenth)
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng as _, rngs::StdRng};

    use super::*;

    #[test]
    fn the_next_pull_is_an_interval_away_give_or_take_a_tenth() {
        let mut rng = StdRng::seed_from_u64(1);
        for _ in 0..1_000 {
            let wait = next_at(0, 60_000, 0, &mut rng);
            assert!((54_000..=66_000).contains(&wait), "{wait}");
        }
    }

    #[test]
    fn failures_double_the_wait_up_to_an_hour() {
        let mut rng = StdRng::seed_from_u64(1);
        for (failures, wait) in [
            (1, 120_000),
            (3, 480_000),
            (6, 3_600_000),
            (u32::MAX, 3_600_000),
        ] {
            let next = next_at(0, 60_000, failures, &mut rng);
            assert!((next - wait).abs() <= wait / 10, "{failures}: {next}");
        }
    }

    #[test]
    fn an_interval_of_a_day_is_never_shortened() {
        let mut rng = StdRng::seed_from_u64(1);
        let next = next_at(0, 86_400_000, 5, &mut rng);
        assert!(next >= 77_760_000, "{next}");
    }
}
