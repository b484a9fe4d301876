//! Takes out of an endpoint's answer what its request proved itself with.
//!
//! Some endpoints answer with the request that they got. What is kept of an answer is kept in plain and shown to operators,
//! so the values of secret headers and signatures are taken out first, here, because only here both are at hand. What
//! counts: each such value whole, and each part of it of at least eight bytes, such as the token behind `Bearer`, as it was
//! sent or with the escapes of JSON. An endpoint that writes a secret otherwise, such as reversed, can have it kept: its
//! owner knows the secret anyway. The payload is not taken out: who sees excerpts may read it.

use std::borrow::Cow;

use bytes::Bytes;
use memchr::memmem;
use posthorn::node::v1::Lease;

/// A shorter value is no secret that could be told from other text.
const VALUE_BYTES_MIN: usize = 4;
/// The same of a part of a value.
const PART_BYTES_MIN: usize = 8;
/// What stands in the place of a secret.
const MARK: &[u8] = b"[redacted]";
/// The header that is always a secret: for some minutes it lets anybody send the event.
const SIGNATURE: &str = "webhook-signature";

/// What an answer must not show. Never printed.
pub(crate) struct Secrets(Vec<Bytes>);

impl Secrets {
    /// Those of a lease whose headers are still there.
    pub(crate) fn of(lease: &Lease) -> Self {
        let is_secret = |name: &String| name == SIGNATURE || lease.secret_headers.contains(name);
        let secret = lease
            .headers
            .iter()
            .filter(|header| is_secret(&header.name));
        Self(secret.map(|header| header.value.clone()).collect())
    }

    /// The text without them. What ends in the beginning of one, because the rest was not read, is cut there.
    pub(crate) fn redact(&self, text: Bytes) -> Bytes {
        if text.len() < VALUE_BYTES_MIN {
            return text;
        }
        let mut redacted = None;
        for secret in self.spellings() {
            let text = redacted.as_ref().map_or(&text[..], Vec::as_slice);
            if let Some(without) = replaced(text, &secret) {
                redacted = Some(without);
            }
        }
        redacted.map_or(text, Bytes::from)
    }

    /// Everything to look for, the longest first, so that no part is taken out of a whole.
    fn spellings(&self) -> Vec<Cow<'_, [u8]>> {
        let mut spellings = Vec::with_capacity(8 * self.0.len());
        for value in &self.0 {
            if value.len() >= VALUE_BYTES_MIN {
                spellings.push(Cow::Borrowed(&value[..]));
            }
            let parts = value.split(|byte| matches!(byte, b' ' | b'\t' | b',' | b';' | b'='));
            let long = parts.filter(|part| part.len() >= PART_BYTES_MIN);
            spellings.extend(long.map(Cow::Borrowed));
        }
        for plain in 0..spellings.len() {
            spellings.extend(escaped(&spellings[plain]).map(Cow::Owned));
        }
        spellings.sort_by_key(|spelling| std::cmp::Reverse(spelling.len()));
        spellings.dedup();
        spellings
    }
}

/// The text with the mark in the place of the secret. None: it is not in there.
fn replaced(text: &[u8], secret: &[u8]) -> Option<Vec<u8>> {
    let end = text.len() - begun_at_the_end(text, secret);
    let (whole, is_cut) = (&text[..end], end < text.len());
    // Nearly every answer ends here. Looking for all at once prepares more than looking for one.
    if !is_cut && memmem::find(whole, secret).is_none() {
        return None;
    }
    let mut without = Vec::new();
    let mut after = 0;
    for at in memmem::find_iter(whole, secret) {
        without.extend_from_slice(&whole[after..at]);
        without.extend_from_slice(MARK);
        after = at + secret.len();
    }
    without.extend_from_slice(&whole[after..]);
    if is_cut {
        without.extend_from_slice(MARK);
    }
    Some(without)
}

/// How many bytes at the end of the text are the beginning of the secret, and not all of it.
fn begun_at_the_end(text: &[u8], secret: &[u8]) -> usize {
    let longest = secret.len().saturating_sub(1).min(text.len());
    let mut lengths = (PART_BYTES_MIN..=longest).rev();
    lengths
        .find(|length| text.ends_with(&secret[..*length]))
        .unwrap_or(0)
}

/// As JSON has it, with a slash escaped as some programs do. None: the same.
fn escaped(plain: &[u8]) -> Option<Vec<u8>> {
    let is_escaped = |byte: &u8| matches!(byte, b'/' | b'"' | b'\\');
    if !plain.iter().any(is_escaped) {
        return None;
    }
    let mut escaped = Vec::with_capacity(plain.len() + 8);
    for byte in plain {
        if is_escaped(byte) {
            escaped.push(b'\\');
        }
        escaped.push(*byte);
    }
    Some(escaped)
}

#[cfg(test)]
mod tests {
    use posthorn::node::v1::Header;

    use super::*;

    fn secrets() -> Secrets {
        let header = |name: &str, value: &'static str| Header {
            name: name.to_owned(),
            value: value.into(),
        };
        Secrets::of(&Lease {
            headers: vec![
                header("webhook-id", "evt_not_a_secret"),
                header(
                    "webhook-signature",
                    "v1,c2lnbmF0dXJl/Zm9yIGl0+A= v1,b3RoZXIgc2lnbmF0dXJl",
                ),
                header("x-signature", "sha256=0123456789abcdef"),
                header("authorization", "Bearer canary-token"),
                header("x-pin", "4711"),
                header("x-short", "abc"),
            ],
            secret_headers: ["x-signature", "authorization", "x-pin", "x-short"]
                .map(str::to_owned)
                .to_vec(),
            ..Lease::default()
        })
    }

    #[test]
    fn secrets_are_taken_out_whole_and_in_parts_and_the_rest_stays() {
        for (text, expected) in [
            ("", ""),
            ("ok", "ok"),
            ("evt_not_a_secret abc", "evt_not_a_secret abc"),
            ("pin 4711!", "pin [redacted]!"),
            ("{\"a\":\"Bearer canary-token\"}", "{\"a\":\"[redacted]\"}"),
            (
                "token=canary-token;canary-token",
                "token=[redacted];[redacted]",
            ),
            ("sha256=0123456789abcdef", "[redacted]"),
            ("got 0123456789abcdef", "got [redacted]"),
            ("c2lnbmF0dXJl/Zm9yIGl0+A=", "[redacted]="),
            ("c2lnbmF0dXJl\\/Zm9yIGl0+A=", "[redacted]="),
            ("[b3RoZXIgc2lnbmF0dXJl]", "[[redacted]]"),
            // The rest was not read.
            ("it was canary-tok", "it was [redacted]"),
            ("it was Bearer canary-to", "it was [redacted]"),
            ("it was canary", "it was canary"),
        ] {
            let redacted = secrets().redact(Bytes::copy_from_slice(text.as_bytes()));
            assert_eq!(String::from_utf8_lossy(&redacted), expected, "{text}");
        }
    }
}
