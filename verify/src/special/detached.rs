//! Detached JSON web signatures: `<header>..<signature>`, the payload being elsewhere.

use std::borrow::Cow;

use super::input::{LIST_MAX, Object};
use crate::{
    Context, Refusal,
    crypto::encoding,
    crypto::jwt::{NamedKey, jwks},
    remote::fetched,
    scheme::Algorithm,
};

/// A signature whose payload is elsewhere, not yet verified.
#[derive(Debug)]
pub(super) struct Detached<'a> {
    /// The header as it is signed.
    header: &'a str,
    /// The name of the key.
    pub key_id: String,
    signature: Vec<u8>,
}

/// Reads a signature; `alg` is the only algorithm that its header may name.
///
/// # Errors
/// `MalformedSignature`; `ForbiddenAlgorithm` for another algorithm or an extension (`crit`, `b64`).
pub(super) fn read<'a>(text: &'a str, alg: &str) -> Result<Detached<'a>, Refusal> {
    let malformed = Refusal::MalformedSignature;
    let (header, signature) = text.split_once("..").ok_or(malformed)?;
    let decoded = strict(header).ok_or(malformed)?;
    let fields = Object::of_body(&decoded).map_err(|_| malformed)?;
    if fields.string("alg").as_deref() != Some(alg)
        || fields.get("crit").is_some()
        || fields.get("b64").is_some()
    {
        return Err(Refusal::ForbiddenAlgorithm);
    }
    let key_id = fields.string("kid").map(Cow::into_owned);
    let signature = strict(signature).filter(|signature| !signature.is_empty());
    Ok(Detached {
        header,
        key_id: key_id.ok_or(malformed)?,
        signature: signature.ok_or(malformed)?,
    })
}

/// Base64url without padding.
fn strict(text: &str) -> Option<Vec<u8>> {
    (!text.contains('=')).then(|| encoding::base64url(text))?
}

impl Detached<'_> {
    /// Verifies the signature over a payload with the key of its name.
    ///
    /// # Errors
    /// `UnknownKey` when none of the keys has the name, `WrongSignature` when it did not sign the payload.
    pub(super) fn verify(
        &self,
        keys: &[NamedKey],
        alg: Algorithm,
        payload: &[u8],
    ) -> Result<(), Refusal> {
        let payload = encoding::encode(crate::scheme::Encoding::Base64url, payload);
        let content = format!("{}.{payload}", self.header);
        let named = |known: &&NamedKey| known.id.as_ref() == Some(&self.key_id);
        let mut named = keys.iter().filter(named).take(LIST_MAX).peekable();
        if named.peek().is_none() {
            return Err(Refusal::UnknownKey);
        }
        let right = named.any(|known| known.key.verify(alg, content.as_bytes(), &self.signature));
        right.then_some(()).ok_or(Refusal::WrongSignature)
    }
}

/// The keys of a key set that was fetched.
///
/// # Errors
/// `KeyNotFetched`, or `UnknownKey` when it is no key set.
pub(super) fn fetched_keys(
    context: &Context<'_>,
    url: &url::Url,
) -> Result<Vec<NamedKey>, Refusal> {
    let bytes = fetched(context.fetched, url).ok_or(Refusal::KeyNotFetched)?;
    jwks(bytes).ok_or(Refusal::UnknownKey)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(json: &str) -> String {
        encoding::encode(crate::scheme::Encoding::Base64url, json.as_bytes())
    }

    #[test]
    fn only_the_one_algorithm_is_read_and_no_extension() {
        let read = |json: &str| {
            let text = format!("{}..AP8", header(json));
            super::read(&text, "RS512").map(|detached| detached.key_id)
        };
        assert_eq!(read(r#"{"alg":"RS512","kid":"a"}"#).as_deref(), Ok("a"));
        for bad in [
            r#"{"alg":"none","kid":"a"}"#,
            r#"{"alg":"HS512","kid":"a"}"#,
            r#"{"kid":"a"}"#,
            r#"{"alg":"RS512","kid":"a","b64":false,"crit":["b64"]}"#,
            r#"{"alg":"RS512","kid":"a","crit":[]}"#,
        ] {
            assert_eq!(read(bad), Err(Refusal::ForbiddenAlgorithm), "{bad}");
        }
        assert_eq!(read(r#"{"alg":"RS512"}"#), Err(Refusal::MalformedSignature));
        assert_eq!(
            read(r#"{"alg":"RS512","alg":"none","kid":"a"}"#),
            Err(Refusal::MalformedSignature)
        );
    }

    #[test]
    fn text_that_is_no_detached_signature_is_refused() {
        let good = header(r#"{"alg":"RS512","kid":"a"}"#);
        for bad in [
            String::new(),
            "..".to_owned(),
            good.clone(),
            format!("{good}.AP8"),
            format!("{good}.e30.AP8"),
            format!("{good}.."),
            format!("{good}..AP8="),
            format!("{good}...AP8"),
            "!..AP8".to_owned(),
        ] {
            assert!(super::read(&bad, "RS512").is_err(), "{bad}");
        }
    }
}
