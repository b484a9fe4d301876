//! eBay: a header of base64 JSON with a key id and an ECDSA signature (with SHA-1) of the body.
//!
//! Keys are read from eBay's notification API by their id. That API wants an access token: where nobody can fetch with
//! one, the public keys are configured as secrets, in PEM, beside the verification token. There is no signing time.

use url::Url;

use super::{
    Special, SpecialPlan,
    input::{Object, any_public_key, base64, public_key, public_keys, signature},
};
use crate::{
    Context, KeyForm, KeyRequest, Refusal, Request, SchemeError, Settings, crypto::asym::PublicKey,
    remote::fetched, scheme::Algorithm,
};

const SIGNATURE: &str = "x-ebay-signature";

/// eBay. Settings: `environment` = `production` (the default) or `sandbox`; `keys` = `configured` when keys are not to
/// be fetched.
pub(super) static SPECIAL: Special = Special {
    key_request: Some(key_request),
    // The verification token, which every challenge is answered with.
    needs_secret: Some(|_| true),
    check: Some(check),
    headers: &[SIGNATURE],
    ..Special::new("ebay", verify)
};

fn check(settings: &Settings) -> Result<(), SchemeError> {
    let environment = settings.get("environment").map(String::as_str);
    if host(environment).is_none() {
        let what = "must be production or sandbox";
        return Err(SchemeError::new("settings.environment", what));
    }
    match settings.get("keys").map(String::as_str) {
        None | Some("fetched" | "configured") => Ok(()),
        Some(_) => Err(SchemeError::new(
            "settings.keys",
            "must be fetched or configured",
        )),
    }
}

fn host(environment: Option<&str>) -> Option<&'static str> {
    match environment {
        None | Some("production") => Some("api.ebay.com"),
        Some("sandbox") => Some("api.sandbox.ebay.com"),
        Some(_) => None,
    }
}

fn key_request(request: &Request<'_>, plan: &SpecialPlan) -> Result<Option<KeyRequest>, Refusal> {
    if plan.setting("keys") == Some("configured") {
        return Ok(None);
    }
    let url = key_url(&read(request)?.key_id, plan)?;
    let form = KeyForm::ProviderJson;
    Ok(Some(KeyRequest { url, form }))
}

fn verify(context: &Context<'_>, plan: &SpecialPlan) -> Result<(), Refusal> {
    let header = read(context.request)?;
    let keys = match plan.setting("keys") {
        Some("configured") => public_keys(context.secrets),
        _ => vec![fetched_key(context, &key_url(&header.key_id, plan)?)?],
    };
    let body = context.request.body;
    any_public_key(&keys, Algorithm::EcdsaP256Sha1, body, &header.signature)
}

struct Header {
    key_id: String,
    signature: Vec<u8>,
}

fn read(request: &Request<'_>) -> Result<Header, Refusal> {
    let malformed = Refusal::MalformedSignature;
    let json = base64(signature(request, SIGNATURE)?)?;
    let json = Object::of_body(&json).map_err(|_| malformed)?;
    let key_id = json.string("kid").ok_or(malformed)?.into_owned();
    let signature = json.string("signature").ok_or(Refusal::MissingSignature)?;
    let algorithm = (json.string("alg"), json.string("digest"));
    if !matches!(algorithm, (Some(alg), Some(digest)) if alg == "ecdsa" && digest == "SHA1") {
        return Err(Refusal::ForbiddenAlgorithm);
    }
    let is_id_byte = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if !(1..=64).contains(&key_id.len()) || !key_id.bytes().all(is_id_byte) {
        return Err(malformed);
    }
    let signature = base64(&signature)?;
    Ok(Header { key_id, signature })
}

fn key_url(key_id: &str, plan: &SpecialPlan) -> Result<Url, Refusal> {
    let host = host(plan.setting("environment")).ok_or(Refusal::Requirement)?;
    Url::parse(&format!(
        "https://{host}/commerce/notification/v1/public_key/{key_id}"
    ))
    .map_err(|_| Refusal::ForbiddenKeyAddress)
}

/// The key of eBay's answer: `{"key": "-----BEGIN PUBLIC KEY-----…", "algorithm": "ECDSA", "digest": "SHA1"}`.
fn fetched_key(context: &Context<'_>, url: &Url) -> Result<PublicKey, Refusal> {
    let json = fetched(context.fetched, url).ok_or(Refusal::KeyNotFetched)?;
    let json = Object::of_body(json).map_err(|_| Refusal::UnknownKey)?;
    let key = json.string("key").ok_or(Refusal::UnknownKey)?;
    public_key(key.as_bytes()).ok_or(Refusal::UnknownKey)
}
