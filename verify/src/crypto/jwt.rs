//! JSON web tokens and key sets: only what the schemes use.
//!
//! The algorithm must be on the scheme's list, `crit` and repeated members are refused, and keys come from configuration
//! or from an address that the scheme pins, never from the token.

use std::borrow::Cow;

use zeroize::Zeroizing;

use crate::{
    Refusal,
    crypto::asym::PublicKey,
    crypto::digest,
    crypto::encoding::{base64url, decode},
    json::{self, Found, Kind},
    scheme::{Algorithm, HashClaim},
    timestamp::{self, Window},
};

/// The longest token, in bytes.
pub(crate) const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// The most keys of a set.
const KEYS_MAX: usize = 100;

/// A token in its parts, not yet verified.
#[derive(Debug)]
pub(crate) struct Token<'a> {
    /// The algorithm's name, one of the scheme's list.
    pub alg: &'a str,
    /// The key's name, if given.
    pub kid: Option<String>,
    /// What is signed.
    pub signed: &'a str,
    /// The payload's JSON text.
    pub payload: String,
    signature: Vec<u8>,
}

/// A public key and the name it goes by, if any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedKey {
    /// The key id.
    pub id: Option<String>,
    /// The key.
    pub key: PublicKey,
}

/// The keys that a token may be signed with.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    /// For HS256 and its kin.
    pub shared: Vec<Zeroizing<Vec<u8>>>,
    /// For the others.
    pub public: Vec<NamedKey>,
}

/// Splits a token and reads its header.
///
/// # Errors
/// `MalformedToken`, or `ForbiddenAlgorithm` when the algorithm is not on the list.
pub(crate) fn parse<'a>(token: &'a str, algs: &'a [impl AsRef<str>]) -> Result<Token<'a>, Refusal> {
    let (signed, signature) = token.rsplit_once('.').ok_or(Refusal::MalformedToken)?;
    let (header, payload) = signed.split_once('.').ok_or(Refusal::MalformedToken)?;
    if token.len() > TOKEN_BYTES_MAX || payload.contains('.') {
        return Err(Refusal::MalformedToken);
    }
    let header = json_part(header).ok_or(Refusal::MalformedToken)?;
    let header = json::whole(&header).ok_or(Refusal::MalformedToken)?;
    let alg = claim(&header, "alg")?.ok_or(Refusal::MalformedToken)?;
    let alg = algs.iter().map(AsRef::as_ref).find(|&known| known == alg);
    if claim(&header, "crit")?.is_some() || has(&header, "crit") {
        return Err(Refusal::MalformedToken);
    }
    Ok(Token {
        alg: alg.ok_or(Refusal::ForbiddenAlgorithm)?,
        kid: claim(&header, "kid")?.map(Cow::into_owned),
        signed,
        payload: json_part(payload).ok_or(Refusal::MalformedToken)?,
        signature: strict_base64url(signature).ok_or(Refusal::MalformedToken)?,
    })
}

/// The payload's JSON text of a token that was verified before.
pub(crate) fn payload(token: &str) -> Option<String> {
    json_part(token.split('.').nth(1)?)
}

