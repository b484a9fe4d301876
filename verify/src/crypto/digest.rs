//! Digests and keyed digests, fed piece by piece.

use hmac::Hmac;
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq as _;

use crate::scheme::Algorithm;

/// Whether two byte strings are equal, in a time that tells nothing of either's content or of the second's length.
pub(crate) fn same(given: &[u8], expected: &[u8]) -> bool {
    Sha256::digest(given)
        .ct_eq(&Sha256::digest(expected))
        .into()
}

/// The SHA-256 of some bytes.
pub(crate) fn sha256(bytes: &[u8]) -> Vec<u8> {
    Sha256::digest(bytes).to_vec()
}

/// The SHA-1 of some bytes.
pub(crate) fn sha1(bytes: &[u8]) -> Vec<u8> {
    Sha1::digest(bytes).to_vec()
}

/// The length of an algorithm's digest in bytes; `None` when the algorithm is no digest.
pub(crate) const fn length(alg: Algorithm) -> Option<usize> {
    match alg {
        Algorithm::Md5 => Some(16),
        Algorithm::Sha1 => Some(20),
        Algorithm::Sha256 => Some(32),
        Algorithm::Sha384 => Some(48),
        Algorithm::Sha512 => Some(64),
        _ => None,
    }
}

/// The plain digest of the pieces together; `None` when the algorithm is no digest.
pub(crate) fn plain<'a>(alg: Algorithm, pieces: impl Iterator<Item = &'a [u8]>) -> Option<Vec<u8>> {
    match alg {
        Algorithm::Md5 => Some(digested::<Md5>(pieces)),
        Algorithm::Sha1 => Some(digested::<Sha1>(pieces)),
        Algorithm::Sha256 => Some(digested::<Sha256>(pieces)),
        Algorithm::Sha384 => Some(digested::<Sha384>(pieces)),
        Algorithm::Sha512 => Some(digested::<Sha512>(pieces)),
        _ => None,
    }
}

/// The HMAC of the pieces together; `None` when the algorithm is no digest that is used so, or the key is empty.
pub(crate) fn keyed<'a>(
    alg: Algorithm,
    key: &[u8],
    pieces: impl Iterator<Item = &'a [u8]>,
) -> Option<Vec<u8>> {
    if key.is_empty() {
        return None;
    }
    match alg {
        Algorithm::Sha1 => mac::<Hmac<Sha1>>(key, pieces),
        Algorithm::Sha256 => mac::<Hmac<Sha256>>(key, pieces),
        Algorithm::Sha384 => mac::<Hmac<Sha384>>(key, pieces),
        Algorithm::Sha512 => mac::<Hmac<Sha512>>(key, pieces),
        _ => None,
    }
}

fn digested<'a, D: sha2::Digest>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut digest = D::new();
    for piece in pieces {
        digest.update(piece);
    }
    digest.finalize().to_vec()
}

fn mac<'a, M: hmac::Mac + hmac::KeyInit>(
    key: &[u8],
    pieces: impl Iterator<Item = &'a [u8]>,
) -> Option<Vec<u8>> {
    let mut mac = <M as hmac::KeyInit>::new_from_slice(key).ok()?;
    for piece in pieces {
        mac.update(piece);
    }
    Some(mac.finalize().into_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 2202 case 2 and RFC 4231 case 2.
    #[test]
    fn keyed_digests_are_those_of_the_rfcs() {
        for (alg, expected) in [
            (Algorithm::Sha1, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
            (
                Algorithm::Sha256,
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                Algorithm::Sha384,
                "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
            ),
            (
                Algorithm::Sha512,
                "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
            ),
        ] {
            let pieces = [b"what do ya want ".as_slice(), b"for nothing?"];
            let mac = keyed(alg, b"Jefe", pieces.into_iter()).expect("a digest");
            assert_eq!(hex::encode(&mac), expected, "{alg:?}");
            assert_eq!(Some(mac.len()), length(alg));
        }
    }

    #[test]
    fn plain_digests_are_those_of_the_standards() {
        for (alg, expected) in [
            (Algorithm::Md5, "900150983cd24fb0d6963f7d28e17f72"),
            (Algorithm::Sha1, "a9993e364706816aba3e25717850c26c9cd0d89d"),
            (
                Algorithm::Sha256,
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            ),
        ] {
            let digest = plain(alg, [b"a".as_slice(), b"bc"].into_iter()).expect("a digest");
            assert_eq!(hex::encode(&digest), expected, "{alg:?}");
        }
    }

    #[test]
    fn an_empty_key_or_an_algorithm_of_another_kind_gives_nothing() {
        let nothing = std::iter::empty;
        assert_eq!(keyed(Algorithm::Sha256, b"", nothing()), None);
        assert_eq!(keyed(Algorithm::Md5, b"k", nothing()), None);
        assert_eq!(keyed(Algorithm::Ed25519, b"k", nothing()), None);
        assert_eq!(plain(Algorithm::RsaSha1, nothing()), None);
    }

    #[test]
    fn equality_is_of_the_whole() {
        assert!(same(b"abc", b"abc"));
        assert!(!same(b"abc", b"ab"));
        assert!(!same(b"", b"a"));
    }
}
