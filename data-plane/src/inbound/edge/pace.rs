//! How fast a body must come: all of it within a time, and at a least speed after its first 5 s. Pure.
//!
//! Only the time that the edge waited for the client counts, not the time that the client waited for the edge.

use std::time::Duration;

/// A body may be silent for so long, at once or in all, beside the time that its bytes take at the least speed.
const GRACE: Duration = Duration::from_secs(5);

/// The pace of one body.
#[derive(Debug)]
pub(super) struct Pace {
    whole: Duration,
    bytes_per_second: u64,
    bytes: u64,
    waited: Duration,
}

impl Pace {
    /// All of it within `whole`; no least speed if `bytes_per_second` is 0.
    pub(super) fn new(whole: Duration, bytes_per_second: u64) -> Self {
        Self {
            whole,
            bytes_per_second,
            bytes: 0,
            waited: Duration::ZERO,
        }
    }

    /// Notes that the edge waited so long, and so many bytes came.
    pub(super) fn came(&mut self, waited: Duration, bytes: usize) {
        self.waited += waited;
        self.bytes += bytes as u64;
    }

    /// How long the edge still waits for the next bytes.
    pub(super) fn left(&self) -> Duration {
        let paid = match self.bytes_per_second {
            0 => self.whole,
            speed => {
                let ms = self.bytes.saturating_mul(1_000) / speed;
                GRACE.saturating_add(Duration::from_millis(ms))
            }
        };
        paid.min(self.whole).saturating_sub(self.waited)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_is_what_the_bytes_so_far_paid_for_within_the_whole() {
        let ms = Duration::from_millis;
        for (waited_ms, bytes, left_ms) in [
            (0, 0, 5_000),
            (1_000, 0, 4_000),
            (5_000, 0, 0),
            (5_000, 512, 500),
            (5_000, 1_024, 1_000),
            (6_000, 5_120, 4_000),
            (7_000, 1_024, 0),
            (0, 1_024 * 1_024, 10_000),
            (9_999, 1_024 * 1_024, 1),
            (20_000, 1_024 * 1_024, 0),
        ] {
            let mut pace = Pace::new(ms(10_000), 1_024);
            pace.came(ms(waited_ms), bytes);
            assert_eq!(pace.left(), ms(left_ms), "{waited_ms} {bytes}");
        }
        assert_eq!(Pace::new(ms(300), 1_024).left(), ms(300));
        assert_eq!(Pace::new(ms(10_000), 0).left(), ms(10_000));
    }
}
