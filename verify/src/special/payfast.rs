//! PayFast's instant transaction notification: MD5 over the form's fields in the order received.
//!
//! The signature is the last field. Fields behind it, and names that occur twice, are refused: other readers of such a
//! form would see other values than those that were signed. A passphrase is the source's secret; an account without one
//! can be imitated by anybody, so the setting `allow_no_passphrase` = `true` has to say that this is meant. There is no
//! signing time, so the provider's own confirmation of a notification is worth asking for.

use zeroize::Zeroizing;

use super::{Special, SpecialPlan, input::LIST_MAX};
use crate::{
    Context, Refusal, Secret,
    crypto::digest::{plain, same},
    form::Form,
    scheme::Algorithm,
};

/// PayFast. The setting `merchant_id`, when given, must be that of the notification.
pub(super) static SPECIAL: Special = Special {
    needs_secret: Some(|settings| !allows_none(settings.get("allow_no_passphrase"))),
    ..Special::new("payfast", verify)
};

/// A field's name and value.
type Field = (String, String);

fn verify(context: &Context<'_>, plan: &SpecialPlan) -> Result<(), Refusal> {
    let form = Form::parse(context.request.body)?;
    let (signature, signed) = split(form.fields())?;
    let text = content(signed);
    let passphrases = passphrases(context, plan)?;
    let right = passphrases.iter().fold(false, |right, passphrase| {
        same(
            signature.as_bytes(),
            digest_hex(&text, passphrase).as_bytes(),
        ) | right
    });
    if !right {
        return Err(Refusal::WrongSignature);
    }
    match plan.setting("merchant_id") {
        Some(merchant) => check_merchant(signed, merchant),
        None => Ok(()),
    }
}

/// The source's passphrases; an empty one stands for an account without.
fn passphrases<'a>(context: &Context<'a>, plan: &SpecialPlan) -> Result<Vec<&'a [u8]>, Refusal> {
    let secrets = context.secrets.iter().take(LIST_MAX).map(Secret::expose);
    let passphrases: Vec<&[u8]> = secrets.collect();
    match passphrases.is_empty() {
        false => Ok(passphrases),
        true if allows_none(plan.settings.get("allow_no_passphrase")) => Ok(vec![b""]),
        true => Err(Refusal::NoSecret),
    }
}

fn allows_none(setting: Option<&String>) -> bool {
    setting.is_some_and(|setting| setting == "true")
}

/// The signature and the fields before it.
fn split(fields: &[Field]) -> Result<(&str, &[Field]), Refusal> {
    let mut names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    if names.windows(2).any(|pair| pair.first() == pair.last()) {
        return Err(Refusal::AmbiguousValue);
    }
    // Names are signed as they are: one with an `&` in it would pass for two fields.
    if !names.iter().all(|name| name.bytes().all(is_name_byte)) {
        return Err(Refusal::MalformedValue);
    }
    match fields.split_last() {
        Some(((name, signature), signed)) if name == "signature" => {
            check_form(signature)?;
            Ok((signature, signed))
        }
        Some(_) if names.binary_search(&"signature").is_ok() => Err(Refusal::MalformedSignature),
        _ => Err(Refusal::MissingSignature),
    }
}

const fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

/// PayFast compares text, in lower case; so does this.
fn check_form(signature: &str) -> Result<(), Refusal> {
    if signature.is_empty() {
        return Err(Refusal::MissingSignature);
    }
    let digits = signature
        .bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if digits && signature.len() == 32 {
        Ok(())
    } else {
        Err(Refusal::MalformedSignature)
    }
}

fn check_merchant(signed: &[Field], merchant: &str) -> Result<(), Refusal> {
    let given = signed.iter().find(|(name, _)| name == "merchant_id");
    match given {
        Some((_, value)) if value == merchant => Ok(()),
        _ => Err(Refusal::Requirement),
    }
}

fn content(signed: &[Field]) -> Vec<u8> {
    let mut text = Vec::new();
    for (name, value) in signed {
        if !text.is_empty() {
            text.push(b'&');
        }
        text.extend_from_slice(name.as_bytes());
        text.push(b'=');
        encode(value.as_bytes(), &mut text);
    }
    text
}

