//! Fireblocks: a detached JWS over the body, with keys that Fireblocks publishes.
//!
//! The older `Fireblocks-Signature` is never looked at. There is no signing time.

use url::Url;

use super::{
    Special, SpecialPlan,
    detached::{self, fetched_keys},
    input::signature,
};
use crate::{
    Context, KeyForm, KeyRequest, Refusal, Request, SchemeError, Settings, scheme::Algorithm,
};

const SIGNATURE: &str = "fireblocks-webhook-signature";

/// Fireblocks. The setting `environment` is `us` (the default), `eu`, `eu2` or `sandbox`.
pub(super) static SPECIAL: Special = Special {
    key_request: Some(key_request),
    check: Some(check),
    headers: &[SIGNATURE],
    ..Special::new("fireblocks", verify)
};

fn check(settings: &Settings) -> Result<(), SchemeError> {
    host(settings.get("environment").map(String::as_str))
        .map(|_| ())
        .ok_or_else(|| SchemeError::new("settings.environment", "must be us, eu, eu2 or sandbox"))
}

fn host(environment: Option<&str>) -> Option<&'static str> {
    match environment {
        None | Some("us") => Some("keys.fireblocks.io"),
        Some("eu") => Some("eu-keys.fireblocks.io"),
        Some("eu2") => Some("eu2-keys.fireblocks.io"),
        Some("sandbox") => Some("sandbox-keys.fireblocks.io"),
        Some(_) => None,
    }
}

fn key_url(plan: &SpecialPlan) -> Result<Url, Refusal> {
    let host = host(plan.setting("environment")).ok_or(Refusal::Requirement)?;
    Url::parse(&format!("https://{host}/.well-known/jwks.json"))
        .map_err(|_| Refusal::ForbiddenKeyAddress)
}

fn key_request(_request: &Request<'_>, plan: &SpecialPlan) -> Result<Option<KeyRequest>, Refusal> {
    let url = key_url(plan)?;
    let form = KeyForm::Jwks;
    Ok(Some(KeyRequest { url, form }))
}

fn verify(context: &Context<'_>, plan: &SpecialPlan) -> Result<(), Refusal> {
    let request = context.request;
    let detached = detached::read(signature(request, SIGNATURE)?, "RS512")?;
    let keys = fetched_keys(context, &key_url(plan)?)?;
    detached.verify(&keys, Algorithm::RsaSha512, request.body)
}
