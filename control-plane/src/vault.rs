//! The vault: seals secrets before they are stored, and opens them again.
//!
//! Every version of a secret has a random data key; a master key wraps only that. Both levels are XChaCha20-Poly1305,
//! bound to everything that says where the secret belongs ([`Binding`]), so a record that is moved to another row, or a
//! row that is given to another owner, does not open. A new master key means wrapping data keys anew; the secrets
//! themselves are not touched.
//!
//! ```text
//! format 1 | master key's id 4 | nonce 24 | wrapped data key 48 | nonce 24 | ciphertext, at least 16
//! ```
//!
//! The vault does not hide how long a secret is, and it cannot tell which of two valid records of one version is newer.

mod keyring;
mod lost;
mod proof;
mod record;
mod source;

use std::sync::Arc;

use arc_swap::ArcSwap;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rand::CryptoRng;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::model::secret::{Binding, SealedSecret};

pub(crate) use keyring::{KekId, Keyring, KeyringError};
pub(crate) use lost::LostKeys;
pub(crate) use lost::SealedUnder;
use record::Record;
pub(crate) use source::{KeySource, KeySourceError};

/// Why a record does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OpenError {
    /// It is sealed under a master key that is not configured.
    #[error("it is sealed under the master key {0}, which is not configured")]
    UnknownKey(KekId),
    /// It is damaged, or it belongs to another row.
    #[error("it is damaged or belongs elsewhere")]
    Damaged,
}

/// A record that could not be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the secret is too long to be sealed")]
pub(crate) struct SealError;

/// What became of a record that should be sealed under the current master key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Rewrap {
    /// It is already.
    Current,
    /// The record to keep instead.
    Rewrapped(Vec<u8>),
}

/// Seals and opens under the configured master keys, which can be replaced while it is in use.
#[derive(Debug)]
pub(crate) struct Vault {
    keyring: ArcSwap<Keyring>,
}

impl Vault {
    /// A vault that uses the given master keys.
    pub(crate) fn new(keyring: Keyring) -> Self {
        Self {
            keyring: ArcSwap::new(Arc::new(keyring)),
        }
    }

    /// Uses other master keys from now on. False: they are the ones that it has.
    pub(crate) fn replace(&self, keyring: Keyring) -> bool {
        let is_other = !self.keyring.load().is_same(&keyring);
        if is_other {
            self.keyring.store(Arc::new(keyring));
        }
        is_other
    }

    /// The id of the master key that new records are sealed under.
    pub(crate) fn current_id(&self) -> KekId {
        self.keyring.load().current().id()
    }

    /// Seals a new version of a secret, as a row to be written.
    pub(crate) fn seal(
        &self,
        secret: &[u8],
        binding: Binding,
        now_ms: i64,
        rng: &mut impl CryptoRng,
    ) -> Result<SealedSecret, SealError> {
        let keyring = self.keyring.load();
        let kek = keyring.current();
        let record = Record::seal(secret, &associated_data(&binding), kek, rng).ok_or(SealError)?;
        Ok(SealedSecret {
            binding,
            kek_id: kek.id().to_string(),
            sealed: record.into_bytes(),
            fingerprint: self.fingerprint(secret),
            retires_at: None,
            created_at: now_ms,
        })
    }

    /// Opens a record, whatever bytes it consists of.
    pub(crate) fn open(
        &self,
        sealed: &[u8],
        binding: &Binding,
    ) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let record = Record::parse(sealed).ok_or(OpenError::Damaged)?;
        let keyring = self.keyring.load();
        let kek = keyring
            .find(record.kek_id())
            .ok_or(OpenError::UnknownKey(record.kek_id()))?;
        record
            .open(&associated_data(binding), kek)
            .ok_or(OpenError::Damaged)
    }

    /// Wraps a record's data key under the current master key.
    pub(crate) fn rewrap(
        &self,
        sealed: &[u8],
        binding: &Binding,
        rng: &mut impl CryptoRng,
    ) -> Result<Rewrap, OpenError> {
        let record = Record::parse(sealed).ok_or(OpenError::Damaged)?;
        let keyring = self.keyring.load();
        let (from, to) = (keyring.find(record.kek_id()), keyring.current());
        if record.kek_id() == to.id() {
            return Ok(Rewrap::Current);
        }
        let from = from.ok_or(OpenError::UnknownKey(record.kek_id()))?;
        let rewrapped = record.rewrap(&associated_data(binding), from, to, rng);
        let rewrapped = rewrapped.ok_or(OpenError::Damaged)?;
        Ok(Rewrap::Rewrapped(rewrapped.into_bytes()))
    }

    /// Eight hexadecimal digits that tell two secrets apart, and nothing else about them.
    pub(crate) fn fingerprint(&self, secret: &[u8]) -> String {
        let [a, b, c, d, ..] = self.blind(secret);
        format!("{a:02x}{b:02x}{c:02x}{d:02x}")
    }

    /// A keyed hash of a secret, to compare with where the secret itself must not be.
    pub(crate) fn blind(&self, secret: &[u8]) -> [u8; 32] {
        let mut mac = mac(self.keyring.load().current().fingerprint_key().as_slice());
        mac.update(secret);
        mac.finalize().into_bytes().into()
    }
}

/// What a record is bound to. The name comes last and everything else has one length, so no two bindings are alike.
fn associated_data(binding: &Binding) -> Vec<u8> {
    let Binding {
        tenant_id,
        owner,
        id,
        version,
        purpose,
    } = binding;
    let mut data = b"posthorn.secret.v1".to_vec();
    data.extend_from_slice(tenant_id.uuid().as_bytes());
    data.extend_from_slice(&owner.kind().column().to_be_bytes());
    data.extend_from_slice(owner.uuid().as_bytes());
    data.extend_from_slice(id.uuid().as_bytes());
    data.extend_from_slice(&version.to_be_bytes());
    data.extend_from_slice(&purpose.column().to_be_bytes());
    data.extend_from_slice(purpose.name().as_bytes());
    data
}

fn mac(key: &[u8]) -> Hmac<Sha256> {
    // HMAC takes keys of every length, so this cannot fail.
    Hmac::new_from_slice(key)
        .unwrap_or_else(|_| Hmac::new(&hmac::digest::Key::<Hmac<Sha256>>::default()))
}

#[cfg(test)]
mod tests;
