//! The name that a node's process gives itself: `node_` and a `UUIDv7` in 26 characters of Crockford's base32.
//!
//! It is made afresh by every process, so that a restarted node is never taken for the one that held its leases.

use rand::Rng;
use uuid::Builder;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const CHARACTERS: u32 = 26;

/// A new node id.
pub(crate) fn node_id(unix_ms: u64, rng: &mut impl Rng) -> String {
    id("node", unix_ms, rng)
}

/// A new id of another kind.
pub(crate) fn id(kind: &str, unix_ms: u64, rng: &mut impl Rng) -> String {
    let mut random = [0; 10];
    rng.fill_bytes(&mut random);
    let uuid = Builder::from_unix_timestamp_millis(unix_ms, &random).into_uuid();
    format!("{kind}_{}", base32(uuid.as_u128()))
}

/// 128 bits in 26 characters of 5 bits, the first of which holds only 3.
fn base32(bits: u128) -> String {
    let digit = |place: u32| (bits >> (5 * place) & 31) as usize;
    (0..CHARACTERS)
        .rev()
        .map(|place| char::from(ALPHABET[digit(place)]))
        .collect()
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::SmallRng};

    use super::*;

    #[test]
    fn base32_is_that_of_typeid() {
        for (bits, text) in [
            (0, "00000000000000000000000000"),
            (1, "00000000000000000000000001"),
            (31, "0000000000000000000000000z"),
            (u128::MAX, "7zzzzzzzzzzzzzzzzzzzzzzzzz"),
            (
                0x0188_bac7_4afa_78aa_bc3b_bd1e_ef28_d881,
                "01h2xcejqtf2nbrexx3vqjhp41",
            ),
        ] {
            assert_eq!(base32(bits), text);
        }
    }

    #[test]
    fn ids_differ_within_one_millisecond_and_sort_by_time() {
        let mut rng = SmallRng::seed_from_u64(1);
        let mut id = |ms| node_id(ms, &mut rng);
        let (first, second, later) = (id(1_000), id(1_000), id(1_001));
        assert_ne!(first, second);
        assert!(first < later && second < later);
        assert_eq!(first.len(), 31);
    }
}