impl Token<'_> {
    /// Whether one of the keys signed it.
    ///
    /// # Errors
    /// `WrongSignature`; `UnknownKey` when the token names a key that is not there; `NoSecret` when there is no key that
    /// goes with the algorithm.
    pub(crate) fn verify(&self, keys: &Keys) -> Result<(), Refusal> {
        match algorithm(self.alg).ok_or(Refusal::ForbiddenAlgorithm)? {
            (Family::Shared, alg) => self.verify_shared(alg, &keys.shared),
            (Family::Public, alg) => self.verify_public(alg, &keys.public),
        }
    }

    fn verify_shared(&self, alg: Algorithm, keys: &[Zeroizing<Vec<u8>>]) -> Result<(), Refusal> {
        if keys.is_empty() {
            return Err(Refusal::NoSecret);
        }
        let signed = |key: &[u8]| digest::keyed(alg, key, std::iter::once(self.signed.as_bytes()));
        let right = keys.iter().fold(false, |right, key| {
            right | signed(key).is_some_and(|mac| digest::same(&self.signature, &mac))
        });
        right.then_some(()).ok_or(Refusal::WrongSignature)
    }

    fn verify_public(&self, alg: Algorithm, keys: &[NamedKey]) -> Result<(), Refusal> {
        if keys.is_empty() {
            return Err(Refusal::NoSecret);
        }
        let mut named = keys
            .iter()
            .filter(|known| match (&known.id, &self.kid) {
                (Some(id), Some(kid)) => id == kid,
                _ => true,
            })
            .peekable();
        if named.peek().is_none() {
            return Err(Refusal::UnknownKey);
        }
        // In a JWS an ECDSA signature is always the two numbers side by side, never DER.
        let length_fits = alg != Algorithm::EcdsaP256Sha256 || self.signature.len() == 64;
        let right = length_fits
            && named.any(|known| {
                known
                    .key
                    .verify(alg, self.signed.as_bytes(), &self.signature)
            });
        right.then_some(()).ok_or(Refusal::WrongSignature)
    }
}

/// Whether a JWA name is one that can be verified.
pub(crate) fn is_algorithm(name: &str) -> bool {
    algorithm(name).is_some()
}

/// Whether a JWA name is one of a shared secret.
pub(crate) fn is_shared(name: &str) -> bool {
    matches!(algorithm(name), Some((Family::Shared, _)))
}

enum Family {
    Shared,
    Public,
}

fn algorithm(name: &str) -> Option<(Family, Algorithm)> {
    Some(match name {
        "HS256" => (Family::Shared, Algorithm::Sha256),
        "HS384" => (Family::Shared, Algorithm::Sha384),
        "HS512" => (Family::Shared, Algorithm::Sha512),
        "RS256" => (Family::Public, Algorithm::RsaSha256),
        "RS384" => (Family::Public, Algorithm::RsaSha384),
        "RS512" => (Family::Public, Algorithm::RsaSha512),
        "PS256" => (Family::Public, Algorithm::RsaPssSha256),
        "PS512" => (Family::Public, Algorithm::RsaPssSha512),
        "ES256" => (Family::Public, Algorithm::EcdsaP256Sha256),
        "EdDSA" => (Family::Public, Algorithm::Ed25519),
        _ => return None,
    })
}

/// Checks `exp`, `nbf` and `iat` as far as they are there. `max_age` needs `iat`.
pub(crate) fn check_times(
    claims: &Found<'_>,
    leeway_ms: i64,
    max_age: Option<Window>,
    now_ms: i64,
) -> Result<(), Refusal> {
    if let Some(exp) = date(claims, "exp")?
        && exp.saturating_add(leeway_ms) <= now_ms
    {
        return Err(Refusal::Stale);
    }
    if let Some(nbf) = date(claims, "nbf")?
        && nbf.saturating_sub(leeway_ms) > now_ms
    {
        return Err(Refusal::FromTheFuture);
    }
    match (date(claims, "iat")?, max_age) {
        (Some(iat), Some(window)) => timestamp::check(Some(window), iat, now_ms),
        (None, Some(_)) => Err(Refusal::MissingTimestamp),
        (_, None) => Ok(()),
    }
}

/// Checks a claim that holds a digest of some bytes.
pub(crate) fn check_hash(
    claims: &Found<'_>,
    rule: &HashClaim,
    bytes: &[u8],
) -> Result<(), Refusal> {
    let refused = Refusal::Claim("hash");
    let Some(text) = claim(claims, &rule.claim)? else {
        let fine = rule.absent_when_empty && bytes.is_empty();
        return fine.then_some(()).ok_or(refused);
    };
    let given = decode(rule.enc, &text).ok_or(refused)?;
    digest::same(&given, &digest::sha256(bytes))
        .then_some(())
        .ok_or(refused)
}

/// A string, number or truth value of the claims; refused when there are several of the name.
pub(crate) fn claim<'a>(claims: &Found<'a>, name: &str) -> Result<Option<Cow<'a, str>>, Refusal> {
    Ok(member(claims, name)?.and_then(|found| found.text()))
}

