//! The part of a scheme that speaks of secrets and keys.

use serde::Deserialize;

use crate::remote::KeyForm;

/// How a secret's text becomes a key.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeyRule {
    /// The decoding.
    pub decode: KeyDecode,
    /// A prefix that is taken off when it is there; one `*` in it stands for any text: `whsec_`, `signkey-*-`.
    pub strip: String,
    /// A prefix that must be there, and is taken off: `whpk_`.
    pub prefix: String,
    /// Secrets that begin so are no keys of this scheme: keys of a sister scheme.
    pub not_prefix: Vec<String>,
    /// Whether the text is brought into Unicode's NFKD first.
    pub nfkd: bool,
    /// The fewest bytes of the decoded key; 1 when not given.
    pub bytes_min: usize,
    /// The most bytes of the decoded key; no limit when 0.
    pub bytes_max: usize,
    /// Other ways to read the same secret, each of which is tried too; at most three, and none has others.
    pub or: Vec<KeyRule>,
    /// A key that the provider publishes.
    pub remote: Option<RemoteKey>,
}

/// How a secret's text is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyDecode {
    /// The text's bytes are the key.
    #[default]
    Utf8,
    /// Base64 or base64url, with or without padding.
    Base64,
    /// Hex in either case.
    Hex,
    /// The SHA-1 digest of the text is the key.
    Sha1,
    /// A public key or certificate in PEM.
    Pem,
    /// A public key (SPKI) in base64 of DER.
    Der,
    /// A JSON web key set.
    Jwks,
}

/// Where a provider publishes its keys.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoteKey {
    /// A template of the address, such as `{header:paypal-cert-url}` or `https://issuer.example.com/{param:app}/jwks`.
    pub url: String,
    /// Host names that it may have; `*` stands for one label. User-made records need this too.
    pub hosts: Vec<String>,
    /// What is found there.
    pub form: KeyForm,
    /// With `provider_json`: the pointer to the key's text (PEM, or base64 of DER).
    #[serde(default)]
    pub pointer: String,
}
