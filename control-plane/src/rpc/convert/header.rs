//! HTTP headers that callers choose: which names and values are allowed.

use crate::error::Error;

const NAME_CHARS_MAX: usize = 64;

/// What Posthorn or HTTP itself sets.
const RESERVED: &[&str] = &[
    "host",
    "content-length",
    "content-type",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "user-agent",
    "cdn-loop",
    "traceparent",
    "tracestate",
    "content-encoding",
    "content-range",
    "date",
    "range",
    "http2-settings",
    "alt-svc",
];
const RESERVED_PREFIXES: &[&str] = &["proxy-", "webhook-"];
/// What secrets of well-known kinds have in them, our own among them: such a value must be marked as one.
const SECRET_MARKS: &[&str] = &["-----BEGIN", "sk_live_", "whsec_", "phk_"];

/// Reads the name of a header that may be added to a request of ours, in lower case.
pub(crate) fn header_name(field: &str, text: &str) -> Result<String, Error> {
    let name = field_name(field, text)?;
    let has_reserved_prefix = RESERVED_PREFIXES
        .iter()
        .any(|prefix| name.starts_with(prefix));
    if has_reserved_prefix || RESERVED.contains(&name.as_str()) {
        return Err(Error::invalid(
            field,
            "must not be a header that Posthorn or HTTP itself sets",
        ));
    }
    Ok(name)
}

/// Reads an HTTP field name of 1 to 64 characters, in lower case.
pub(crate) fn field_name(field: &str, text: &str) -> Result<String, Error> {
    if !(1..=NAME_CHARS_MAX).contains(&text.len()) || !text.bytes().all(is_token_byte) {
        return Err(Error::invalid(
            field,
            "must be an HTTP field name of 1 to 64 characters",
        ));
    }
    Ok(text.to_ascii_lowercase())
}

/// Whether a text of at most `chars_max` characters can be the value of a header.
pub(crate) fn is_header_value(value: &str, chars_max: usize) -> bool {
    value.len() <= chars_max
        && value
            .bytes()
            .all(|byte| matches!(byte, b'\t' | b' '..=b'~'))
}

/// Whether a text holds what must be kept encrypted.
pub(crate) fn looks_secret(value: &str) -> bool {
    SECRET_MARKS.iter().any(|mark| value.contains(mark))
}

/// A character of a token, RFC 9110 section 5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_token_that_nobody_else_sets() {
        for text in [
            "X-Team",
            "authorization",
            "a",
            "x_y",
            "cookie",
            "webhooks",
            &"x".repeat(64),
        ] {
            assert_eq!(header_name("f", text).unwrap(), text.to_ascii_lowercase());
        }
        let long = "x".repeat(65);
        for text in [
            "",
            "Host",
            "content-length",
            "Content-Type",
            "TE",
            "webhook-id",
            "Webhook-Anything",
            "proxy-authorization",
            "user-agent",
            "traceparent",
            "x y",
            "x:",
            "x\r\n",
            "x\0",
            "ä",
            "(x)",
            &long,
        ] {
            assert!(header_name("f", text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_value_is_visible_and_short() {
        for (value, is_good) in [
            ("", true),
            ("a b\tc~", true),
            ("abcdefgh", true),
            ("abcdefghi", false),
            ("a\r\nb", false),
            ("a\0", false),
            ("\u{7f}", false),
            ("ä", false),
        ] {
            assert_eq!(is_header_value(value, 8), is_good, "{value:?}");
        }
    }
}
