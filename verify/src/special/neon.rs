//! Neon Auth: a detached JWS with Ed25519 over the time and the base64url text of the body.
//!
//! The payload is encoded twice, once by Neon and once by the signature; that is how Neon signs. The event's id and type
//! are in headers too, but only the body's are signed.

use url::Url;

use super::{
    Special, SpecialPlan,
    detached::{self, fetched_keys},
    input::{check_time, header, setting, signature, time},
};
use crate::{
    Context, KeyForm, KeyRequest, Refusal, Request, SchemeError, Settings,
    crypto::encoding::encode,
    remote::pinned,
    scheme::{Algorithm, Encoding, TimeUnit},
};

const SIGNATURE: &str = "x-neon-signature";
const KEY_ID: &str = "x-neon-signature-kid";
const TIME: &str = "x-neon-timestamp";

/// Where Neon's projects have their authentication service: `<endpoint>.neonauth.<region>.aws.neon.tech`.
const HOSTS: &[&str] = &[
    "*.neonauth.*.aws.neon.tech",
    "*.neonauth.*.azure.neon.tech",
    "*.neonauth.*.*.aws.neon.tech",
    "*.neonauth.*.*.azure.neon.tech",
];

/// Neon gives a request five minutes.
const TOLERANCE_S: u32 = 300;

/// Neon Auth. The setting `auth_url` is the base URL of the project's authentication service.
pub(super) static SPECIAL: Special = Special {
    key_request: Some(key_request),
    check: Some(check),
    headers: &[SIGNATURE, KEY_ID, TIME],
    ..Special::new("neon", verify)
};

fn check(settings: &Settings) -> Result<(), SchemeError> {
    settings
        .get("auth_url")
        .and_then(|base| join(base))
        .map(|_| ())
        .ok_or_else(|| SchemeError::new("settings.auth_url", "must be the https URL of Neon Auth"))
}

fn join(base: &str) -> Option<Url> {
    let base = base.trim_end_matches('/');
    let plain = !base.contains(['?', '#']);
    plain.then(|| pinned(&format!("{base}/.well-known/jwks.json"), HOSTS))?
}

fn key_url(plan: &SpecialPlan) -> Result<Url, Refusal> {
    join(setting(plan, "auth_url")?).ok_or(Refusal::ForbiddenKeyAddress)
}

fn key_request(_request: &Request<'_>, plan: &SpecialPlan) -> Result<Option<KeyRequest>, Refusal> {
    let url = key_url(plan)?;
    let form = KeyForm::Jwks;
    Ok(Some(KeyRequest { url, form }))
}

fn verify(context: &Context<'_>, plan: &SpecialPlan) -> Result<(), Refusal> {
    let request = context.request;
    let detached = detached::read(signature(request, SIGNATURE)?, "EdDSA")?;
    if header(request, KEY_ID)? != detached.key_id {
        return Err(Refusal::UnknownKey);
    }
    let time = time(request, TIME)?;
    let keys = fetched_keys(context, &key_url(plan)?)?;
    let payload = format!("{time}.{}", encode(Encoding::Base64url, request.body));
    detached.verify(&keys, Algorithm::Ed25519, payload.as_bytes())?;
    check_time(context, plan, (TimeUnit::Ms, time), TOLERANCE_S)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_from_a_neon_host_only() {
        let good = "https://ep-a-1.neonauth.eu-central-1.aws.neon.tech/neondb/auth";
        let keys = format!("{good}/.well-known/jwks.json");
        assert_eq!(join(good).map(String::from), Some(keys.clone()));
        assert_eq!(join(&format!("{good}/")).map(String::from), Some(keys));
        for bad in [
            "http://ep-a-1.neonauth.eu-central-1.aws.neon.tech/neondb/auth",
            "https://neon.tech/auth",
            "https://evil.test/neonauth.eu-central-1.aws.neon.tech",
            "https://ep-a-1.neonauth.eu-central-1.aws.neon.tech.evil.test/auth",
            "https://ep-a-1.neonauth.eu-central-1.aws.neon.tech/auth?x=",
            "",
        ] {
            assert_eq!(join(bad), None, "{bad}");
        }
    }
}
