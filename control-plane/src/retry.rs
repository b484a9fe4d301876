//! When a delivery is tried again: pure policy.
//!
//! [`RetryPolicy`] is the schedule, [`decide`] what follows from one attempt. Nothing here reads a clock or keeps
//! state; the caller passes what happened and a random source for the jitter.

use rand::{Rng, RngExt as _};
use serde::{Deserialize, Serialize};

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// The delays of the preset `default`, in milliseconds.
const DEFAULT_DELAYS_MS: [u64; 4] = [MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR];
/// The delays of the preset `long`, in milliseconds.
const LONG_DELAYS_MS: [u64; 9] = [
    5 * SECOND,
    5 * MINUTE,
    30 * MINUTE,
    2 * HOUR,
    5 * HOUR,
    10 * HOUR,
    14 * HOUR,
    20 * HOUR,
    24 * HOUR,
];
/// How far a delay is spread in either direction.
const JITTER: f64 = 0.2;
/// The longest wait that a `Retry-After` header can ask for, in milliseconds.
pub(crate) const RETRY_AFTER_MAX_MS: u64 = HOUR;

/// How many attempts any policy can make.
pub(crate) const ATTEMPTS_MAX: u32 = 100;
/// The longest delay of any policy, in milliseconds.
pub(crate) const DELAY_MAX_MS: u64 = 7 * 24 * HOUR;
/// The longest first delay of an exponential policy, in milliseconds.
pub(crate) const INITIAL_MAX_MS: u64 = 24 * HOUR;
/// The shortest first delay of an exponential policy, in milliseconds.
pub(crate) const INITIAL_MIN_MS: u64 = 100;

/// A schedule of attempts. The first is made at once; the policy holds the delays after it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RetryPolicy {
    /// 1 min, 5 min, 15 min, 1 h: 5 attempts.
    #[default]
    Default,
    /// 5 s to 24 h: 10 attempts.
    Long,
    /// Delays that grow by a factor.
    Exponential(Exponential),
    /// Delays in milliseconds, one by one.
    Explicit(Vec<u64>),
}

/// Delays that grow by a factor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Exponential {
    initial_ms: u64,
    factor: f64,
    max_ms: u64,
    attempts: u32,
}

/// A policy that is out of its limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PolicyError {
    /// The first delay.
    #[error("initial must be from 100 ms to 24 h")]
    Initial,
    /// The factor.
    #[error("factor must be from 1 to 10")]
    Factor,
    /// The longest delay.
    #[error("max must be from initial to 7 days")]
    Max,
    /// The number of attempts.
    #[error("attempts must be from 1 to 100")]
    Attempts,
    /// An explicit delay.
    #[error("delays must be at most 99 entries of 0 s to 7 days")]
    Delays,
}

impl RetryPolicy {
    /// Delays that start at `initial_ms` and grow by `factor` up to `max_ms`, for `attempts` attempts in all.
    pub(crate) fn exponential(
        initial_ms: u64,
        factor: f64,
        max_ms: u64,
        attempts: u32,
    ) -> Result<Self, PolicyError> {
        if !(INITIAL_MIN_MS..=INITIAL_MAX_MS).contains(&initial_ms) {
            return Err(PolicyError::Initial);
        }
        if !(1.0..=10.0).contains(&factor) {
            return Err(PolicyError::Factor);
        }
        if !(initial_ms..=DELAY_MAX_MS).contains(&max_ms) {
            return Err(PolicyError::Max);
        }
        if !(1..=ATTEMPTS_MAX).contains(&attempts) {
            return Err(PolicyError::Attempts);
        }
        Ok(Self::Exponential(Exponential {
            initial_ms,
            factor,
            max_ms,
            attempts,
        }))
    }

    /// The delays before the second attempt, the third, and so on.
    pub(crate) fn explicit(delays_ms: Vec<u64>) -> Result<Self, PolicyError> {
        let too_many = delays_ms.len() >= ATTEMPTS_MAX as usize;
        if too_many || delays_ms.iter().any(|delay| *delay > DELAY_MAX_MS) {
            return Err(PolicyError::Delays);
        }
        Ok(Self::Explicit(delays_ms))
    }

    /// The delay after `made` attempts, without jitter. None: that was the last.
    pub(crate) fn delay_ms(&self, made: u32) -> Option<u64> {
        let index = made.checked_sub(1)? as usize;
        match self {
            Self::Default => DEFAULT_DELAYS_MS.get(index).copied(),
            Self::Long => LONG_DELAYS_MS.get(index).copied(),
            Self::Exponential(exponential) => exponential.delay_ms(made),
            Self::Explicit(delays_ms) => delays_ms.get(index).copied(),
        }
    }

