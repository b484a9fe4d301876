//! What a request claims of its source: the key under which it is accepted once.
//!
//! 32 bytes in two halves. The first stands for the provider's id of the event, so that operators find requests by it; the
//! second for what is unique. A request that has nothing unique claims its own id, which no other one has: it is always
//! accepted.

use posthorn_verify::Claim;
use sha2::{Digest as _, Sha256};

use super::id::InboundId;

const HALF: usize = 16;

/// What a key is made of besides what verifiers claim. No verifier begins what it hashes with these bytes.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
enum MadeOf {
    Body = 0x10,
    Batch = 0x11,
    Conflict = 0x12,
}

/// The key of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ClaimKey([u8; 32]);

impl ClaimKey {
    /// What a verifier found to be unique, of an event with this id of the provider; empty when it has none.
    pub(crate) fn of(event_id: &str, claim: &Claim) -> Self {
        Self::halves(event_id, &claim.key()[HALF..])
    }

    /// The request itself.
    pub(crate) fn own(event_id: &str, id: InboundId) -> Self {
        Self::halves(event_id, id.uuid().as_bytes())
    }

    /// The bytes of a body.
    pub(crate) fn of_body(event_id: &str, body_hash: &[u8; 32]) -> Self {
        Self::made_of(MadeOf::Body, event_id, body_hash)
    }

    /// A batch: its bytes, and what its items claim. Whoever claims the same brings nothing new.
    pub(crate) fn of_batch(event_id: &str, body_hash: &[u8; 32], items: &[Self]) -> Self {
        let mut parts = body_hash.to_vec();
        parts.extend(items.iter().flat_map(|item| item.0));
        Self::made_of(MadeOf::Batch, event_id, &parts)
    }

    /// What a request claims that has the same claim and other bytes, where that is an event of its own.
    pub(crate) fn with_body(self, body_hash: &[u8; 32]) -> Self {
        let parts = [self.0, *body_hash].concat();
        let mut key = self.0;
        key[HALF..].copy_from_slice(&digest(MadeOf::Conflict, &parts)[HALF..]);
        Self(key)
    }

    /// The first and the last key that a request with this id of the provider can have.
    pub(crate) fn range(event_id: &str) -> (Self, Self) {
        let bound = |byte| Self::halves(event_id, &[byte; HALF]);
        (bound(0), bound(u8::MAX))
    }

    /// The value of the column.
    pub(crate) fn column(&self) -> &[u8] {
        &self.0
    }

    /// Reads the value of the column.
    pub(crate) fn from_column(column: &[u8]) -> Option<Self> {
        column.try_into().ok().map(Self)
    }

    fn made_of(what: MadeOf, event_id: &str, parts: &[u8]) -> Self {
        Self::halves(event_id, &digest(what, parts)[HALF..])
    }

    fn halves(event_id: &str, unique: &[u8]) -> Self {
        let mut key: [u8; 32] = Sha256::digest(event_id).into();
        key[HALF..].copy_from_slice(unique);
        Self(key)
    }
}

fn digest(what: MadeOf, parts: &[u8]) -> [u8; 32] {
    let hash = Sha256::new().chain_update([what as u8]);
    hash.chain_update(parts).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{entropy::Entropy, model::id::Shard};

    fn id() -> InboundId {
        InboundId::new(1_790_000_000_000, Shard(1), &mut Entropy::system())
    }

    #[test]
    fn what_is_not_the_same_has_another_key() {
        let (id, body) = (id(), [1; 32]);
        let key = ClaimKey::of_body("", &body);
        let keys = [
            key,
            key.with_body(&body),
            key.with_body(&[2; 32]),
            ClaimKey::of_body("", &[2; 32]),
            ClaimKey::of_body("evt", &body),
            ClaimKey::own("", id),
            ClaimKey::own("evt", id),
            ClaimKey::of_batch("", &body, &[]),
            ClaimKey::of_batch("", &body, &[key]),
        ];
        for (number, key) in keys.iter().enumerate() {
            assert!(!keys[number + 1..].contains(key), "{number}");
        }
    }

    #[test]
    fn requests_are_found_by_the_providers_id_whatever_they_claim() {
        let (first, last) = ClaimKey::range("evt");
        let body = [3; 32];
        for key in [
            ClaimKey::own("evt", id()),
            ClaimKey::of_body("evt", &body),
            ClaimKey::of_body("evt", &body).with_body(&[4; 32]),
            ClaimKey::of_batch("evt", &body, &[]),
        ] {
            assert!((first..=last).contains(&key));
        }
        let other = ClaimKey::of_body("evt_2", &body);
        assert!(!(first..=last).contains(&other));
    }
}
