//! Public keys and what they signed.
//!
//! The algorithm is always the scheme's; a key of another family verifies nothing.

use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use ring::signature::{self, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey};
use x509_parser::{
    pem::Pem,
    prelude::{FromDer as _, X509Certificate},
    public_key::PublicKey as Parsed,
    x509::SubjectPublicKeyInfo,
};

use crate::{crypto::digest, scheme::Algorithm};

/// The most blocks of a PEM text that are read.
const PEM_BLOCKS_MAX: usize = 16;

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PublicKey {
    /// 32 bytes.
    Ed25519(Vec<u8>),
    /// A point of P-256, uncompressed: 65 bytes.
    P256(Vec<u8>),
    /// Modulus and exponent, big-endian without leading zeros.
    Rsa {
        /// The modulus.
        n: Vec<u8>,
        /// The exponent.
        e: Vec<u8>,
    },
}

impl PublicKey {
    /// Reads the first public key or certificate of a PEM text. A certificate's validity is not looked at.
    pub(crate) fn from_pem(text: &[u8]) -> Option<Self> {
        Pem::iter_from_buffer(text)
            .take(PEM_BLOCKS_MAX)
            .map_while(Result::ok)
            .find_map(|block| match block.label.as_str() {
                "PUBLIC KEY" => Self::from_spki(&block.contents),
                "CERTIFICATE" => {
                    let (_, certificate) = X509Certificate::from_der(&block.contents).ok()?;
                    Self::from_info(certificate.public_key())
                }
                "RSA PUBLIC KEY" => {
                    let (_, key) =
                        x509_parser::public_key::RSAPublicKey::from_der(&block.contents).ok()?;
                    Some(Self::rsa(key.modulus, key.exponent))
                }
                _ => None,
            })
    }

    /// Reads a key in DER (`SubjectPublicKeyInfo`).
    pub(crate) fn from_spki(der: &[u8]) -> Option<Self> {
        let (rest, info) = SubjectPublicKeyInfo::from_der(der).ok()?;
        rest.is_empty().then(|| Self::from_info(&info)).flatten()
    }

    /// Takes the key of a certificate.
    pub(crate) fn from_info(info: &SubjectPublicKeyInfo<'_>) -> Option<Self> {
        const ED25519: &str = "1.3.101.112";
        const P256: &str = "1.2.840.10045.3.1.7";
        match info.parsed().ok()? {
            Parsed::RSA(key) => Some(Self::rsa(key.modulus, key.exponent)),
            Parsed::EC(point) => {
                let curve = info.algorithm.parameters.as_ref()?.as_oid().ok()?;
                let whole = curve.to_id_string() == P256;
                whole.then(|| Self::p256(point.data())).flatten()
            }
            Parsed::Unknown(bytes) if info.algorithm.algorithm.to_id_string() == ED25519 => {
                Self::ed25519(bytes)
            }
            _ => None,
        }
    }

    /// Takes bare bytes: 32 of an Ed25519 key, 65 of a point of P-256, or DER.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Self::ed25519(bytes)
            .or_else(|| Self::p256(bytes))
            .or_else(|| Self::from_spki(bytes))
    }

    /// Takes the 32 bytes of an Ed25519 key.
    pub(crate) fn ed25519(bytes: &[u8]) -> Option<Self> {
        (bytes.len() == 32).then(|| Self::Ed25519(bytes.to_vec()))
    }

    /// Takes the 65 bytes of an uncompressed point of P-256.
    pub(crate) fn p256(bytes: &[u8]) -> Option<Self> {
        (bytes.len() == 65 && bytes.first() == Some(&4)).then(|| Self::P256(bytes.to_vec()))
    }

    /// Takes modulus and exponent, big-endian.
    pub(crate) fn rsa(n: &[u8], e: &[u8]) -> Self {
        Self::Rsa {
            n: without_zeros(n).to_vec(),
            e: without_zeros(e).to_vec(),
        }
    }

    /// Whether this key signed the content. RSA keys have at least 2,048 bits.
    pub(crate) fn verify(&self, alg: Algorithm, content: &[u8], signature: &[u8]) -> bool {
        match (self, alg) {
            (Self::Ed25519(key), Algorithm::Ed25519) => {
                let key = UnparsedPublicKey::new(&signature::ED25519, key);
                key.verify(content, signature).is_ok()
            }
            (Self::P256(point), Algorithm::EcdsaP256Sha256) => {
                ecdsa_sha256(point, content, signature)
            }
            (Self::P256(point), Algorithm::EcdsaP256Sha1) => {
                ecdsa_prehashed(point, &digest::sha1(content), signature).is_some()
            }
            (Self::Rsa { n, e }, alg) => rsa_parameters(alg).is_some_and(|parameters| {
                RsaPublicKeyComponents { n, e }
                    .verify(parameters, content, signature)
                    .is_ok()
            }),
            _ => false,
        }
    }
}

fn ecdsa_sha256(point: &[u8], content: &[u8], signature: &[u8]) -> bool {
    let parameters = if is_fixed(signature) {
        &signature::ECDSA_P256_SHA256_FIXED
    } else {
        &signature::ECDSA_P256_SHA256_ASN1
    };
    UnparsedPublicKey::new(parameters, point)
        .verify(content, signature)
        .is_ok()
}

fn ecdsa_prehashed(point: &[u8], digest: &[u8], signature: &[u8]) -> Option<()> {
    let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(point).ok()?;
    let signature = if is_fixed(signature) {
        p256::ecdsa::Signature::from_slice(signature)
    } else {
        p256::ecdsa::Signature::from_der(signature)
    };
    key.verify_prehash(digest, &signature.ok()?).ok()
}

/// 64 bytes are both numbers side by side. DER of two full numbers is longer; shorter DER of exactly 64 bytes is too
/// rare to happen by chance, and is then refused.
fn is_fixed(signature: &[u8]) -> bool {
    signature.len() == 64
}

fn rsa_parameters(alg: Algorithm) -> Option<&'static RsaParameters> {
    match alg {
        Algorithm::RsaSha1 => Some(&signature::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY),
        Algorithm::RsaSha256 => Some(&signature::RSA_PKCS1_2048_8192_SHA256),
        Algorithm::RsaSha384 => Some(&signature::RSA_PKCS1_2048_8192_SHA384),
        Algorithm::RsaSha512 => Some(&signature::RSA_PKCS1_2048_8192_SHA512),
        Algorithm::RsaPssSha256 => Some(&signature::RSA_PSS_2048_8192_SHA256),
        Algorithm::RsaPssSha512 => Some(&signature::RSA_PSS_2048_8192_SHA512),
        _ => None,
    }
}

fn without_zeros(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|&&byte| byte == 0).count();
    bytes.get(zeros..).unwrap_or_default()
}
