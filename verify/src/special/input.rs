//! What the special schemes share: reading values of a request strictly, and trying secrets.

use std::{borrow::Cow, collections::BTreeMap};

use crate::{
    Context, Refusal, Request, Secret,
    crypto::asym::PublicKey,
    crypto::digest::{keyed, same},
    crypto::encoding,
    json::{Found, Kind, document, whole},
    scheme::{Algorithm, TimeUnit},
    special::SpecialPlan,
    timestamp,
};

/// The most entries of a signature list, and the most secrets, that are tried.
pub(super) const LIST_MAX: usize = 10;

/// The longest signature header that is read, in bytes.
const SIGNATURE_BYTES_MAX: usize = 8 * 1024;

/// The most members of a JSON object whose names are looked at.
const MEMBERS_MAX: usize = 1_000;

/// The text of the header that holds the signature.
///
/// # Errors
/// `MissingSignature` when it is missing or empty, `MalformedSignature` when it is too long.
pub(super) fn signature<'a>(request: &Request<'a>, name: &'static str) -> Result<&'a str, Refusal> {
    match request.headers.one(name)? {
        None | Some("") => Err(Refusal::MissingSignature),
        Some(text) if text.len() > SIGNATURE_BYTES_MAX => Err(Refusal::MalformedSignature),
        Some(text) => Ok(text),
    }
}

/// The text of a header that is signed.
///
/// # Errors
/// `MissingValue` when it is missing.
pub(super) fn header<'a>(request: &Request<'a>, name: &'a str) -> Result<&'a str, Refusal> {
    request.headers.one(name)?.ok_or(Refusal::MissingValue)
}

/// The text of the header that holds the signing time.
///
/// # Errors
/// `MissingTimestamp` when it is missing.
pub(super) fn time<'a>(request: &Request<'a>, name: &'a str) -> Result<&'a str, Refusal> {
    request.headers.one(name)?.ok_or(Refusal::MissingTimestamp)
}

/// A setting without which nothing can be verified.
///
/// # Errors
/// `Requirement` when it is missing or empty.
pub(super) fn setting<'a>(plan: &'a SpecialPlan, name: &str) -> Result<&'a str, Refusal> {
    plan.setting(name)
        .filter(|value| !value.is_empty())
        .ok_or(Refusal::Requirement)
}

/// Whether the request says that its body is a form; parameters such as a charset do not matter.
pub(super) fn is_form(request: &Request<'_>) -> bool {
    let Ok(Some(given)) = request.headers.one("content-type") else {
        return false;
    };
    let given = given.split(';').next().unwrap_or_default();
    given
        .trim()
        .eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// Hex in lower case, for providers that write it so and compare it as text.
///
/// # Errors
/// `MalformedSignature` when it is none.
pub(super) fn lower_hex(text: &str) -> Result<Vec<u8>, Refusal> {
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(Refusal::MalformedSignature);
    }
    hex::decode(text).map_err(|_| Refusal::MalformedSignature)
}

/// Base64 with padding.
///
/// # Errors
/// `MalformedSignature` when it is none.
pub(super) fn base64(text: &str) -> Result<Vec<u8>, Refusal> {
    encoding::base64(text).ok_or(Refusal::MalformedSignature)
}

/// Checks a signing time against the source's tolerance; `tolerance_s` is the scheme's own, for both directions.
///
/// # Errors
/// `MalformedTimestamp`, `Stale` or `FromTheFuture`.
pub(super) fn check_time(
    context: &Context<'_>,
    plan: &SpecialPlan,
    (unit, text): (TimeUnit, &str),
    tolerance_s: u32,
) -> Result<(), Refusal> {
    let at_ms = timestamp::parse(unit, text)?;
    let limit_ms = i64::from(tolerance_s) * 1_000;
    let window = plan.tolerance.window(limit_ms, limit_ms);
    timestamp::check(window, at_ms, context.now_ms)
}

/// Whether a signature is the HMAC of the parts, compared in constant time.
pub(super) fn is_hmac(alg: Algorithm, key: &[u8], parts: &[&[u8]], signature: &[u8]) -> bool {
    keyed(alg, key, parts.iter().copied()).is_some_and(|mac| same(signature, &mac))
}

/// Tries every secret, at most [`LIST_MAX`]; `is_right` says whether the signature is that of the secret's bytes.
///
/// # Errors
/// `NoSecret` when there is none, `WrongSignature` when none is right.
pub(super) fn any_secret(
    secrets: &[Secret],
    is_right: impl Fn(&[u8]) -> bool,
) -> Result<(), Refusal> {
    if secrets.is_empty() {
        return Err(Refusal::NoSecret);
    }
    let secrets = secrets.iter().take(LIST_MAX).map(Secret::expose);
    let right = secrets.fold(false, |right, secret| is_right(secret) | right);
    right.then_some(()).ok_or(Refusal::WrongSignature)
}

