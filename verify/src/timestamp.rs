//! Signing times: how they are written and how old they may be.
//!
//! A time is looked at only after the signature over it was found right.

use std::time::UNIX_EPOCH;

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{Refusal, scheme::TimeUnit};

/// The most digits of seconds where milliseconds may stand too: until the year 5138, and from 1973 on.
const SECONDS_DIGITS_MAX: usize = 11;

/// How old and how far ahead a request may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tolerance {
    /// What the scheme says.
    #[default]
    Scheme,
    /// Anything: for providers that send an event again with its first time.
    Off,
    /// This many milliseconds in both directions.
    Millis(i64),
    /// What the scheme says, but at least this old in milliseconds: for what is genuine and late.
    Late(i64),
}

/// The limits of a time, in milliseconds; `None` when times are not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    /// The greatest age.
    pub past_ms: i64,
    /// How far ahead it may be.
    pub future_ms: i64,
}

impl Tolerance {
    /// The limits, where the scheme itself allows so many milliseconds in the past and in the future.
    pub(crate) fn window(self, past_ms: i64, future_ms: i64) -> Option<Window> {
        match self {
            Self::Scheme => Some(Window { past_ms, future_ms }),
            Self::Off => None,
            Self::Late(millis) => Some(Window {
                past_ms: past_ms.max(millis),
                future_ms,
            }),
            Self::Millis(millis) => Some(Window {
                past_ms: millis,
                future_ms: millis,
            }),
        }
    }
}

/// Whether a time is within its limits. A time exactly at a limit is.
pub(crate) fn check(window: Option<Window>, at_ms: i64, now_ms: i64) -> Result<(), Refusal> {
    let Some(window) = window else { return Ok(()) };
    let age_ms = now_ms.saturating_sub(at_ms);
    if age_ms > window.past_ms {
        Err(Refusal::Stale)
    } else if age_ms < window.future_ms.saturating_neg() {
        Err(Refusal::FromTheFuture)
    } else {
        Ok(())
    }
}

/// Reads a time, in milliseconds since 1970.
pub(crate) fn parse(unit: TimeUnit, text: &str) -> Result<i64, Refusal> {
    let millis = match unit {
        TimeUnit::S => digits(text).and_then(|seconds| seconds.checked_mul(1000)),
        TimeUnit::Ms => digits(text),
        TimeUnit::SOrMs if text.len() > SECONDS_DIGITS_MAX => digits(text),
        TimeUnit::SOrMs => parse(TimeUnit::S, text).ok(),
        TimeUnit::Rfc3339 => rfc3339(text),
        TimeUnit::HttpDate => http_date(text),
    };
    millis.ok_or(Refusal::MalformedTimestamp)
}

