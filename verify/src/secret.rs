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
    fn a_secret_does_not_print_itself() {
        let secret = Secret::new("canary").expect("a secret");
        assert!(!format!("{secret:?}").contains("canary"));
    }
}
