//! Retry policies.

use posthorn::v1::{self, RetryPreset, retry_policy::Schedule};

use super::{duration_ms, duration_proto};
use crate::{
    error::Error,
    retry::{PolicyError, RetryPolicy},
};

/// Reads a policy; `field` is its path in the request.
pub(crate) fn retry_policy(field: &str, policy: &v1::RetryPolicy) -> Result<RetryPolicy, Error> {
    match &policy.schedule {
        None => Err(Error::invalid(
            field,
            "must have one of `preset`, `exponential` and `explicit`",
        )),
        Some(Schedule::Preset(preset)) => match RetryPreset::try_from(*preset) {
            Ok(RetryPreset::Default) => Ok(RetryPolicy::Default),
            Ok(RetryPreset::Long) => Ok(RetryPolicy::Long),
            _ => Err(Error::invalid(
                format!("{field}.preset"),
                "must be a known preset",
            )),
        },
        Some(Schedule::Exponential(exponential)) => {
            read_exponential(&format!("{field}.exponential"), exponential)
        }
        Some(Schedule::Explicit(explicit)) => read_explicit(&format!("{field}.explicit"), explicit),
    }
}

/// The contract's form of a policy.
pub(crate) fn retry_policy_proto(policy: &RetryPolicy) -> v1::RetryPolicy {
    let preset = |preset: RetryPreset| Schedule::Preset(preset.into());
    let schedule = match policy {
        RetryPolicy::Default => preset(RetryPreset::Default),
        RetryPolicy::Long => preset(RetryPreset::Long),
        RetryPolicy::Explicit(delays_ms) => Schedule::Explicit(v1::ExplicitRetry {
            delays: delays_ms.iter().map(|ms| duration_proto(*ms)).collect(),
        }),
        RetryPolicy::Exponential(_) => exponential_proto(policy),
    };
    v1::RetryPolicy {
        schedule: Some(schedule),
    }
}

fn exponential_proto(policy: &RetryPolicy) -> Schedule {
    let (initial_ms, max_ms, factor, attempts) = policy.as_exponential().unwrap_or_default();
    Schedule::Exponential(v1::ExponentialRetry {
        initial: Some(duration_proto(initial_ms)),
        factor,
        max: Some(duration_proto(max_ms)),
        attempts,
    })
}

fn read_exponential(field: &str, value: &v1::ExponentialRetry) -> Result<RetryPolicy, Error> {
    let initial = value.initial.unwrap_or_default();
    let max = value.max.unwrap_or_default();
    let initial_ms = duration_ms(&format!("{field}.initial"), &initial)?;
    let max_ms = duration_ms(&format!("{field}.max"), &max)?;
    RetryPolicy::exponential(initial_ms, value.factor, max_ms, value.attempts)
        .map_err(|error| Error::invalid(format!("{field}.{}", field_of(error)), error.to_string()))
}

fn read_explicit(field: &str, value: &v1::ExplicitRetry) -> Result<RetryPolicy, Error> {
    let refused = |error: PolicyError| Error::invalid(format!("{field}.delays"), error.to_string());
    let delays = value
        .delays
        .iter()
        .take(crate::retry::ATTEMPTS_MAX as usize)
        .enumerate();
    let delays_ms = delays
        .map(|(index, delay)| duration_ms(&format!("{field}.delays[{index}]"), delay))
        .collect::<Result<Vec<_>, _>>()?;
    RetryPolicy::explicit(delays_ms).map_err(refused)
}

fn field_of(error: PolicyError) -> &'static str {
    match error {
        PolicyError::Initial => "initial",
        PolicyError::Factor => "factor",
        PolicyError::Max => "max",
        PolicyError::Attempts => "attempts",
        PolicyError::Delays => "delays",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preset(number: i32) -> v1::RetryPolicy {
        v1::RetryPolicy {
            schedule: Some(Schedule::Preset(number)),
        }
    }

    fn field_at_fault(policy: &v1::RetryPolicy) -> String {
        match retry_policy("p", policy) {
            Err(Error::Invalid(violations)) => violations[0].field.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_policy_survives_the_way_there_and_back() {
        for policy in [
            RetryPolicy::Default,
            RetryPolicy::Long,
            RetryPolicy::exponential(1_500, 2.5, 60_000, 7).unwrap(),
            RetryPolicy::explicit(vec![0, 1_500]).unwrap(),
            RetryPolicy::explicit(vec![]).unwrap(),
        ] {
            assert_eq!(
                retry_policy("p", &retry_policy_proto(&policy)).unwrap(),
                policy
            );
        }
    }

    #[test]
    fn a_policy_out_of_its_limits_names_the_field() {
        let exponential = |initial_ms, factor, attempts| v1::RetryPolicy {
            schedule: Some(Schedule::Exponential(v1::ExponentialRetry {
                initial: Some(duration_proto(initial_ms)),
                factor,
                max: Some(duration_proto(60_000)),
                attempts,
            })),
        };
        let delays = |delays| v1::RetryPolicy {
            schedule: Some(Schedule::Explicit(v1::ExplicitRetry { delays })),
        };
        let negative = prost_types::Duration {
            seconds: -1,
            nanos: 0,
        };
        for (policy, field) in [
            (v1::RetryPolicy::default(), "p"),
            (preset(0), "p.preset"),
            (preset(99), "p.preset"),
            (exponential(0, 2.0, 5), "p.exponential.initial"),
            (exponential(1_000, 0.5, 5), "p.exponential.factor"),
            (exponential(1_000, f64::NAN, 5), "p.exponential.factor"),
            (exponential(61_000, 2.0, 5), "p.exponential.max"),
            (exponential(1_000, 2.0, 0), "p.exponential.attempts"),
            (exponential(1_000, 2.0, 101), "p.exponential.attempts"),
            (
                delays(vec![duration_proto(1), negative]),
                "p.explicit.delays[1]",
            ),
            (delays(vec![duration_proto(0); 5_000]), "p.explicit.delays"),
        ] {
            assert_eq!(field_at_fault(&policy), field);
        }
    }
}
