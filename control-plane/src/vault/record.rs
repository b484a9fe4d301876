//! The bytes of a sealed secret.

use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, Payload},
};
use rand::CryptoRng;
use zeroize::Zeroizing;

use super::keyring::{KEY_BYTES, Kek, KekId};

const FORMAT: u8 = 1;
const ID_BYTES: usize = 4;
const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
const WRAPPED_BYTES: usize = KEY_BYTES + TAG_BYTES;

/// A record, taken apart.
pub(super) struct Record {
    kek_id: KekId,
    wrapped: Sealed,
    data: Sealed,
}

/// A nonce and what was encrypted with it.
struct Sealed {
    nonce: [u8; NONCE_BYTES],
    ciphertext: Vec<u8>,
}

impl Record {
    /// Encrypts under a new data key. None: the secret is longer than the cipher takes.
    pub(super) fn seal(
        secret: &[u8],
        associated: &[u8],
        kek: &Kek,
        rng: &mut impl CryptoRng,
    ) -> Option<Self> {
        let mut data_key = Zeroizing::new([0; KEY_BYTES]);
        rng.fill_bytes(data_key.as_mut_slice());
        Some(Self {
            kek_id: kek.id(),
            wrapped: Sealed::encrypt(kek.expose(), data_key.as_slice(), associated, rng)?,
            data: Sealed::encrypt(&data_key, secret, associated, rng)?,
        })
    }

    /// Takes bytes apart. None: they are too short or of another format.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let (format, rest) = bytes.split_first()?;
        let (id, rest) = rest.split_first_chunk::<ID_BYTES>()?;
        let (wrap_nonce, rest) = rest.split_first_chunk::<NONCE_BYTES>()?;
        let (wrapped, rest) = rest.split_first_chunk::<WRAPPED_BYTES>()?;
        let (data_nonce, ciphertext) = rest.split_first_chunk::<NONCE_BYTES>()?;
        if *format != FORMAT || ciphertext.len() < TAG_BYTES {
            return None;
        }
        Some(Self {
            kek_id: KekId(*id),
            wrapped: Sealed {
                nonce: *wrap_nonce,
                ciphertext: wrapped.to_vec(),
            },
            data: Sealed {
                nonce: *data_nonce,
                ciphertext: ciphertext.to_vec(),
            },
        })
    }

    /// The master key that it is sealed under.
    pub(super) fn kek_id(&self) -> KekId {
        self.kek_id
    }

    /// Decrypts. None: a key, the associated data or a byte is another.
    pub(super) fn open(&self, associated: &[u8], kek: &Kek) -> Option<Zeroizing<Vec<u8>>> {
        let data_key = self.data_key(associated, kek)?;
        self.data.decrypt(&data_key, associated)
    }

    /// The same secret with its data key wrapped under another master key.
    pub(super) fn rewrap(
        self,
        associated: &[u8],
        from: &Kek,
        to: &Kek,
        rng: &mut impl CryptoRng,
    ) -> Option<Self> {
        let data_key = self.data_key(associated, from)?;
        Some(Self {
            kek_id: to.id(),
            wrapped: Sealed::encrypt(to.expose(), data_key.as_slice(), associated, rng)?,
            data: self.data,
        })
    }

    /// Puts the bytes together.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        let mut bytes = vec![FORMAT];
        bytes.extend_from_slice(&self.kek_id.0);
        for part in [&self.wrapped, &self.data] {
            bytes.extend_from_slice(&part.nonce);
            bytes.extend_from_slice(&part.ciphertext);
        }
        bytes
    }

    fn data_key(&self, associated: &[u8], kek: &Kek) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
        let key = self.wrapped.decrypt(kek.expose(), associated)?;
        key.as_slice().try_into().ok().map(Zeroizing::new)
    }
}

impl Sealed {
    fn encrypt(
        key: &[u8; KEY_BYTES],
        plain: &[u8],
        associated: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Option<Self> {
        let mut nonce = [0; NONCE_BYTES];
        rng.fill_bytes(&mut nonce);
        let payload = Payload {
            msg: plain,
            aad: associated,
        };
        let ciphertext = cipher(key).encrypt(&XNonce::from(nonce), payload).ok()?;
        Some(Self { nonce, ciphertext })
    }

    fn decrypt(&self, key: &[u8; KEY_BYTES], associated: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let payload = Payload {
            msg: &self.ciphertext,
            aad: associated,
        };
        let plain = cipher(key).decrypt(&XNonce::from(self.nonce), payload);
        plain.ok().map(Zeroizing::new)
    }
}

fn cipher(key: &[u8; KEY_BYTES]) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(key.into())
}
