//! Signatures of outbound webhooks: pure functions over a key.
//!
//! The scheme is Standard Webhooks v1 (<https://www.standardwebhooks.com>, section "Signature scheme"): HMAC-SHA256 over
//! `{id}.{timestamp}.{body}`, base64, prefixed `v1,`; during a rotation one signature per key, separated by a blank. The
//! second form, `sha256=` and hex over the body alone, is for receivers that know nothing else; it holds no time.

use std::fmt::Write as _;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use rand::Rng;
use secrecy::{ExposeSecret as _, SecretSlice, SecretString};
use sha2::Sha256;
use zeroize::Zeroizing;

type HmacSha256 = Hmac<Sha256>;

/// What the text form of a signing key begins with.
const PREFIX: &str = "whsec_";
/// The shortest key, in bytes.
const KEY_BYTES_MIN: usize = 24;
/// The longest key, in bytes.
const KEY_BYTES_MAX: usize = 64;
/// The length of a key that Posthorn makes, in bytes.
const KEY_BYTES: usize = 32;

/// A key that signs what goes to one endpoint. It cannot be printed.
#[derive(Debug, Clone)]
pub(crate) struct SigningKey(SecretSlice<u8>);

/// Text that is no signing key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be `whsec_` followed by the base64 of 24 to 64 bytes")]
pub(crate) struct SigningKeyError;

impl SigningKey {
    /// Makes a new key of 32 bytes.
    pub(crate) fn generate(rng: &mut impl Rng) -> Self {
        let mut bytes = vec![0; KEY_BYTES];
        rng.fill_bytes(&mut bytes);
        Self(bytes.into())
    }

    /// Reads the text form.
    pub(crate) fn parse(text: &str) -> Result<Self, SigningKeyError> {
        let encoded = text.strip_prefix(PREFIX).ok_or(SigningKeyError)?;
        let bytes = BASE64_STANDARD
            .decode(encoded)
            .map_err(|_| SigningKeyError)?;
        Self::from_bytes(bytes)
    }

    /// Takes the bytes as they were sealed.
    pub(crate) fn from_bytes(bytes: Vec<u8>) -> Result<Self, SigningKeyError> {
        let bytes = Zeroizing::new(bytes);
        if !(KEY_BYTES_MIN..=KEY_BYTES_MAX).contains(&bytes.len()) {
            return Err(SigningKeyError);
        }
        Ok(Self(bytes.to_vec().into()))
    }

    /// The bytes, for sealing.
    pub(crate) fn expose_bytes(&self) -> &[u8] {
        self.0.expose_secret()
    }

    /// The text form, to be shown once.
    pub(crate) fn expose_text(&self) -> SecretString {
        let encoded = Zeroizing::new(BASE64_STANDARD.encode(self.expose_bytes()));
        format!("{PREFIX}{}", *encoded).into()
    }

    fn mac(&self) -> HmacSha256 {
        // HMAC takes keys of every length, so this cannot fail.
        HmacSha256::new_from_slice(self.expose_bytes())
            .unwrap_or_else(|_| HmacSha256::new(&hmac::digest::Key::<HmacSha256>::default()))
    }
}

/// The value of `webhook-signature`: one `v1,` entry per key.
pub(crate) fn webhook_signature<'a>(
    keys: impl IntoIterator<Item = &'a SigningKey>,
    id: &str,
    timestamp_s: i64,
    body: &[u8],
) -> String {
    let mut value = String::with_capacity(64);
    for key in keys {
        let mut mac = key.mac();
        mac.update(id.as_bytes());
        mac.update(b".");
        mac.update(timestamp_s.to_string().as_bytes());
        mac.update(b".");
        mac.update(body);
        if !value.is_empty() {
            value.push(' ');
        }
        value.push_str("v1,");
        BASE64_STANDARD.encode_string(mac.finalize().into_bytes(), &mut value);
    }
    value
}

/// The value of the second signature header: `sha256=` and the hex HMAC-SHA256 of the body.
pub(crate) fn body_signature(key: &SigningKey, body: &[u8]) -> String {
    let mut mac = key.mac();
    mac.update(body);
    let mut value = String::with_capacity(71);
    value.push_str("sha256=");
    for byte in mac.finalize().into_bytes() {
        // Writing to a string cannot fail.
        let _ = write!(value, "{byte:02x}");
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[test]
    fn the_published_vector_of_standard_webhooks_is_met() {
        // From the specification's reference libraries: this key, id, timestamp and body.
        let key = SigningKey::parse(KEY).unwrap();
        let value = webhook_signature(
            [&key],
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(value, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn two_keys_make_two_signatures_and_either_verifies() {
        let old = SigningKey::parse(KEY).unwrap();
        let new = SigningKey::generate(&mut rand::rngs::SmallRng::from_seed([7; 32]));
        let value = webhook_signature([&new, &old], "evt_1", 1_614_265_330, b"{}");
        let single = webhook_signature([&old], "evt_1", 1_614_265_330, b"{}");
        assert_eq!(value.split(' ').count(), 2);
        assert_eq!(value.split(' ').next_back(), Some(single.as_str()));
    }

    use rand::SeedableRng as _;

    #[test]
    fn the_body_signature_is_the_hmac_of_the_body() {
        // RFC 4231 has no key of 24 bytes or more below its block size but case 4: 25 bytes 01..19, fifty bytes cd.
        let key = SigningKey::from_bytes((1..=25).collect()).unwrap();
        assert_eq!(
            body_signature(&key, &[0xcd; 50]),
            "sha256=82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"
        );
    }

    #[test]
    fn text_that_is_no_key_is_refused() {
        for bytes in [0, 1, 23, 65, 1_000] {
            let text = format!("{PREFIX}{}", BASE64_STANDARD.encode(vec![7; bytes]));
            assert!(SigningKey::parse(&text).is_err(), "{bytes} bytes");
        }
        for text in [
            "",
            "whsec_",
            "whsec_whsec_AAAA",
            "whsec_!!!!",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        ] {
            assert!(SigningKey::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_key_cannot_be_printed() {
        let key = SigningKey::parse(KEY).unwrap();
        assert!(!format!("{key:?}").contains("MfKQ"));
        assert_eq!(key.expose_text().expose_secret(), KEY);
    }
}
