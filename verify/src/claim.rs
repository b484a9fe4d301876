//! What a webhook claims: something that no other webhook of its provider has, so that a repeat of it can be told.
//!
//! A claim says too much when it is wrong: what comes second is swallowed. So it is made only of what is unique: an id
//! that the provider gives to each webhook, an id of something else with more beside it, or the signed time with the
//! body. Where a webhook has none of these it claims nothing, and is an event each time that it comes: one too many is
//! better than one lost.

use sha2::{Digest as _, Sha256};

/// What a webhook has alone. Two webhooks that are not repeats of each other have different keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    key: [u8; 32],
    by: ClaimedBy,
}

/// What makes a claim unique.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimedBy {
    /// The id of the webhook. Another body with it is a contradiction.
    Id,
    /// Values that are unique together, as the record lists them, and the type.
    Values,
    /// The signed time, the type and the whole body.
    TimeAndBody,
    /// The place in a batch that has a claim as a whole.
    PlaceInBatch,
}

impl Claim {
    /// Of a webhook's id, in the form that it is kept in.
    pub(crate) fn of_id(id: &str) -> Self {
        Self {
            key: Sha256::digest(id).into(),
            by: ClaimedBy::Id,
        }
    }

    /// Of a type and of values that are unique together, given with what stands between them.
    pub(crate) fn of_values<'v>(
        event_type: &'v str,
        values: impl Iterator<Item = &'v [u8]>,
    ) -> Self {
        let values = std::iter::once(event_type.as_bytes()).chain(values);
        Self::of(ClaimedBy::Values, values)
    }

    /// Of a time as it is written and signed, of the body that is signed with it, and of the type, which can be beside the
    /// body.
    pub(crate) fn of_time(time: &str, event_type: &str, body: &[u8]) -> Self {
        let values = [time.as_bytes(), event_type.as_bytes(), body];
        Self::of(ClaimedBy::TimeAndBody, values.into_iter())
    }

    /// Of an item without a claim of its own, by its place in a batch.
    pub(crate) fn of_place(batch: &Self, place: usize) -> Self {
        let place = u64::try_from(place).unwrap_or(u64::MAX).to_be_bytes();
        let values = [batch.key.as_slice(), place.as_slice()];
        Self::of(ClaimedBy::PlaceInBatch, values.into_iter())
    }

    /// The key: 32 bytes to compare and to store. That of an id is its SHA-256.
    pub const fn key(&self) -> [u8; 32] {
        self.key
    }

    /// What makes it unique.
    pub const fn by(&self) -> ClaimedBy {
        self.by
    }

    /// Each value with its length, so that no two lists of values are one text, behind a byte that no id begins with.
    fn of<'v>(by: ClaimedBy, values: impl Iterator<Item = &'v [u8]>) -> Self {
        let mut hash = Sha256::new();
        hash.update([match by {
            ClaimedBy::Id => 0,
            ClaimedBy::Values => 1,
            ClaimedBy::TimeAndBody => 2,
            ClaimedBy::PlaceInBatch => 3,
        }]);
        for value in values {
            let length = u64::try_from(value.len()).unwrap_or(u64::MAX);
            hash.update(length.to_be_bytes());
            hash.update(value);
        }
        Self {
            key: hash.finalize().into(),
            by,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(values: &[&str]) -> Claim {
        Claim::of_values("t", values.iter().map(|value| value.as_bytes()))
    }

    #[test]
    fn values_that_read_the_same_together_are_different_claims() {
        let claims = [
            values(&["a", "b.c"]),
            values(&["a.b", "c"]),
            values(&["a.b.c"]),
            values(&["a", ".", "b.c"]),
            Claim::of_id("a.b.c"),
            Claim::of_time("a", "b", b"c"),
            Claim::of_time("a", "", b"b.c"),
            Claim::of_place(&Claim::of_id("a"), 0),
            Claim::of_place(&Claim::of_id("a"), 1),
        ];
        for (number, claim) in claims.iter().enumerate() {
            let others = &claims[number + 1..];
            assert!(others.iter().all(|other| other.key() != claim.key()));
        }
    }

    #[test]
    fn the_key_of_an_id_is_its_digest() {
        let digest: [u8; 32] = Sha256::digest("evt_1").into();
        assert_eq!(Claim::of_id("evt_1").key(), digest);
    }
}