    /// The values of an exponential policy: initial and longest delay in milliseconds, factor, attempts.
    pub(crate) fn as_exponential(&self) -> Option<(u64, u64, f64, u32)> {
        match self {
            Self::Exponential(e) => Some((e.initial_ms, e.max_ms, e.factor, e.attempts)),
            _ => None,
        }
    }
}

impl Exponential {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "delays are at most 7 days in milliseconds, far inside the integers of a double"
    )]
    fn delay_ms(&self, made: u32) -> Option<u64> {
        if made >= self.attempts {
            return None;
        }
        let exponent = i32::try_from(made - 1).unwrap_or(i32::MAX);
        let delay = self.initial_ms as f64 * self.factor.powi(exponent);
        Some(delay.min(self.max_ms as f64) as u64)
    }
}

/// What happened in one attempt, as far as the schedule cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fact {
    /// The endpoint answered with this status.
    Status {
        /// The status code.
        code: u16,
        /// What its `Retry-After` header asked for, in milliseconds.
        retry_after_ms: Option<u64>,
    },
    /// There was no answer, or a handler failed.
    NoAnswer,
    /// A handler did its work.
    Handled,
    /// A handler failed, and says that it always will.
    Refused,
}

/// What follows from an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// The delivery is done.
    Delivered,
    /// Another attempt follows after this many milliseconds.
    RetryIn(u64),
    /// Every attempt of the schedule failed.
    Exhausted,
    /// A retry cannot mend this.
    Rejected,
    /// The endpoint is gone and must be disabled.
    Gone,
}

/// Decides what follows from an attempt, the `made`th of its schedule.
pub(crate) fn decide(policy: &RetryPolicy, made: u32, fact: Fact, rng: &mut impl Rng) -> Decision {
    let retry_after_ms = match fact {
        Fact::Status {
            code: 200..=299, ..
        }
        | Fact::Handled => return Decision::Delivered,
        Fact::Status { code: 410, .. } => return Decision::Gone,
        Fact::Status {
            code: 429 | 503,
            retry_after_ms,
        } => retry_after_ms,
        Fact::Status {
            code: 408 | 425, ..
        }
        | Fact::NoAnswer => None,
        Fact::Status {
            code: 400..=499, ..
        }
        | Fact::Refused => return Decision::Rejected,
        Fact::Status { .. } => None,
    };
    match policy.delay_ms(made) {
        Some(delay_ms) => {
            let asked_ms = retry_after_ms.unwrap_or(0).min(RETRY_AFTER_MAX_MS);
            Decision::RetryIn(jittered(delay_ms, rng).max(asked_ms))
        }
        None => Decision::Exhausted,
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "delays are at most 7 days in milliseconds, far inside the integers of a double"
)]
fn jittered(delay_ms: u64, rng: &mut impl Rng) -> u64 {
    (delay_ms as f64 * rng.random_range(1.0 - JITTER..=1.0 + JITTER)) as u64
}

