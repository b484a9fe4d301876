//! Instants and durations.

use prost_types::{Duration, Timestamp};

use crate::error::Error;

/// 0001-01-01T00:00:00Z, the first second that a timestamp can have.
const SECONDS_MIN: i64 = -62_135_596_800;
/// 9999-12-31T23:59:59Z, the last.
const SECONDS_MAX: i64 = 253_402_300_799;
const NANOS_PER_MS: i32 = 1_000_000;

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
}
