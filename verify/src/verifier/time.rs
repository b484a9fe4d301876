//! Where a scheme's signing time is, and how old it may be.

use crate::{
    Refusal, SchemeError, Tolerance,
    reference::Reference,
    scheme::{TimeUnit, TimestampRule},
    timestamp::{self, Window},
    values::Values,
};

/// The longest tolerance that a scheme may have, in seconds: 31 days.
const TOLERANCE_S_MAX: u32 = 31 * 86_400;

/// Where the time is and how old it may be.
#[derive(Debug, Clone)]
pub(super) struct TimePlan {
    /// Where it is.
    pub(super) at: Reference,
    /// How it is written.
    pub(super) unit: TimeUnit,
    /// How old and how far ahead it may be.
    pub(super) window: Option<Window>,
    optional: bool,
}

impl TimePlan {
    /// Checks a rule.
    pub(super) fn compile(rule: &TimestampRule, tolerance: Tolerance) -> Result<Self, SchemeError> {
        let at = Reference::parse(&rule.at)
            .ok_or_else(|| SchemeError::new("ts.at", "is no reference"))?;
        let future_s = rule.future_s.unwrap_or(rule.tolerance_s);
        if rule.tolerance_s > TOLERANCE_S_MAX || future_s > TOLERANCE_S_MAX {
            return Err(SchemeError::new(
                "ts.tolerance_s",
                "must not be more than 31 days",
            ));
        }
        let millis = |seconds: u32| i64::from(seconds) * 1000;
        Ok(Self {
            at,
            unit: rule.unit,
            window: tolerance.window(millis(rule.tolerance_s), millis(future_s)),
            optional: rule.optional,
        })
    }

    /// Another entry of the signature header is not known yet, and then missing from the signed content.
    pub(super) fn must_be_there(&self, values: &Values<'_>) -> Result<(), Refusal> {
        if self.optional || matches!(self.at, Reference::Sig(_) | Reference::Claim(_)) {
            return Ok(());
        }
        values
            .get(&self.at)?
            .map(drop)
            .ok_or(Refusal::MissingTimestamp)
    }

    /// Whether the time is within its limits.
    pub(super) fn check(&self, values: &Values<'_>, now_ms: i64) -> Result<(), Refusal> {
        match values.text(&self.at)? {
            None if self.optional => Ok(()),
            None => Err(Refusal::MissingTimestamp),
            Some(text) => {
                timestamp::check(self.window, timestamp::parse(self.unit, &text)?, now_ms)
            }
        }
    }
}
