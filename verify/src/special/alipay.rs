//! Alipay and Antom: `METHOD path`, client id, time and body, signed with RSA.
//!
//! The signature is percent-encoded base64. Its header also has the version of the key, which must be the configured one.

use super::{
    Special, SpecialPlan,
    input::{any_public_key, base64, check_time, header, public_keys, setting, signature, time},
};
use crate::{
    Context, Refusal, SchemeError, Settings,
    crypto::digest::same,
    scheme::{Algorithm, TimeUnit},
    timestamp::digits,
};

const SIGNATURE: &str = "signature";
const CLIENT_ID: &str = "client-id";
const TIME: &str = "request-time";

/// Alipay names no limit.
const TOLERANCE_S: u32 = 300;

/// Alipay. Secrets are Alipay's public keys (PEM, or base64 of DER). Settings: `client_id`, ours; `key_version`, 1 when
/// not given.
pub(super) static SPECIAL: Special = Special {
    check: Some(check),
    headers: &[SIGNATURE, CLIENT_ID, TIME],
    ..Special::new("alipay", verify)
};

fn check(settings: &Settings) -> Result<(), SchemeError> {
    match settings.get("client_id") {
        Some(id) if !id.is_empty() => Ok(()),
        _ => Err(SchemeError::new(
            "settings.client_id",
            "must be our client id",
        )),
    }
}

fn verify(context: &Context<'_>, plan: &SpecialPlan) -> Result<(), Refusal> {
    let request = context.request;
    let version = plan.setting("key_version").unwrap_or("1");
    let signature = read(signature(request, SIGNATURE)?, version)?;
    let client = header(request, CLIENT_ID)?;
    let time = time(request, TIME)?;
    let mut signed =
        format!("{} {}\n{client}.{time}.", request.method, request.path()).into_bytes();
    signed.extend_from_slice(request.body);
    let keys = public_keys(context.secrets);
    any_public_key(&keys, Algorithm::RsaSha256, &signed, &signature)?;
    if !same(client.as_bytes(), setting(plan, "client_id")?.as_bytes()) {
        return Err(Refusal::Requirement);
    }
    check_time(context, plan, (unit(time), time), TOLERANCE_S)
}

/// Alipay writes dates, its sister wallets milliseconds.
fn unit(time: &str) -> TimeUnit {
    match digits(time) {
        Some(_) => TimeUnit::Ms,
        None => TimeUnit::Rfc3339,
    }
}

/// `algorithm=RSA256,keyVersion=1,signature=<percent-encoded base64>`, each once.
fn read(header: &str, version: &str) -> Result<Vec<u8>, Refusal> {
    let mut values = [None, None, None];
    for item in header.split(',') {
        let (name, value) = item.split_once('=').ok_or(Refusal::MalformedSignature)?;
        let names = ["algorithm", "keyVersion", "signature"];
        let place = names.iter().position(|known| *known == name.trim());
        let place = place.and_then(|place| values.get_mut(place));
        if place
            .ok_or(Refusal::MalformedSignature)?
            .replace(value)
            .is_some()
        {
            return Err(Refusal::MalformedSignature);
        }
    }
    let [algorithm, given, signature] = values;
    if algorithm != Some("RSA256") {
        return Err(Refusal::ForbiddenAlgorithm);
    }
    if given != Some(version) {
        return Err(Refusal::UnknownKey);
    }
    let signature = signature.filter(|text| !text.is_empty());
    base64(&percent_decoded(
        signature.ok_or(Refusal::MissingSignature)?,
    )?)
}

/// Undoes `%2B`, `%2F` and `%3D`; nothing else of base64 is ever written so.
fn percent_decoded(text: &str) -> Result<String, Refusal> {
    let mut parts = text.split('%');
    let mut decoded = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (code, rest) = part
            .split_at_checked(2)
            .ok_or(Refusal::MalformedSignature)?;
        decoded.push(match code {
            "2B" => '+',
            "2F" => '/',
            "3D" => '=',
            _ => return Err(Refusal::MalformedSignature),
        });
        decoded.push_str(rest);
    }
    Ok(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_read_strictly() {
        for (header, expected) in [
            (
                "algorithm=RSA256,keyVersion=1,signature=%2B%2F8%3D",
                Ok(vec![0xfb, 0xff]),
            ),
            (
                "algorithm=RSA256, keyVersion=1, signature=AP8=",
                Ok(vec![0, 0xff]),
            ),
            (
                "algorithm=RSA256,keyVersion=1,signature=%2b%2F8%3D",
                Err(Refusal::MalformedSignature),
            ),
            (
                "algorithm=RSA256,keyVersion=1,signature=%41P8%3D",
                Err(Refusal::MalformedSignature),
            ),
            (
                "algorithm=RSA256,keyVersion=1,signature=AP8%3",
                Err(Refusal::MalformedSignature),
            ),
            (
                "algorithm=RSA256,keyVersion=1,signature=AP8=,signature=AP8=",
                Err(Refusal::MalformedSignature),
            ),
            (
                "algorithm=RSA256,keyVersion=1,signature=AP8=,other=1",
                Err(Refusal::MalformedSignature),
            ),
            (
                "algorithm=RSA256,keyVersion=1,signature=",
                Err(Refusal::MissingSignature),
            ),
            (
                "algorithm=RSA256,keyVersion=1",
                Err(Refusal::MissingSignature),
            ),
            (
                "algorithm=RSA256,keyVersion=2,signature=AP8=",
                Err(Refusal::UnknownKey),
            ),
            ("algorithm=RSA256,signature=AP8=", Err(Refusal::UnknownKey)),
            (
                "algorithm=none,keyVersion=1,signature=AP8=",
                Err(Refusal::ForbiddenAlgorithm),
            ),
            ("signature=AP8=", Err(Refusal::ForbiddenAlgorithm)),
            ("AP8", Err(Refusal::MalformedSignature)),
        ] {
            assert_eq!(read(header, "1"), expected, "{header}");
        }
    }
}
