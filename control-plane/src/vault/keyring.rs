//! Master keys: the ones that wrap the data keys of secrets.

use std::fmt;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, Mac as _};
use rand::Rng;
use secrecy::{ExposeSecret as _, SecretBox, SecretString};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// The length of a master key, in bytes.
pub(super) const KEY_BYTES: usize = 32;
/// How many master keys can be configured.
const KEYS_MAX: usize = 16;

/// Names a master key: the first four bytes of its SHA-256, written as 8 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct KekId(pub(super) [u8; 4]);

impl fmt::Display for KekId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

impl fmt::Debug for KekId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The configured master keys: the first seals, the others still open. They cannot be printed.
#[derive(Debug)]
pub(crate) struct Keyring {
    current: Kek,
    others: Vec<Kek>,
}

/// Why text is no list of master keys. It never holds a part of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// There is none.
    #[error(
        "there is no master key: give the base64 of 32 random bytes, as `head -c 32 /dev/urandom | base64` makes"
    )]
    Empty,
    /// One is malformed.
    #[error("master key number {0} is not the base64 of 32 bytes")]
    Malformed(usize),
    /// There are too many.
    #[error("there are more than {KEYS_MAX} master keys")]
    TooMany,
}

/// One master key.
pub(super) struct Kek {
    id: KekId,
    key: SecretBox<[u8; KEY_BYTES]>,
    /// Begun with the key for proofs of leases, which is made of the master key for nothing else.
    lease_mac: Hmac<Sha256>,
}

impl Keyring {
    /// Reads master keys: base64 of 32 bytes each, separated by line breaks, blanks or commas.
    pub(crate) fn parse(text: &SecretString) -> Result<Self, KeyringError> {
        let words = text.expose_secret().split([',', '\n', '\r', ' ', '\t']);
        let mut keys = words
            .filter(|word| !word.is_empty())
            .enumerate()
            .map(|(index, word)| Kek::parse(word).ok_or(KeyringError::Malformed(index + 1)))
            .collect::<Result<Vec<_>, _>>()?;
        if keys.len() > KEYS_MAX {
            return Err(KeyringError::TooMany);
        }
        if keys.is_empty() {
            return Err(KeyringError::Empty);
        }
        let current = keys.remove(0);
        Ok(Self {
            current,
            others: keys,
        })
    }

    /// Makes the text of one new master key.
    pub(crate) fn generate(rng: &mut impl Rng) -> SecretString {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        rng.fill_bytes(bytes.as_mut_slice());
        BASE64_STANDARD.encode(bytes.as_slice()).into()
    }

    pub(super) fn current(&self) -> &Kek {
        &self.current
    }

    /// Whether the other has the same keys in the same order.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.ids().eq(other.ids())
    }

    fn ids(&self) -> impl Iterator<Item = KekId> {
        self.all().map(Kek::id)
    }

    /// Whether it has the key of that id, as [`KekId`] prints it.
    pub(super) fn has(&self, id: &str) -> bool {
        self.ids().any(|known| known.to_string() == id)
    }

    pub(super) fn find(&self, id: KekId) -> Option<&Kek> {
        self.all().find(|kek| kek.id == id)
    }

    /// Every key, the current one first.
    pub(super) fn all(&self) -> impl Iterator<Item = &Kek> {
        std::iter::once(&self.current).chain(&self.others)
    }
}

impl Kek {
    fn parse(word: &str) -> Option<Self> {
        let bytes = Zeroizing::new(BASE64_STANDARD.decode(word).ok()?);
        let key = <[u8; KEY_BYTES]>::try_from(bytes.as_slice()).ok()?;
        let digest = Sha256::digest(key);
        let lease_key = derived(&key, b"posthorn.lease.v1");
        Some(Self {
            id: KekId([digest[0], digest[1], digest[2], digest[3]]),
            key: SecretBox::new(Box::new(key)),
            lease_mac: super::mac(lease_key.as_slice()),
        })
    }

    pub(super) fn id(&self) -> KekId {
        self.id
    }

    pub(super) fn expose(&self) -> &[u8; KEY_BYTES] {
        self.key.expose_secret()
    }

    /// A key of its own for fingerprints, so that no key has two uses.
    pub(super) fn fingerprint_key(&self) -> Zeroizing<[u8; 32]> {
        derived(self.expose(), b"posthorn.fingerprint.v1")
    }

    /// A MAC that nothing was put into yet, for proofs of leases.
    pub(super) fn lease_mac(&self) -> Hmac<Sha256> {
        self.lease_mac.clone()
    }
}

/// The key that a master key yields for one use.
fn derived(key: &[u8; KEY_BYTES], purpose: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut mac = super::mac(key);
    mac.update(purpose);
    Zeroizing::new(mac.finalize().into_bytes().into())
}

impl fmt::Debug for Kek {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kek({})", self.id)
    }
}