/// All values of a claim that may be one text or a list of texts, as `aud` may.
pub(crate) fn claim_list<'a>(claims: &Found<'a>, name: &str) -> Result<Vec<Cow<'a, str>>, Refusal> {
    let Some(found) = member(claims, name)? else {
        return Ok(Vec::new());
    };
    Ok(match found.kind {
        Kind::Array => found
            .elements()
            .take(64)
            .filter_map(|one| one.text())
            .collect(),
        _ => found.text().into_iter().collect(),
    })
}

/// Whether a member is there at all, `null` included.
pub(crate) fn has(claims: &Found<'_>, name: &str) -> bool {
    claims.members().any(|(known, _)| known == name)
}

fn member<'a>(claims: &Found<'a>, name: &str) -> Result<Option<Found<'a>>, Refusal> {
    let mut found = claims.members().filter(|(known, _)| known == name);
    let first = found.next().map(|(_, value)| value);
    if found.next().is_some() {
        return Err(Refusal::MalformedToken);
    }
    Ok(first)
}

/// A `NumericDate` in milliseconds; a fraction of a second is dropped.
fn date(claims: &Found<'_>, name: &'static str) -> Result<Option<i64>, Refusal> {
    let Some(found) = member(claims, name)? else {
        return Ok(None);
    };
    let whole = found
        .raw
        .split_once('.')
        .map_or(found.raw, |(whole, _)| whole);
    let seconds = (found.kind == Kind::Number)
        .then(|| timestamp::digits(whole))
        .flatten()
        .ok_or(Refusal::MalformedTimestamp)?;
    Ok(Some(seconds.saturating_mul(1000)))
}

fn json_part(part: &str) -> Option<String> {
    let bytes = strict_base64url(part)?;
    json::document(&bytes).ok()?;
    String::from_utf8(bytes).ok()
}

fn strict_base64url(text: &str) -> Option<Vec<u8>> {
    (!text.contains('=')).then(|| base64url(text)).flatten()
}

/// Reads a JSON web key set, or a single key. Keys of kinds that are not used are left out.
pub(crate) fn jwks(bytes: &[u8]) -> Option<Vec<NamedKey>> {
    let set = json::whole(json::document(bytes).ok()?)?;
    let keys = match member(&set, "keys").ok()? {
        Some(keys) => keys
            .elements()
            .take(KEYS_MAX)
            .filter_map(|key| jwk(&key))
            .collect(),
        None => jwk(&set).into_iter().collect(),
    };
    Some(keys)
}

/// Reads a JSON object of key ids and certificates or keys in PEM.
pub(crate) fn google_certs(bytes: &[u8]) -> Option<Vec<NamedKey>> {
    let set = json::whole(json::document(bytes).ok()?)?;
    let named = |(id, pem): (Cow<'_, str>, Found<'_>)| {
        Some(NamedKey {
            id: Some(id.into_owned()),
            key: PublicKey::from_pem(pem.text()?.as_bytes())?,
        })
    };
    Some(set.members().take(KEYS_MAX).filter_map(named).collect())
}

fn jwk(key: &Found<'_>) -> Option<NamedKey> {
    let text = |name| claim(key, name).ok().flatten();
    let bytes = |name| base64url(&text(name)?);
    if text("use").is_some_and(|purpose| purpose != "sig") {
        return None;
    }
    let curve = text("crv");
    let public = match (text("kty")?.as_ref(), curve.as_deref()) {
        ("RSA", _) => PublicKey::rsa(&bytes("n")?, &bytes("e")?),
        ("EC", Some("P-256")) => PublicKey::p256(&[vec![4], bytes("x")?, bytes("y")?].concat())?,
        ("OKP", Some("Ed25519")) => PublicKey::ed25519(&bytes("x")?)?,
        _ => return None,
    };
    Some(NamedKey {
        id: text("kid").map(Cow::into_owned),
        key: public,
    })
}

#[cfg(test)]
mod tests;
