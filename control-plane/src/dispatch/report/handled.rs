//! The reports of a consumer's stream: what a handler says of a handout, or that it said nothing in time.

use bytes::Bytes;
use posthorn::v1::ErrorKind;

use super::{Evidence, Made, Report, What};
use crate::{
    dispatch::proof::LeaseName,
    model::{delivery::AttemptOutcome, id::DeliveryId},
};

/// A handout whose end is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dispatch) struct HandledLease {
    /// The lease.
    pub lease_id: u64,
    /// Its delivery.
    pub delivery_id: DeliveryId,
    /// The number of the try.
    pub attempt: u32,
    /// For how long the handler had it, in milliseconds.
    pub duration_ms: u64,
}

/// How a handout ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::dispatch) enum Handled {
    /// The handler did this.
    Done(String),
    /// The handler failed like this.
    Failed(String),
    /// The handler failed like this, and always will.
    Refused(String),
    /// The handler said nothing for so long, in milliseconds.
    Silent(u64),
}

impl Report {
    /// The report of a handout's end, made at the moment that it ended.
    pub(in crate::dispatch) fn handled(lease: HandledLease, how: Handled) -> Self {
        let failed = AttemptOutcome::failed;
        let (outcome, evidence, text) = match how {
            Handled::Done(effect) => (AttemptOutcome::handled(), Evidence::Handled, effect),
            Handled::Failed(error) => {
                let outcome = failed(ErrorKind::HandlerFailed);
                (outcome, Evidence::NoAnswer, error)
            }
            Handled::Refused(error) => {
                let outcome = failed(ErrorKind::HandlerFailed);
                (outcome, Evidence::Refused, error)
            }
            Handled::Silent(after_ms) => {
                let text = format!("no word within {}", seconds(after_ms));
                (failed(ErrorKind::Timeout), Evidence::NoAnswer, text)
            }
        };
        let made = Made {
            outcome,
            evidence,
            excerpt: Bytes::from(text),
        };
        Self {
            lease: LeaseName {
                lease_id: lease.lease_id,
                delivery_id: lease.delivery_id,
                attempt: lease.attempt,
            },
            what: What::Attempted(made),
            duration_ms: u32::try_from(lease.duration_ms).unwrap_or(u32::MAX),
            age_ms: lease.duration_ms,
        }
    }
}

/// `30 s`, or `1.5 s`.
fn seconds(ms: u64) -> String {
    match ms % 1_000 {
        0 => format!("{} s", ms / 1_000),
        rest => {
            let fraction = format!("{rest:03}");
            format!("{}.{} s", ms / 1_000, fraction.trim_end_matches('0'))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn silence_is_told_in_seconds() {
        for (ms, text) in [(30_000, "30 s"), (1_500, "1.5 s"), (1_005, "1.005 s")] {
            assert_eq!(seconds(ms), text);
        }
    }
}