/// 1 to 19 digits and nothing else.
pub(crate) fn digits(text: &str) -> Option<i64> {
    let plain = (1..=19).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

fn http_date(text: &str) -> Option<i64> {
    let plain = text.len() == 29 && text.ends_with(" GMT");
    let time = plain
        .then(|| httpdate::parse_http_date(text).ok())
        .flatten()?;
    i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()
}

/// A date of RFC 3339 (<https://www.rfc-editor.org/rfc/rfc3339>) with a fraction of at most 9 digits. The zone may lack its
/// colon, or be left out, which is UTC. Leap seconds count as the millisecond before.
pub(crate) fn rfc3339(text: &str) -> Option<i64> {
    let (clock, rest) = text.split_at_checked(19)?;
    if !matches!(clock.as_bytes().get(10), Some(b'T' | b't')) {
        return None;
    }
    let fraction = rest.strip_prefix('.').map_or(0, |rest| {
        rest.bytes().take_while(u8::is_ascii_digit).count() + 1
    });
    let (fraction, zone) = rest.split_at_checked(fraction)?;
    if fraction.len() > 10 {
        return None;
    }
    let zone = match (zone.len(), zone.split_at_checked(3)) {
        // Orb writes no zone and means UTC.
        (0, _) => "Z".to_owned(),
        (5, Some((hours, minutes))) => format!("{hours}:{minutes}"),
        _ => zone.to_owned(),
    };
    let date = OffsetDateTime::parse(&format!("{clock}{fraction}{zone}"), &Rfc3339).ok()?;
    i64::try_from(date.unix_timestamp_nanos().div_euclid(1_000_000)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p4_digits_alone_are_a_time() {
        assert_eq!(parse(TimeUnit::S, "1700000000"), Ok(1_700_000_000_000));
        assert_eq!(parse(TimeUnit::Ms, "1700000000123"), Ok(1_700_000_000_123));
        assert_eq!(parse(TimeUnit::S, "0"), Ok(0));
        for either in ["1700000000", "1700000000000"] {
            assert_eq!(parse(TimeUnit::SOrMs, either), Ok(1_700_000_000_000));
        }
        for bad in [
            "",
            " 1",
            "1 ",
            "+1",
            "-1",
            "1e9",
            "1.0",
            "0x1",
            "١",
            "12345678901234567890",
            "99999999999999999",
            "text",
        ] {
            assert_eq!(
                parse(TimeUnit::S, bad),
                Err(Refusal::MalformedTimestamp),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn dates_are_read_in_the_two_usual_forms() {
        for (text, millis) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2026-01-02T03:04:05Z", 1_767_323_045_000),
            ("2026-01-02T03:04:05", 1_767_323_045_000),
            ("2026-01-02T03:04:05.678Z", 1_767_323_045_678),
            ("2026-01-02T03:04:05.678901234Z", 1_767_323_045_678),
            ("2026-01-02T03:04:05.6Z", 1_767_323_045_600),
            ("2026-01-02T04:04:05+01:00", 1_767_323_045_000),
            ("2026-01-01T19:04:05-0800", 1_767_323_045_000),
            ("2024-02-29T00:00:00Z", 1_709_164_800_000),
            ("2000-03-01T00:00:00Z", 951_868_800_000),
        ] {
            assert_eq!(parse(TimeUnit::Rfc3339, text), Ok(millis), "{text}");
        }
        for bad in [
            "",
            "2026-01-02",
            "2026-13-02T03:04:05Z",
            "2026-01-02T24:04:05Z",
            "2026-01-02 03:04:05Z",
            "2026-01-02T03:04:05.Z",
            "2026-01-02T03:04:05.1234567890Z",
            "2026-01-02T03:04:05+1:00",
            "2026-01-02T03:04:05ZZ",
            "2026-01-02T03:04:05€",
            "2026-01-0203:04:05Z€€€€",
        ] {
            assert_eq!(
                parse(TimeUnit::Rfc3339, bad),
                Err(Refusal::MalformedTimestamp),
                "{bad:?}"
            );
        }
        assert_eq!(
            parse(TimeUnit::HttpDate, "Fri, 02 Jan 2026 03:04:05 GMT"),
            Ok(1_767_323_045_000)
        );
        for bad in [
            "",
            "Fri, 02 Jan 2026 03:04:05",
            "now",
            "Friday, 02-Jan-26 03:04:05 GMT",
        ] {
            assert_eq!(
                parse(TimeUnit::HttpDate, bad),
                Err(Refusal::MalformedTimestamp),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn a_time_at_the_limit_is_taken_and_one_beyond_is_not() {
        let window = Tolerance::Scheme.window(300_000, 60_000);
        for (at, verdict) in [
            (0, Ok(())),
            (-300_000, Ok(())),
            (-300_001, Err(Refusal::Stale)),
            (60_000, Ok(())),
            (60_001, Err(Refusal::FromTheFuture)),
            (i64::MIN, Err(Refusal::Stale)),
            (i64::MAX, Err(Refusal::FromTheFuture)),
        ] {
            assert_eq!(check(window, at, 0), verdict, "{at}");
        }
        assert_eq!(check(Tolerance::Off.window(1, 1), i64::MIN, 0), Ok(()));
        let window = Tolerance::Millis(5).window(1, 1);
        assert_eq!(check(window, 6, 0), Err(Refusal::FromTheFuture));
        assert_eq!(check(window, 5, 0), Ok(()));
    }
}