/// Reads a `Retry-After` header: seconds, or an HTTP date (RFC 9110 section 10.2.3). What is neither is none.
pub(crate) fn parse_retry_after(value: &str, now_ms: i64) -> Option<u64> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        let seconds = value.parse::<u64>().unwrap_or(u64::MAX);
        return Some(seconds.saturating_mul(SECOND).min(RETRY_AFTER_MAX_MS));
    }
    let at = httpdate::parse_http_date(value).ok()?;
    let at_ms = at.duration_since(std::time::UNIX_EPOCH).ok()?.as_millis();
    let wait_ms = i64::try_from(at_ms).ok()?.checked_sub(now_ms)?;
    Some(u64::try_from(wait_ms).unwrap_or(0).min(RETRY_AFTER_MAX_MS))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    fn schedule(policy: &RetryPolicy) -> Vec<u64> {
        (1..).map_while(|made| policy.delay_ms(made)).collect()
    }

    fn status(code: u16) -> Fact {
        Fact::Status {
            code,
            retry_after_ms: None,
        }
    }

    #[test]
    fn each_policy_has_its_schedule() {
        let exponential = RetryPolicy::exponential(1_000, 2.0, 5_000, 6).unwrap();
        let explicit = RetryPolicy::explicit(vec![0, 7]).unwrap();
        for (policy, delays) in [
            (RetryPolicy::Default, DEFAULT_DELAYS_MS.to_vec()),
            (RetryPolicy::Long, LONG_DELAYS_MS.to_vec()),
            (exponential, vec![1_000, 2_000, 4_000, 5_000, 5_000]),
            (explicit, vec![0, 7]),
            (RetryPolicy::explicit(vec![]).unwrap(), vec![]),
        ] {
            assert_eq!(schedule(&policy), delays, "{policy:?}");
        }
    }

    #[test]
    fn a_policy_out_of_its_limits_is_refused() {
        for (initial, factor, max, attempts, error) in [
            (99, 2.0, 1_000, 5, PolicyError::Initial),
            (
                INITIAL_MAX_MS + 1,
                2.0,
                DELAY_MAX_MS,
                5,
                PolicyError::Initial,
            ),
            (1_000, 0.5, 1_000, 5, PolicyError::Factor),
            (1_000, f64::NAN, 1_000, 5, PolicyError::Factor),
            (1_000, -1.0, 1_000, 5, PolicyError::Factor),
            (1_000, 2.0, 999, 5, PolicyError::Max),
            (1_000, 2.0, DELAY_MAX_MS + 1, 5, PolicyError::Max),
            (1_000, 2.0, 1_000, 0, PolicyError::Attempts),
            (1_000, 2.0, 1_000, 101, PolicyError::Attempts),
        ] {
            assert_eq!(
                RetryPolicy::exponential(initial, factor, max, attempts),
                Err(error)
            );
        }
        assert_eq!(
            RetryPolicy::explicit(vec![0; 100]),
            Err(PolicyError::Delays)
        );
        assert_eq!(
            RetryPolicy::explicit(vec![DELAY_MAX_MS + 1]),
            Err(PolicyError::Delays)
        );
    }

    #[test]
    fn each_answer_has_its_consequence() {
        let once = RetryPolicy::explicit(vec![0]).unwrap();
        let mut rng = StdRng::seed_from_u64(1);
        for (facts, decision) in [
            (vec![200, 201, 204, 299], Decision::Delivered),
            (
                vec![400, 401, 403, 404, 405, 422, 451, 499],
                Decision::Rejected,
            ),
            (vec![410], Decision::Gone),
            (
                vec![
                    100, 301, 302, 307, 308, 408, 425, 429, 500, 502, 503, 504, 599,
                ],
                Decision::RetryIn(0),
            ),
        ] {
            for code in facts {
                assert_eq!(decide(&once, 1, status(code), &mut rng), decision, "{code}");
            }
        }
        assert_eq!(
            decide(&once, 1, Fact::NoAnswer, &mut rng),
            Decision::RetryIn(0)
        );
        assert_eq!(
            decide(&once, 2, Fact::NoAnswer, &mut rng),
            Decision::Exhausted
        );
        assert_eq!(decide(&once, 2, status(500), &mut rng), Decision::Exhausted);
        assert_eq!(decide(&once, 2, status(204), &mut rng), Decision::Delivered);
    }

    #[test]
    fn retry_after_lengthens_the_delay_of_429_and_503_up_to_an_hour() {
        let policy = RetryPolicy::explicit(vec![0]).unwrap();
        let mut rng = StdRng::seed_from_u64(1);
        for (code, asked, wait) in [
            (429, 30_000, 30_000),
            (503, 30_000, 30_000),
            (503, 10 * HOUR, HOUR),
            (500, 30_000, 0),
        ] {
            let fact = Fact::Status {
                code,
                retry_after_ms: Some(asked),
            };
            assert_eq!(decide(&policy, 1, fact, &mut rng), Decision::RetryIn(wait));
        }
    }

    #[test]
    fn a_retry_after_header_is_seconds_or_a_date_or_nothing() {
        let now_ms = 784_111_777_000; // Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110.
        for (value, wait_ms) in [
            ("120", Some(120_000)),
            (" 5 ", Some(5_000)),
            ("0", Some(0)),
            ("999999999999999999999999", Some(HOUR)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60_000)),
            ("Sun, 06 Nov 1994 08:48:37 GMT", Some(0)),
            ("Sat, 06 Nov 2004 08:48:37 GMT", Some(HOUR)),
            ("-5", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(parse_retry_after(value, now_ms), wait_ms, "{value:?}");
        }
    }

    proptest! {
        #[test]
        fn a_delay_stays_within_its_jitter(delay in 0..DELAY_MAX_MS, seed: u64) {
            let policy = RetryPolicy::explicit(vec![delay]).unwrap();
            let mut rng = StdRng::seed_from_u64(seed);
            let Decision::RetryIn(wait) = decide(&policy, 1, Fact::NoAnswer, &mut rng) else {
                return Err(TestCaseError::fail("no retry"));
            };
            prop_assert!(wait * 10 + 10 >= delay * 8 && wait * 10 <= delay * 12);
        }

        #[test]
        fn no_schedule_is_endless(initial in INITIAL_MIN_MS..INITIAL_MAX_MS, factor in 1.0..10.0, attempts in 1..=ATTEMPTS_MAX) {
            let policy = RetryPolicy::exponential(initial, factor, DELAY_MAX_MS, attempts).unwrap();
            let delays = schedule(&policy);
            prop_assert_eq!(delays.len(), attempts as usize - 1);
            prop_assert!(delays.is_sorted());
        }
    }
}
