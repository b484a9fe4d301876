//! What the control plane says about sources: how long a body may be, and how long an answer may take. Pure.
//!
//! A source that it says nothing about is treated like one that does not exist: nobody can tell them apart by their limits.

use std::{collections::HashMap, time::Duration};

use posthorn::node::v1::EdgeSettings;

/// What every source has unless something else is said, in bytes.
const BODY_BYTES: u64 = 1024 * 1024;
/// What no source exceeds, in bytes.
const BODY_BYTES_MAX: u64 = 25 * 1024 * 1024;
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
const ANSWER_WITHIN_MAX: Duration = Duration::from_secs(11);

const PREFIX: &[u8] = b"src_";
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// The length of a source's id as text, in bytes.
pub(crate) const SOURCE_ID_BYTES: usize = 30;

/// A source's id, well-formed: the 128 bits of its text form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct SourceId(u128);

impl SourceId {
    /// Parses `src_` and 26 characters of lower-case Crockford base32, of which the first is at most 7.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let digits = text.strip_prefix(PREFIX)?;
        if digits.len() != SOURCE_ID_BYTES - PREFIX.len() || digits[0] > b'7' {
            return None;
        }
        let value = |digit: &u8| VALUES[usize::from(*digit)];
        digits
            .iter()
            .try_fold(0_u128, |bits, digit| {
                value(digit).map(|value| bits << 5 | u128::from(value))
            })
            .map(Self)
    }
}

/// The value of each byte as a digit.
const VALUES: [Option<u8>; 256] = {
    let mut values = [None; 256];
    let mut value = 0_u8;
    while value < 32 {
        values[DIGITS[value as usize] as usize] = Some(value);
        value += 1;
    }
    values
};

/// How one source is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SourceSettings {
    /// The longest body, in bytes.
    pub(crate) body_bytes_max: u64,
    /// How long the edge waits for the answer once the request is complete.
    pub(crate) answer_within: Duration,
    /// How long the body may take to come.
    pub(crate) body_within: Duration,
}

/// How all of them are treated.
#[derive(Debug)]
pub(crate) struct Settings {
    sources: HashMap<SourceId, SourceSettings>,
    others: SourceSettings,
}

impl Settings {
    /// Reads what the control plane said. An id that is not one is passed over; what exceeds a limit is cut to it.
    pub(crate) fn new(told: &EdgeSettings) -> Self {
        let body_within = match told.body_within_ms {
            0 => Duration::MAX,
            said => Duration::from_millis(said.into()),
        };
        let settings = |body_bytes_max, answer_within_ms| {
            SourceSettings::new(body_bytes_max, answer_within_ms, body_within)
        };
        let sources = told.sources.iter().filter_map(|source| {
            let id = SourceId::parse(source.source_id.as_bytes())?;
            Some((id, settings(source.body_bytes_max, source.answer_within_ms)))
        });
        Self {
            sources: sources.collect(),
            others: settings(0, 0),
        }
    }

    /// How a source is treated, known or not.
    pub(crate) fn of(&self, source: SourceId) -> SourceSettings {
        self.sources.get(&source).copied().unwrap_or(self.others)
    }
}

impl SourceSettings {
    /// Of what was said, where 0 stands for the default.
    fn new(body_bytes_max: u32, answer_within_ms: u32, body_within: Duration) -> Self {
        Self {
            body_bytes_max: match u64::from(body_bytes_max) {
                0 => BODY_BYTES,
                said => said.min(BODY_BYTES_MAX),
            },
            answer_within: match Duration::from_millis(answer_within_ms.into()) {
                Duration::ZERO => ANSWER_WITHIN,
                said => said.min(ANSWER_WITHIN_MAX),
            },
            body_within,
        }
    }
}

#[cfg(test)]
mod tests {
    use posthorn::node::v1::EdgeSource;

    use super::*;

    const KNOWN: &str = "src_01hzy3v7gq8ye9p0abcdefghjk";

    #[test]
    fn only_well_formed_ids_are_ids() {
        for good in [
            KNOWN,
            "src_00000000000000000000000000",
            "src_7zzzzzzzzzzzzzzzzzzzzzzzzz",
        ] {
            assert!(SourceId::parse(good.as_bytes()).is_some(), "{good}");
        }
        for bad in [
            "",
            "src_",
            "src_8zzzzzzzzzzzzzzzzzzzzzzzzz",
            "src_01hzy3v7gq8ye9p0abcdefghj",
            "src_01hzy3v7gq8ye9p0abcdefghjkm",
            "src_01HZY3V7GQ8YE9P0ABCDEFGHJK",
            "src_01hzy3v7gq8ye9p0abcdefghji",
            "src_01hzy3v7gq8ye9p0abcdefgh%6",
            "evt_01hzy3v7gq8ye9p0abcdefghjk",
            "src_01hzy3v7gq8ye9p0abcdefgh\u{e9}",
        ] {
            assert_eq!(SourceId::parse(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(
            SourceId::parse(b"src_7zzzzzzzzzzzzzzzzzzzzzzzzz"),
            Some(SourceId(u128::MAX))
        );
    }

    #[test]
    fn sources_have_the_defaults_unless_something_else_is_said_within_the_limits() {
        let source = |body_bytes_max, answer_within_ms| EdgeSource {
            source_id: KNOWN.to_owned(),
            body_bytes_max,
            answer_within_ms,
        };
        let known = SourceId::parse(KNOWN.as_bytes()).expect("an id");
        for (sources, body_bytes_max, answer_within_ms) in [
            (vec![], 1024 * 1024, 5_000),
            (vec![source(0, 0)], 1024 * 1024, 5_000),
            (vec![source(10, 900)], 10, 900),
            (vec![source(u32::MAX, u32::MAX)], 25 * 1024 * 1024, 11_000),
        ] {
            let told = EdgeSettings {
                sources,
                body_within_ms: 700,
            };
            let settings = Settings::new(&told).of(known);
            let expected = SourceSettings {
                body_bytes_max,
                answer_within: Duration::from_millis(answer_within_ms),
                body_within: Duration::from_millis(700),
            };
            assert_eq!(settings, expected);
        }
        let silent = Settings::new(&EdgeSettings::default()).of(known);
        assert_eq!(silent.body_within, Duration::MAX);
    }
}
