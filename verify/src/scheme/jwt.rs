//! The part of a scheme that speaks of JSON web tokens.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Encoding, Many};

/// What a JWT must say. Its place is `sig.at` and `sig.prefix`; its keys are the secrets, or `key.remote`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JwtRule {
    /// The algorithms that are taken: `HS256`, `HS384`, `HS512`, `RS256`, `RS384`, `RS512`, `PS256`, `PS512`, `ES256`, `EdDSA`.
    pub algs: Vec<String>,
    /// Claims and the templates of which one must be equal.
    pub claims: BTreeMap<String, Many>,
    /// Claims that must be there.
    pub need: Vec<String>,
    /// By how many seconds clocks may differ.
    pub leeway_s: u32,
    /// The greatest age by `iat` in seconds; `iat` is needed when this is given.
    pub max_age_s: Option<u32>,
    /// The claim that holds the SHA-256 of the body.
    pub body_hash: Option<HashClaim>,
    /// The claim that holds the SHA-256 of the registered URL.
    pub url_hash: Option<HashClaim>,
}

/// A claim that holds a digest.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HashClaim {
    /// The claim's name.
    pub claim: String,
    /// How it is written.
    #[serde(default)]
    pub enc: Encoding,
    /// Whether it is left out when what it covers is empty (and only then).
    #[serde(default)]
    pub absent_when_empty: bool,
}
