//! From a secret's text to the keys it stands for.

use unicode_normalization::UnicodeNormalization as _;
use zeroize::Zeroizing;

use crate::{
    Secret, SecretError,
    crypto::asym::PublicKey,
    crypto::digest,
    crypto::encoding::lenient_base64,
    crypto::jwt::{NamedKey, jwks},
    scheme::{KeyDecode, KeyRule},
};

/// The bytes that a secret stands for, under a rule; never none.
pub(crate) fn bytes(rule: &KeyRule, secret: &Secret) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let text = stripped(rule, secret.expose()).ok_or(SecretError::Form)?;
    let decoded = decoded(rule, &text).ok_or(SecretError::Form)?;
    let (least, most) = (
        rule.bytes_min.max(1),
        match rule.bytes_max {
            0 => usize::MAX,
            most => most,
        },
    );
    if (least..=most).contains(&decoded.len()) {
        Ok(decoded)
    } else if decoded.is_empty() {
        Err(SecretError::Empty)
    } else {
        Err(SecretError::Form)
    }
}

/// What a secret stands for in each way that the rule reads it; at least one.
pub(crate) fn every(
    rule: &KeyRule,
    secret: &Secret,
) -> Result<Vec<Zeroizing<Vec<u8>>>, SecretError> {
    let first = bytes(rule, secret);
    let others = rule.or.iter().filter_map(|rule| bytes(rule, secret).ok());
    let mut keys = others.collect::<Vec<_>>();
    match first {
        Ok(key) => keys.insert(0, key),
        Err(error) if keys.is_empty() => return Err(error),
        Err(_) => {}
    }
    Ok(keys)
}

/// The public keys that a secret stands for; at least one.
pub(crate) fn public_keys(rule: &KeyRule, secret: &Secret) -> Result<Vec<NamedKey>, SecretError> {
    let bytes = bytes(rule, secret)?;
    let keys = match rule.decode {
        KeyDecode::Jwks => jwks(&bytes).unwrap_or_default(),
        KeyDecode::Pem => unnamed(PublicKey::from_pem(&bytes)),
        KeyDecode::Der => unnamed(PublicKey::from_spki(&bytes)),
        KeyDecode::Utf8 | KeyDecode::Base64 | KeyDecode::Hex => {
            unnamed(PublicKey::from_bytes(&bytes))
        }
        KeyDecode::Sha1 => Vec::new(),
    };
    if keys.is_empty() {
        return Err(SecretError::Form);
    }
    Ok(keys)
}

fn unnamed(key: Option<PublicKey>) -> Vec<NamedKey> {
    key.into_iter()
        .map(|key| NamedKey { id: None, key })
        .collect()
}

fn stripped(rule: &KeyRule, secret: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    if rule
        .not_prefix
        .iter()
        .any(|prefix| secret.starts_with(prefix.as_bytes()))
    {
        return None;
    }
    let text = secret.strip_prefix(rule.prefix.as_bytes())?;
    let text = match rule.strip.split_once('*') {
        None => text.strip_prefix(rule.strip.as_bytes()).unwrap_or(text),
        Some((before, after)) => text
            .strip_prefix(before.as_bytes())
            .and_then(|rest| behind(rest, after.as_bytes()))
            .unwrap_or(text),
    };
    Some(Zeroizing::new(text.to_vec()))
}

/// What follows the first occurrence of a mark.
fn behind<'a>(text: &'a [u8], mark: &[u8]) -> Option<&'a [u8]> {
    let at = text
        .windows(mark.len().max(1))
        .position(|window| window == mark)?;
    text.get(at + mark.len()..)
}

fn decoded(rule: &KeyRule, text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let normal = if rule.nfkd {
        let text = std::str::from_utf8(text).ok()?;
        Zeroizing::new(text.nfkd().collect::<String>().into_bytes())
    } else {
        Zeroizing::new(text.to_vec())
    };
    let decoded = match rule.decode {
        KeyDecode::Utf8 | KeyDecode::Pem | KeyDecode::Jwks => return Some(normal),
        KeyDecode::Base64 | KeyDecode::Der => {
            lenient_base64(std::str::from_utf8(normal.trim_ascii()).ok()?)?
        }
        KeyDecode::Hex => hex::decode(normal.trim_ascii()).ok()?,
        KeyDecode::Sha1 => digest::sha1(&normal),
    };
    Some(Zeroizing::new(decoded))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(rule: &KeyRule, text: &str) -> Result<Vec<u8>, SecretError> {
        bytes(rule, &Secret::new(text).expect("a secret")).map(|bytes| bytes.to_vec())
    }

    #[test]
    fn a_secret_is_decoded_as_the_rule_says() {
        let rule = |decode, strip: &str| KeyRule {
            decode,
            strip: strip.into(),
            ..KeyRule::default()
        };
        for (rule, text, expected) in [
            (rule(KeyDecode::Utf8, ""), "whsec_YQ==", "whsec_YQ=="),
            (rule(KeyDecode::Base64, "whsec_"), "whsec_YQ==", "a"),
            (rule(KeyDecode::Base64, "whsec_"), "YQ", "a"),
            (rule(KeyDecode::Base64, ""), "YQ==\n", "a"),
            (rule(KeyDecode::Hex, ""), "6162", "ab"),
            (
                rule(KeyDecode::Utf8, "signkey-*-"),
                "signkey-prod-12-34",
                "12-34",
            ),
            (rule(KeyDecode::Utf8, "signkey-*-"), "other", "other"),
        ] {
            assert_eq!(key(&rule, text), Ok(expected.as_bytes().to_vec()), "{text}");
        }
        assert_eq!(
            key(&rule(KeyDecode::Sha1, ""), "a").map(|key| key.len()),
            Ok(20)
        );
        let nfkd = KeyRule {
            nfkd: true,
            ..KeyRule::default()
        };
        assert_eq!(key(&nfkd, "\u{e9}"), Ok("e\u{301}".as_bytes().to_vec()));
    }

    #[test]
    fn case_8_a_secret_is_read_in_each_way_that_the_rule_has() {
        let rule = KeyRule {
            decode: KeyDecode::Base64,
            strip: "whsec_".into(),
            bytes_min: 2,
            or: vec![KeyRule::default()],
            ..KeyRule::default()
        };
        let keys = |text: &str| {
            let keys = every(&rule, &Secret::new(text).expect("a secret"));
            keys.map(|keys| keys.iter().map(|key| key.to_vec()).collect::<Vec<_>>())
        };
        let both = vec![b"ab".to_vec(), b"whsec_YWI=".to_vec()];
        assert_eq!(keys("whsec_YWI="), Ok(both));
        assert_eq!(keys("!"), Ok(vec![b"!".to_vec()]));
    }

    #[test]
    fn a_secret_of_another_form_is_no_key() {
        let base64 = KeyRule {
            decode: KeyDecode::Base64,
            strip: "whsec_".into(),
            not_prefix: vec!["whpk_".into()],
            bytes_min: 2,
            bytes_max: 3,
            ..KeyRule::default()
        };
        assert_eq!(key(&base64, "whsec_"), Err(SecretError::Empty));
        for bad in ["whsec_YQ==", "whsec_YWJjZA==", "whpk_YWI=", "whsec_!"] {
            assert_eq!(key(&base64, bad), Err(SecretError::Form), "{bad}");
        }
        let prefixed = KeyRule {
            prefix: "whpk_".into(),
            ..KeyRule::default()
        };
        assert_eq!(key(&prefixed, "x"), Err(SecretError::Form));
        assert_eq!(key(&prefixed, "whpk_x"), Ok(b"x".to_vec()));
    }
}
