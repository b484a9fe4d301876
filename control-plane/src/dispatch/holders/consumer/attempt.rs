//! What a consumer says of a delivery, or does not say, as an attempt.

use bytes::Bytes;

use crate::{
    dispatch::report::{Attempted, Report},
    model::{
        delivery::{AttemptResult, ErrorKind},
        lease::LeaseKey,
    },
};

/// The report of a delivery's end, made at the moment that it ended.
pub(super) fn attempted(
    lease: LeaseKey,
    result: AttemptResult,
    text: String,
    held_ms: u64,
) -> Report {
    Report::Attempted(Attempted {
        lease,
        result,
        excerpt: Bytes::from(text),
        trace: None,
        duration_ms: u32::try_from(held_ms).unwrap_or(u32::MAX),
        age_ms: held_ms,
    })
}

/// The report of a delivery of which nothing was heard in its time.
pub(super) fn unheard(lease: LeaseKey, within_ms: u64, held_ms: u64) -> Report {
    let text = format!("no word within {}", seconds(within_ms));
    let result = AttemptResult::Failed(ErrorKind::Timeout);
    attempted(lease, result, text, held_ms)
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
