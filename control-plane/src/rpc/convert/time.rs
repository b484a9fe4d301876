//! Instants and durations.

use prost_types::{Duration, Timestamp};

use crate::error::Error;

/// 0001-01-01T00:00:00Z, the first second that a timestamp can have.
const SECONDS_MIN: i64 = -62_135_596_800;
/// 9999-12-31T23:59:59Z, the last.
const SECONDS_MAX: i64 = 253_402_300_799;
const NANOS_PER_MS: i32 = 1_000_000;
const NANOS_PER_MICRO: i32 = 1_000;
const HOUR_MS: i64 = 60 * 60 * 1_000;
/// How long former secrets are used too when the caller does not say.
const OVERLAP_DEFAULT_MS: i64 = 24 * HOUR_MS;
/// How long they can be.
const OVERLAP_MAX_MS: i64 = 7 * 24 * HOUR_MS;

/// The contract's form of an instant.
pub(crate) fn timestamp(at_ms: i64) -> Timestamp {
    Timestamp {
        seconds: at_ms.div_euclid(1_000),
        nanos: i32::try_from(at_ms.rem_euclid(1_000)).unwrap_or(0) * NANOS_PER_MS,
    }
}

/// Reads an instant, in milliseconds; what is finer is cut.
pub(crate) fn instant_ms(field: &str, value: &Timestamp) -> Result<i64, Error> {
    let is_second = (SECONDS_MIN..=SECONDS_MAX).contains(&value.seconds);
    if !is_second || !(0..1_000_000_000).contains(&value.nanos) {
        return Err(Error::invalid(
            field,
            "must be an instant of the years 1 to 9999",
        ));
    }
    Ok(value.seconds * 1_000 + i64::from(value.nanos / NANOS_PER_MS))
}

/// The contract's form of a duration.
pub(crate) fn duration_proto(ms: u64) -> Duration {
    Duration {
        seconds: i64::try_from(ms / 1_000).unwrap_or(i64::MAX),
        nanos: i32::try_from(ms % 1_000).unwrap_or(0) * NANOS_PER_MS,
    }
}

/// The same of one in microseconds.
pub(crate) fn micros_proto(micros: u64) -> Duration {
    Duration {
        seconds: i64::try_from(micros / 1_000_000).unwrap_or(i64::MAX),
        nanos: i32::try_from(micros % 1_000_000).unwrap_or(0) * NANOS_PER_MICRO,
    }
}

/// Reads a duration that is not negative, in milliseconds; what is finer is cut.
pub(crate) fn duration_ms(field: &str, value: &Duration) -> Result<u64, Error> {
    let refused = || Error::invalid(field, "must be a duration that is not negative");
    if !(0..1_000_000_000).contains(&value.nanos) {
        return Err(refused());
    }
    let seconds = u64::try_from(value.seconds).map_err(|_| refused())?;
    let ms = u64::try_from(value.nanos / NANOS_PER_MS).map_err(|_| refused())?;
    Ok(seconds.saturating_mul(1_000).saturating_add(ms))
}

/// Reads for how long former secrets are used beside a new one, in milliseconds.
pub(crate) fn overlap_ms(overlap: Option<&Duration>) -> Result<i64, Error> {
    let Some(overlap) = overlap else {
        return Ok(OVERLAP_DEFAULT_MS);
    };
    let refused = || Error::invalid("overlap", "must be from 0 s to 7 days");
    let ms = duration_ms("overlap", overlap).map_err(|_| refused())?;
    let ms = i64::try_from(ms).map_err(|_| refused())?;
    if ms > OVERLAP_MAX_MS {
        Err(refused())
    } else {
        Ok(ms)
    }
}

/// Reads a duration within limits, in milliseconds; `rule` is what an error says of them.
pub(crate) fn duration_within(
    field: &str,
    value: &Duration,
    limits_ms: std::ops::RangeInclusive<u32>,
    rule: &str,
) -> Result<u32, Error> {
    let ms = duration_ms(field, value)
        .ok()
        .and_then(|ms| u32::try_from(ms).ok());
    ms.filter(|ms| limits_ms.contains(ms))
        .ok_or_else(|| Error::invalid(field, rule))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_survives_the_way_there_and_back() {
        for at_ms in [0, 1, 999, 1_000, 1_764_000_000_123, -1, -1_001] {
            assert_eq!(instant_ms("at", &timestamp(at_ms)).unwrap(), at_ms);
        }
    }

    #[test]
    fn an_instant_out_of_range_is_refused() {
        for (seconds, nanos) in [
            (SECONDS_MIN - 1, 0),
            (SECONDS_MAX + 1, 0),
            (i64::MAX, 0),
            (i64::MIN, 0),
            (0, -1),
            (0, 1_000_000_000),
        ] {
            assert!(
                instant_ms("at", &Timestamp { seconds, nanos }).is_err(),
                "{seconds} {nanos}"
            );
        }
    }

    #[test]
    fn a_duration_survives_and_is_not_negative() {
        for ms in [0, 1, 1_500, 604_800_000] {
            assert_eq!(duration_ms("d", &duration_proto(ms)).unwrap(), ms);
        }
        for (seconds, nanos) in [(-1, 0), (0, -1), (1, 1_000_000_000), (i64::MIN, i32::MIN)] {
            assert!(
                duration_ms("d", &Duration { seconds, nanos }).is_err(),
                "{seconds} {nanos}"
            );
        }
        let longest = Duration {
            seconds: i64::MAX,
            nanos: 0,
        };
        assert_eq!(duration_ms("d", &longest).unwrap(), u64::MAX);
    }

    #[test]
    fn an_overlap_is_at_most_a_week() {
        let seconds = |seconds| Duration { seconds, nanos: 0 };
        assert_eq!(overlap_ms(None).unwrap(), OVERLAP_DEFAULT_MS);
        for (overlap, ms) in [
            (seconds(0), 0),
            (seconds(3_600), HOUR_MS),
            (seconds(604_800), OVERLAP_MAX_MS),
        ] {
            assert_eq!(overlap_ms(Some(&overlap)).unwrap(), ms);
        }
        for overlap in [
            seconds(-1),
            seconds(604_801),
            seconds(i64::MAX),
            Duration {
                seconds: 1,
                nanos: -1,
            },
        ] {
            assert!(overlap_ms(Some(&overlap)).is_err(), "{overlap:?}");
        }
    }
}
