//! Ranges of instants in the filters of lists.

use prost_types::Timestamp;

use super::convert::instant_ms;
use crate::error::Error;

/// The instants from `from_ms` on and before `before_ms`; an unset bound is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TimeRange {
    /// The first instant in it.
    pub from_ms: i64,
    /// The first instant past it.
    pub before_ms: i64,
}

impl TimeRange {
    /// Reads two fields of a request, each with its name.
    pub(super) fn parse(
        from: (&str, Option<&Timestamp>),
        before: (&str, Option<&Timestamp>),
    ) -> Result<Self, Error> {
        let bound = |(field, value): (&str, Option<&Timestamp>)| {
            value.map(|at| instant_ms(field, at)).transpose()
        };
        let range = Self {
            from_ms: bound(from)?.unwrap_or(i64::MIN),
            before_ms: bound(before)?.unwrap_or(i64::MAX),
        };
        if range.before_ms <= range.from_ms {
            return Err(Error::invalid(
                before.0,
                format!("must be after {}", from.0),
            ));
        }
        Ok(range)
    }

    /// The bytes that stand for it in a page token.
    pub(super) fn fingerprint(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.from_ms.to_be_bytes());
        bytes[8..].copy_from_slice(&self.before_ms.to_be_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(from: Option<i64>, before: Option<i64>) -> Result<TimeRange, Error> {
        let [from, before] =
            [from, before].map(|at| at.map(|seconds| Timestamp { seconds, nanos: 0 }));
        TimeRange::parse(("from", from.as_ref()), ("before", before.as_ref()))
    }

    #[test]
    fn a_range_must_not_be_reversed_or_empty() {
        let range = parse(Some(1), Some(2)).unwrap();
        assert_eq!((range.from_ms, range.before_ms), (1_000, 2_000));
        assert!(parse(Some(2), Some(1)).is_err());
        assert!(parse(Some(2), Some(2)).is_err());
        assert!(parse(None, None).is_ok());
    }
}
