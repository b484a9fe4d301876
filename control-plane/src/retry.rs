//! When a delivery is tried again: pure policy.
//!
//! [`RetryPolicy`] is the schedule, [`decide`] what follows from one attempt. Nothing here reads a clock or keeps
//! state; the caller passes what happened and a random source for the jitter.

use rand::{Rng, RngExt as _};
use serde::{Deserialize, Serialize};

use crate::model::delivery::{AttemptResult, DeadReason, Decision};

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

/// Decides what follows from an attempt, the `made`th of its schedule.
pub(crate) fn decide(
    policy: &RetryPolicy,
    made: u32,
    result: &AttemptResult,
    now_ms: i64,
    rng: &mut impl Rng,
) -> Decision {
    let dead = |reason| Decision::Dead { reason, at: now_ms };
    let asked_ms = match result {
        AttemptResult::Handled => return Decision::Delivered,
        AttemptResult::Refused => return dead(DeadReason::Rejected),
        AttemptResult::Failed(_) => None,
        AttemptResult::Answered {
            status_code,
            retry_after,
        } => match status_code {
            200..=299 => return Decision::Delivered,
            410 => return dead(DeadReason::Gone),
            429 | 503 => parse_retry_after(retry_after, now_ms),
            408 | 425 => None,
            400..=499 => return dead(DeadReason::Rejected),
            _ => None,
        },
    };
    match policy.delay_ms(made) {
        Some(delay_ms) => {
            let asked_ms = asked_ms.unwrap_or(0).min(RETRY_AFTER_MAX_MS);
            let wait_ms = jittered(delay_ms, rng).max(asked_ms);
            Decision::RetryAt(now_ms.saturating_add_unsigned(wait_ms))
        }
        None => dead(DeadReason::AttemptsExhausted),
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
fn parse_retry_after(value: &str, now_ms: i64) -> Option<u64> {
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
mod tests;
