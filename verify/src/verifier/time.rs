//! Where a scheme's signing time is, and how old it may be.

use crate::{
    Refusal, SchemeError, Tolerance,
    reference::Reference,
    scheme::{BodyForm, TimeUnit, TimestampRule},
    timestamp::{self, Window},
    values::Values,
};

/// The longest tolerance that a scheme may have, in seconds: 31 days.
const TOLERANCE_S_MAX: u32 = 31 * 86_400;

/// Where the time is and how old it may be.
#[derive(Debug, Clone)]
pub(super) struct TimePlan {
    /// Where it is: the first of these that is there.
    pub(super) at: Vec<Reference>,
    /// How it is written.
    pub(super) unit: TimeUnit,
    /// How old and how far ahead it may be.
    pub(super) window: Option<Window>,
    optional: bool,
}

impl TimePlan {
    /// Checks a rule.
    pub(super) fn compile(
        rule: &TimestampRule,
        body: BodyForm,
        tolerance: Tolerance,
    ) -> Result<Self, SchemeError> {
        let at = rule.at.0.iter().map(|text| Reference::parse(text));
        let at = at.collect::<Option<Vec<_>>>();
        let at = at.ok_or_else(|| SchemeError::new("ts.at", "is no reference"))?;
        // Of others it could not be known which one the signature is over.
        let is_either = matches!(
            &at[..],
            [_] | [Reference::Json(_), Reference::Form(_)] if at.len() == 1 || body == BodyForm::JsonOrForm
        );
        if !is_either {
            return Err(SchemeError::new(
                "ts.at",
                "must be one, or one of JSON and one of a form where the body is either",
            ));
        }
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
        let is_later = |at: &Reference| matches!(at, Reference::Sig(_) | Reference::Claim(_));
        if self.optional || self.at.iter().any(is_later) {
            return Ok(());
        }
        self.read(values)?
            .map(drop)
            .ok_or(Refusal::MissingTimestamp)
    }

    /// Whether the time is within its limits.
    pub(super) fn check(&self, values: &Values<'_>, now_ms: i64) -> Result<(), Refusal> {
        match self.read(values)? {
            None if self.optional => Ok(()),
            None => Err(Refusal::MissingTimestamp),
            Some(text) => {
                timestamp::check(self.window, timestamp::parse(self.unit, &text)?, now_ms)
            }
        }
    }

    /// The time as it is written. None: it is not there.
    pub(super) fn read(&self, values: &Values<'_>) -> Result<Option<String>, Refusal> {
        for at in &self.at {
            if let Some(text) = values.text(at)? {
                return Ok(Some(text));
            }
        }
        Ok(None)
    }
}