/// The public keys among the source's secrets: PEM, or base64 of DER.
pub(super) fn public_keys(secrets: &[Secret]) -> Vec<PublicKey> {
    let secrets = secrets.iter().take(LIST_MAX).map(Secret::expose);
    secrets.filter_map(public_key).collect()
}

/// A public key in PEM, with or without line breaks, or in base64 of DER.
pub(super) fn public_key(text: &[u8]) -> Option<PublicKey> {
    let bare = || {
        let text = std::str::from_utf8(text).ok()?.trim();
        let text = text
            .strip_prefix("-----BEGIN PUBLIC KEY-----")
            .unwrap_or(text);
        let text = text
            .strip_suffix("-----END PUBLIC KEY-----")
            .unwrap_or(text);
        PublicKey::from_spki(&encoding::lenient_base64(text.trim())?)
    };
    PublicKey::from_pem(text).or_else(bare)
}

/// Tries every public key of the source.
///
/// # Errors
/// `NoSecret` when there is none, `WrongSignature` when none signed the content.
pub(super) fn any_public_key(
    keys: &[PublicKey],
    alg: Algorithm,
    content: &[u8],
    signature: &[u8],
) -> Result<(), Refusal> {
    if keys.is_empty() {
        return Err(Refusal::NoSecret);
    }
    let right = keys.iter().any(|key| key.verify(alg, content, signature));
    right.then_some(()).ok_or(Refusal::WrongSignature)
}

/// The members of a JSON object, each name once.
///
/// Schemes that sign values instead of bytes read these: where a name is there twice, one reader sees what was signed and
/// another does not.
#[derive(Debug)]
pub(super) struct Object<'a>(BTreeMap<Cow<'a, str>, Found<'a>>);

impl<'a> Object<'a> {
    /// The object that a body is.
    ///
    /// # Errors
    /// `MalformedBody` when it is none.
    pub(super) fn of_body(body: &'a [u8]) -> Result<Self, Refusal> {
        let found = whole(document(body)?).ok_or(Refusal::MalformedBody)?;
        Self::read(&found)
    }

    /// Reads an object.
    ///
    /// # Errors
    /// `MalformedBody` when it is no object, has too many members, or has a name twice.
    pub(super) fn read(found: &Found<'a>) -> Result<Self, Refusal> {
        if found.kind != Kind::Object {
            return Err(Refusal::MalformedBody);
        }
        let mut members = BTreeMap::new();
        for (name, value) in found.members() {
            let known = members.insert(name, value);
            if known.is_some() || members.len() > MEMBERS_MAX {
                return Err(Refusal::MalformedBody);
            }
        }
        Ok(Self(members))
    }

    /// A member.
    pub(super) fn get(&self, name: &str) -> Option<Found<'a>> {
        self.0.get(name).copied()
    }

    /// The text of a member that is a string, number or truth value.
    pub(super) fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        self.get(name)?.text()
    }

    /// The text of a member that is a string.
    pub(super) fn string(&self, name: &str) -> Option<Cow<'a, str>> {
        self.get(name)
            .filter(|found| found.kind == Kind::String)?
            .text()
    }

    /// The object that a member is.
    ///
    /// # Errors
    /// `MalformedBody` when it is none.
    pub(super) fn object(&self, name: &str) -> Result<Self, Refusal> {
        Self::read(&self.get(name).ok_or(Refusal::MalformedBody)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_with_a_name_twice_is_refused() {
        let read = |body: &'static str| Object::of_body(body.as_bytes()).map(|_| ());
        assert_eq!(read(r#"{"a":1,"b":{"a":1,"a":2}}"#), Ok(()));
        for bad in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            "[]",
            "1",
            "{",
            "",
        ] {
            assert_eq!(read(bad), Err(Refusal::MalformedBody), "{bad}");
        }
    }

    #[test]
    fn an_object_of_too_many_members_is_refused() {
        let body = |members: usize| {
            let members: Vec<_> = (0..members).map(|n| format!("\"{n}\":0")).collect();
            format!("{{{}}}", members.join(","))
        };
        assert!(Object::of_body(body(MEMBERS_MAX).as_bytes()).is_ok());
        assert!(Object::of_body(body(MEMBERS_MAX + 1).as_bytes()).is_err());
    }
}
