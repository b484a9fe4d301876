//! Secrets of a source: bytes that cannot be printed.

use secrecy::{ExposeSecret as _, SecretSlice};
use zeroize::Zeroizing;

/// The longest secret, in bytes: room for a key set or a certificate chain.
pub const SECRET_BYTES_MAX: usize = 64 * 1024;

/// A secret as it was configured. Never empty; what its text means is the scheme's business.
#[derive(Debug, Clone)]
pub struct Secret(SecretSlice<u8>);

/// Bytes that are no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// An empty secret would let anybody sign.
    #[error("a secret must not be empty")]
    Empty,
    /// Longer than [`SECRET_BYTES_MAX`].
    #[error("a secret must not be longer than 65,536 bytes")]
    TooLong,
    /// A line break or another control character, which comes from how it was copied.
    #[error(
        "a secret must not hold control characters or line breaks, unless it is a key in PEM or JSON"
    )]
    ControlCharacter,
    /// The scheme wants another form, such as base64 or a public key in PEM.
    #[error("the secret does not have the form that the scheme wants")]
    Form,
}

impl Secret {
    /// Takes the bytes over.
    ///
    /// # Errors
    /// When there are none, or too many.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, SecretError> {
        let bytes = Zeroizing::new(bytes.into());
        if bytes.is_empty() {
            return Err(SecretError::Empty);
        }
        if bytes.len() > SECRET_BYTES_MAX {
            return Err(SecretError::TooLong);
        }
        Ok(Self(bytes.to_vec().into()))
    }

    /// Whether it holds control characters that do not belong there: PEM and JSON have line breaks, other text has none.
    pub(crate) fn holds_control_characters(&self) -> bool {
        let bytes = self.expose();
        let begin = bytes.trim_ascii_start();
        let has_lines = begin.starts_with(b"-----BEGIN") || begin.starts_with(b"{");
        bytes
            .iter()
            .any(|byte| byte.is_ascii_control() && !(has_lines && b"\r\n\t".contains(byte)))
    }

    /// The bytes, for sealing and for signing.
    pub fn expose(&self) -> &[u8] {
        self.0.expose_secret()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_or_huge_secret_is_refused() {
        assert_eq!(Secret::new("").err(), Some(SecretError::Empty));
        assert_eq!(
            Secret::new(vec![1; SECRET_BYTES_MAX + 1]).err(),
            Some(SecretError::TooLong)
        );
        assert!(Secret::new("a").is_ok());
    }

    #[test]
    fn control_characters_are_found_where_they_do_not_belong() {
        for (text, found) in [
            ("abc", false),
            ("a b\u{e9}", false),
            ("abc\n", true),
            ("a\0b", true),
            ("-----BEGIN PUBLIC KEY-----\r\nAA\n", false),
            ("-----BEGIN PUBLIC KEY-----\0", true),
            ("{\n\t\"keys\": []\n}", false),
        ] {
            let secret = Secret::new(text).expect(text);
            assert_eq!(secret.holds_control_characters(), found, "{text:?}");
        }
    }

    #[test]
    fn a_secret_does_not_print_itself() {
        let secret = Secret::new("canary").expect("a secret");
        assert!(!format!("{secret:?}").contains("canary"));
    }
}
