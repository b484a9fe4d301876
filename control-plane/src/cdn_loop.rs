//! Loops: an endpoint can lead to a source of the same installation, whose events go to that endpoint again, without end.
//!
//! Every request to an endpoint has the installation's mark in `cdn-loop` (RFC 8586); what comes in with it goes out with it and
//! one more. A request that went out three times is not taken in again.

use std::fmt::Write as _;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::model::id::KeyId;

/// The header.
pub(crate) const CDN_LOOP: &str = "cdn-loop";
/// How often a request may have gone out when it comes in. At this it is refused.
pub(crate) const PASSES_MAX: usize = 3;
/// How long what came in may be that goes out again, in bytes.
const VALUE_BYTES_MAX: usize = 1_024;

/// What the requests of an installation are told by, the same for all of its control planes. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LoopMark(Bytes);

impl LoopMark {
    /// That of the installation whose first key has this id.
    pub(crate) fn of(first_key: KeyId) -> Self {
        let digest = Sha256::new_with_prefix(b"posthorn.cdn-loop.v1")
            .chain_update(first_key.uuid())
            .finalize();
        let mut mark = "posthorn-".to_owned();
        for byte in &digest[..8] {
            let _never = write!(mark, "{byte:02x}");
        }
        Self(mark.into())
    }

    /// How often a request with these values went out.
    pub(crate) fn passes<'v>(&self, values: impl Iterator<Item = &'v [u8]>) -> usize {
        let texts = values.filter_map(|value| std::str::from_utf8(value).ok());
        texts.map(|text| self.passes_of(text)).sum()
    }

    /// What goes out with the event of a request with these values. None: it never went out.
    pub(crate) fn carried<'v>(&self, values: impl Iterator<Item = &'v [u8]>) -> Option<String> {
        let texts = values.filter_map(|value| std::str::from_utf8(value).ok());
        let joined = texts.map(str::trim).collect::<Vec<_>>().join(", ");
        match self.passes_of(&joined) {
            0 => None,
            // Without what others said of it, which they would not bear to miss either.
            passes if joined.len() > VALUE_BYTES_MAX => Some(vec![self.text(); passes].join(", ")),
            _ => Some(joined),
        }
    }

    /// The value that goes out, with what the event carries.
    pub(crate) fn next(&self, carried: Option<&str>) -> Bytes {
        match carried {
            None => self.0.clone(),
            Some(carried) => format!("{carried}, {}", self.text()).into(),
        }
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    fn passes_of(&self, text: &str) -> usize {
        let names = text
            .split(',')
            .map(|info| info.split(';').next().unwrap_or_default());
        names
            .filter(|name| name.trim().as_bytes() == self.0)
            .count()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn mark(number: u128) -> LoopMark {
        LoopMark::of(KeyId::from_uuid(Uuid::from_u128(number)))
    }

    #[test]
    fn g2_a_mark_is_of_its_installation() {
        assert_eq!(mark(1), mark(1));
        assert_ne!(mark(1), mark(2));
        assert_eq!(mark(1).next(None).len(), "posthorn-".len() + 16);
    }

    #[test]
    fn g2_each_time_that_a_request_went_out_is_counted() {
        let mark = mark(1);
        let next = |mark: &LoopMark, carried| String::from_utf8(mark.next(carried).into()).unwrap();
        let (once, other) = (next(&mark, None), super::LoopMark("posthorn-0".into()));
        let twice = next(&mark, Some(&once));
        for (values, expected) in [
            (vec![], 0),
            (vec!["cloudflare".to_owned()], 0),
            (vec![next(&other, None)], 0),
            (vec![once.clone()], 1),
            (vec![twice.clone()], 2),
            (vec![format!("cloudflare; loops=1 , {once};a=b"), twice], 3),
        ] {
            let passes = mark.passes(values.iter().map(String::as_bytes));
            assert_eq!(passes, expected, "{values:?}");
        }
    }

    #[test]
    fn g2_what_came_in_goes_out_when_it_went_out_before() {
        let mark = mark(1);
        let carried = |values: &[&str]| mark.carried(values.iter().map(|text| text.as_bytes()));
        let once = mark.text();
        assert_eq!(carried(&["cloudflare"]), None);
        assert_eq!(carried(&[once, " b "]), Some(format!("{once}, b")));
        let long = format!("{once}, {}", "x".repeat(VALUE_BYTES_MAX));
        assert_eq!(carried(&[&long]).as_deref(), Some(once));
    }
}
