//! Signing times: how they are written and how old they may be.
//!
//! A time is looked at only after the signature over it was found right.

use std::time::UNIX_EPOCH;

use crate::{Refusal, scheme::TimeUnit};

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

/// `2026-01-02T03:04:05`, a fraction of 1 to 9 digits if any, and `Z`, `+01:00` or nothing, which is UTC. Leap seconds count as the next one.
pub(crate) fn rfc3339(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    if bytes.len() > 40 || !text.is_ascii() {
        return None;
    }
    let (head, tail) = text.split_at_checked(19)?;
    let head = head.as_bytes();
    let layout = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
    if layout.iter().any(|&(at, byte)| head[at] != byte) || !matches!(head[10], b'T' | b't') {
        return None;
    }
    let year = number(&head[..4])?;
    let month = number(&head[5..7])?;
    let day = number(&head[8..10])?;
    let (hour, minute, second) = (
        number(&head[11..13])?,
        number(&head[14..16])?,
        number(&head[17..])?,
    );
    let in_range = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    let (millis, zone) = fraction(tail)?;
    let seconds =
        days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - offset(zone)?;
    in_range.then_some(seconds * 1000 + millis)
}

/// The milliseconds of `.123456` and what follows.
fn fraction(tail: &str) -> Option<(i64, &str)> {
    let Some(rest) = tail.strip_prefix('.') else {
        return Some((0, tail));
    };
    let length = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, zone) = rest.split_at_checked(length)?;
    if !(1..=9).contains(&length) {
        return None;
    }
    let padded = format!("{digits:0<3}");
    Some((number(&padded.as_bytes()[..3])?, zone))
}

/// The seconds that a zone is ahead.
fn offset(zone: &str) -> Option<i64> {
    // Orb writes no zone and means UTC.
    if matches!(zone, "Z" | "z" | "") {
        return Some(0);
    }
    let (sign, rest) = match zone.split_at_checked(1)? {
        ("+", rest) => (1, rest.as_bytes()),
        ("-", rest) => (-1, rest.as_bytes()),
        _ => return None,
    };
    let (hours, minutes) = match rest {
        [h1, h2, b':', m1, m2] | [h1, h2, m1, m2] => (number(&[*h1, *h2])?, number(&[*m1, *m2])?),
        _ => return None,
    };
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3_600 + minutes * 60))
}

fn number(bytes: &[u8]) -> Option<i64> {
    bytes.iter().try_fold(0_i64, |sum, byte| {
        byte.is_ascii_digit()
            .then(|| sum * 10 + i64::from(byte - b'0'))
    })
}

/// Days since 1970-01-01 of a date of the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March here, so that the leap day is a year's last.
    let year = if month > 2 { year } else { year - 1 };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_alone_are_a_time() {
        assert_eq!(parse(TimeUnit::S, "1700000000"), Ok(1_700_000_000_000));
        assert_eq!(parse(TimeUnit::Ms, "1700000000123"), Ok(1_700_000_000_123));
        assert_eq!(parse(TimeUnit::S, "0"), Ok(0));
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
