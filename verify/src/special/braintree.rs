//! Braintree: the form fields `bt_signature` and `bt_payload`, HMAC-SHA1 with the SHA-1 of the private key.
//!
//! `bt_signature` holds pairs of a public key and a signature; only the pair of our own public key (the setting
//! `public_key`) counts. The payload is signed as it is sent or with a line feed behind it. There is no signing time.

use super::{
    Special, SpecialPlan,
    input::{LIST_MAX, any_secret, is_hmac, lower_hex, setting},
};
use crate::{
    Context, Refusal, Request, SchemeError, Settings,
    crypto::{digest::sha1, encoding},
    form::Form,
    scheme::Algorithm,
};

/// Braintree. The secret is the private key.
pub(super) static SPECIAL: Special = Special {
    check: Some(check),
    event_type: Some(kind),
    ..Special::new("braintree", verify)
};

fn check(settings: &Settings) -> Result<(), SchemeError> {
    match settings.get("public_key") {
        Some(key) if !key.is_empty() => Ok(()),
        _ => Err(SchemeError::new(
            "settings.public_key",
            "must be our public key",
        )),
    }
}

fn verify(context: &Context<'_>, plan: &SpecialPlan) -> Result<(), Refusal> {
    let form = Form::parse(context.request.body)?;
    let signatures = form.one("bt_signature")?.filter(|text| !text.is_empty());
    let signatures = signatures.ok_or(Refusal::MissingSignature)?;
    let payload = form.one("bt_payload")?.ok_or(Refusal::MissingValue)?;
    // The answer to a challenge is a signature too, but only of hex digits, which are no XML in base64.
    if !payload.bytes().all(is_payload_byte) || decoded(payload).is_none() {
        return Err(Refusal::MalformedValue);
    }
    let payload = payload.as_bytes();
    let signature = own_signature(signatures, setting(plan, "public_key")?)?;
    any_secret(context.secrets, |secret| {
        let key = zeroize::Zeroizing::new(sha1(secret));
        is_hmac(Algorithm::Sha1, &key, &[payload], &signature)
            | is_hmac(Algorithm::Sha1, &key, &[payload, b"\n"], &signature)
    })
}

const fn is_payload_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'\n')
}

/// The XML of a payload; blanks may stand before it.
fn decoded(payload: &str) -> Option<String> {
    let lines: String = payload.split('\n').collect();
    let xml = String::from_utf8(encoding::base64(&lines)?).ok()?;
    xml.trim_start().starts_with('<').then_some(xml)
}

/// The notification's kind, such as `subscription_charged_successfully`: the text of the first element of that name.
fn kind(request: &Request<'_>) -> Option<String> {
    let form = Form::parse(request.body).ok()?;
    let xml = decoded(form.one("bt_payload").ok()??)?;
    let (_, behind) = xml.split_once("<kind>")?;
    let (kind, _) = behind.split_once("</kind>")?;
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    (!kind.is_empty() && kind.bytes().all(is_word)).then(|| kind.to_owned())
}

/// The signature of our own pair.
fn own_signature(signatures: &str, public_key: &str) -> Result<Vec<u8>, Refusal> {
    let mut own = None;
    for (index, pair) in signatures.split('&').enumerate() {
        if index == LIST_MAX {
            return Err(Refusal::MalformedSignature);
        }
        if let Some((name, signature)) = pair.split_once('|')
            && name == public_key
            && own
                .replace(signature)
                .is_some_and(|other| other != signature)
        {
            return Err(Refusal::MalformedSignature);
        }
    }
    lower_hex(own.ok_or(Refusal::UnknownKey)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the sample notifications of `braintree` 4.48.0 are.
    #[test]
    fn p6_a_payload_is_indented_xml_in_lines_of_base64_and_names_its_kind() {
        let payload = "ICAgIDxub3RpZmljYXRpb24+CiAgICAgIDxraW5kPnN1YnNjcmlwdGlvbl9jaGFyZ2VkX3N1Y2Nl\nc3NmdWxseTwva2luZD4KICAgIDwvbm90aWZpY2F0aW9uPgo=\n";
        let body = format!("bt_payload={}", payload.replace('+', "%2B"));
        let request = Request {
            method: "POST",
            path_query: "/",
            url: "",
            headers: &crate::Headers::new(),
            body: body.as_bytes(),
        };
        let expected = "subscription_charged_successfully";
        assert_eq!(kind(&request).as_deref(), Some(expected));
        for other in ["PGE", "aGV4", "deadbeef", ""] {
            assert_eq!(decoded(other), None, "{other}");
        }
    }

    #[test]
    fn only_our_own_pair_counts() {
        for (signatures, expected) in [
            ("a|00", Ok(vec![0])),
            ("b|01&a|00", Ok(vec![0])),
            ("x&a|00&a|00", Ok(vec![0])),
            ("a|00&a|01", Err(Refusal::MalformedSignature)),
            ("b|01", Err(Refusal::UnknownKey)),
            ("a|", Ok(vec![])),
            ("a|0", Err(Refusal::MalformedSignature)),
            ("a|AA", Err(Refusal::MalformedSignature)),
        ] {
            assert_eq!(own_signature(signatures, "a"), expected, "{signatures}");
        }
        let many = ["a|00"; LIST_MAX + 1].join("&");
        assert_eq!(own_signature(&many, "a"), Err(Refusal::MalformedSignature));
    }
}
