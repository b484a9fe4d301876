//! PayPal: a line of ids and the body's CRC-32, signed with a key whose certificate PayPal publishes.
//!
//! The certificate must come from a PayPal host, be for a name of PayPal, be valid now, and lead to a public authority
//! (or to one of the setting `trusted_certificates`, PEM). A CRC is no digest: whoever can choose a part of a body can
//! bring another body to the same CRC, so that a PayPal event should be fetched before much depends on it.

use super::{
    Special, SpecialPlan,
    certificate::{Certificate, check_chain, read_pem},
    input::{base64, check_time, header, setting, signature, time},
};
use crate::{
    Context, KeyForm, KeyRequest, Refusal, Request, SchemeError, Settings,
    remote::{fetched, pinned},
    scheme::{Algorithm, TimeUnit},
};

const ID: &str = "paypal-transmission-id";
const TIME: &str = "paypal-transmission-time";
const SIGNATURE: &str = "paypal-transmission-sig";
const CERT_URL: &str = "paypal-cert-url";
const ALGORITHM: &str = "paypal-auth-algo";

/// Where PayPal publishes its certificates.
const HOSTS: &[&str] = &[
    "api.paypal.com",
    "api.sandbox.paypal.com",
    "api-m.paypal.com",
    "api-m.sandbox.paypal.com",
];

/// PayPal names no limit.
const TOLERANCE_S: u32 = 300;

/// PayPal. The setting `webhook_id` is the id of our own webhook.
pub(super) static SPECIAL: Special = Special {
    key_request: Some(key_request),
    check: Some(check),
    headers: &[ID, TIME, SIGNATURE, CERT_URL, ALGORITHM],
    ..Special::new("paypal", verify)
};

fn check(settings: &Settings) -> Result<(), SchemeError> {
    if settings.get("webhook_id").is_none_or(String::is_empty) {
        return Err(SchemeError::new(
            "settings.webhook_id",
            "must be the webhook's id",
        ));
    }
    match settings.get("trusted_certificates") {
        Some(pem) if read_pem(pem.as_bytes()).is_err() => Err(SchemeError::new(
            "settings.trusted_certificates",
            "must be certificates in PEM",
        )),
        _ => Ok(()),
    }
}

fn key_request(request: &Request<'_>, _plan: &SpecialPlan) -> Result<Option<KeyRequest>, Refusal> {
    let url = certificate_url(request)?;
    let form = KeyForm::Certificate;
    Ok(Some(KeyRequest { url, form }))
}

fn verify(context: &Context<'_>, plan: &SpecialPlan) -> Result<(), Refusal> {
    let request = context.request;
    let signature = base64(signature(request, SIGNATURE)?)?;
    if header(request, ALGORITHM)? != "SHA256withRSA" {
        return Err(Refusal::ForbiddenAlgorithm);
    }
    let time = time(request, TIME)?;
    let id = header(request, ID)?;
    if id.is_empty() || id.contains('|') || time.contains('|') {
        return Err(Refusal::MalformedValue);
    }
    let crc = crc32fast::hash(request.body);
    let signed = format!("{id}|{time}|{}|{crc}", setting(plan, "webhook_id")?);
    let url = certificate_url(request)?;
    let pem = fetched(context.fetched, &url).ok_or(Refusal::KeyNotFetched)?;
    let chain = read_pem(pem)?;
    let certificate = Certificate::read(chain.first().ok_or(Refusal::BadCertificate)?)?;
    certificate.check_validity(context.now_ms)?;
    certificate.check_name(|name| name.ends_with(".paypal.com"))?;
    check_chain(&chain, &trusted(plan)?, context.now_ms)?;
    certificate.verify_rsa(Algorithm::RsaSha256, signed.as_bytes(), &signature)?;
    check_time(context, plan, (TimeUnit::Rfc3339, time), TOLERANCE_S)
}

fn certificate_url(request: &Request<'_>) -> Result<url::Url, Refusal> {
    let text = header(request, CERT_URL)?;
    let url = pinned(text, HOSTS).filter(|url| url.as_str() == text);
    let url = url.ok_or(Refusal::ForbiddenKeyAddress)?;
    let name = url.path().strip_prefix("/v1/notifications/certs/");
    let plain = name.is_some_and(|name| {
        !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    });
    if plain && url.query().is_none() {
        Ok(url)
    } else {
        Err(Refusal::ForbiddenKeyAddress)
    }
}

fn trusted(plan: &SpecialPlan) -> Result<Vec<Vec<u8>>, Refusal> {
    match plan.setting("trusted_certificates") {
        Some(pem) => read_pem(pem.as_bytes()),
        None => Ok(Vec::new()),
    }
}