fn digest_hex(text: &[u8], passphrase: &[u8]) -> String {
    let mut encoded = Zeroizing::new(Vec::new());
    if !passphrase.is_empty() {
        encoded.extend_from_slice(b"&passphrase=");
        encode(passphrase, &mut encoded);
    }
    let pieces = [text, encoded.as_slice()];
    hex::encode(plain(Algorithm::Md5, pieces.into_iter()).unwrap_or_default())
}

/// Form encoding the way PHP does it: a blank becomes `+`, all but letters, digits, `-`, `_` and `.` becomes `%XX`.
fn encode(text: &[u8], out: &mut Vec<u8>) {
    for &byte in text {
        match byte {
            b' ' => out.push(b'+'),
            b'-' | b'_' | b'.' => out.push(byte),
            _ if byte.is_ascii_alphanumeric() => out.push(byte),
            _ => out.extend([b'%', digit(byte >> 4), digit(byte & 15)]),
        }
    }
}

const fn digit(value: u8) -> u8 {
    match value {
        0..=9 => b'0' + value,
        _ => b'A' + value - 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(body: &str) -> Result<(String, String), Refusal> {
        let form = Form::parse(body.as_bytes())?;
        let (signature, signed) = split(form.fields())?;
        Ok((
            signature.to_owned(),
            String::from_utf8_lossy(&content(signed)).into_owned(),
        ))
    }

    #[test]
    fn p6_an_account_without_a_passphrase_is_taken_where_that_is_said() {
        let body = b"pf_payment_id=1&payment_status=COMPLETE";
        let digest = digest_hex(body, b"");
        let body = [&body[..], b"&signature=", digest.as_bytes()].concat();
        let headers = crate::Headers::new();
        let request = crate::Request {
            method: "POST",
            path_query: "/",
            url: "https://a.example.com/",
            headers: &headers,
            body: &body,
        };
        let context = Context {
            request: &request,
            secrets: &[],
            fetched: &[],
            now_ms: 0,
        };
        for (said, expected) in [
            ("true", Ok(())),
            ("false", Err(Refusal::NoSecret)),
            ("", Err(Refusal::NoSecret)),
        ] {
            let name = "allow_no_passphrase".to_owned();
            let plan = SpecialPlan {
                settings: [(name, said.to_owned())].into(),
                tolerance: crate::Tolerance::Scheme,
            };
            assert_eq!(verify(&context, &plan), expected, "{said}");
        }
    }

    #[test]
    fn values_are_encoded_again_in_the_order_received_and_blank_ones_stay() {
        let signature = "0123456789abcdef0123456789abcdef";
        let body = format!("b=a%20b%2Fc&a=&c=caf%c3%a9~*&signature={signature}");
        let expected = (
            signature.to_owned(),
            "b=a+b%2Fc&a=&c=caf%C3%A9%7E%2A".to_owned(),
        );
        assert_eq!(text(&body), Ok(expected));
    }

    #[test]
    fn fields_behind_the_signature_and_repeated_names_are_refused() {
        let signature = "0123456789abcdef0123456789abcdef";
        for (body, refusal) in [
            (
                format!("a=1&signature={signature}&b=2"),
                Refusal::MalformedSignature,
            ),
            (
                format!("a=1&a=1&signature={signature}"),
                Refusal::AmbiguousValue,
            ),
            (
                format!("a=1&signature={signature}&signature={signature}"),
                Refusal::AmbiguousValue,
            ),
            (
                format!("a=1&signature={}", signature.to_uppercase()),
                Refusal::MalformedSignature,
            ),
            (
                format!("a=1&signature={signature}0"),
                Refusal::MalformedSignature,
            ),
            (
                format!("a%3D1%26b=2&signature={signature}"),
                Refusal::MalformedValue,
            ),
            ("a=1&signature=".to_owned(), Refusal::MissingSignature),
            ("a=1".to_owned(), Refusal::MissingSignature),
            (String::new(), Refusal::MissingSignature),
        ] {
            assert_eq!(text(&body), Err(refusal), "{body}");
        }
    }
}
