//! Treezor: `object_payload_signature` is the HMAC-SHA256 of `object_payload` as PHP's `json_encode` writes it.
//!
//! That is: without blanks, with `\/` for a slash and `\u00e9` for everything that is not ASCII. The text is written
//! again from the tokens received; numbers keep their text and members their order. There is no signing time.

use super::{
    Special, SpecialPlan,
    input::{Object, any_secret, base64, is_hmac},
};
use crate::{
    Context, Refusal,
    json::{Found, Kind},
    scheme::Algorithm,
};

/// The most objects and arrays of a payload that wait to be looked at.
const OPEN_MAX: usize = 10_000;

/// Treezor. The secret is the webhook secret.
pub(super) static SPECIAL: Special = Special::new("treezor", verify);

fn verify(context: &Context<'_>, _plan: &SpecialPlan) -> Result<(), Refusal> {
    let body = Object::of_body(context.request.body)?;
    let signature = body.string("object_payload_signature");
    let signature = signature.filter(|text| !text.is_empty());
    let signature = base64(&signature.ok_or(Refusal::MissingSignature)?)?;
    let payload = body.get("object_payload").ok_or(Refusal::MissingValue)?;
    refuse_repeated_names(&payload)?;
    let signed = written_as_php(payload.raw);
    any_secret(context.secrets, |secret| {
        is_hmac(Algorithm::Sha256, secret, &[signed.as_bytes()], &signature)
    })
}

/// Refuses a payload in which an object has a name twice, at any depth.
fn refuse_repeated_names(payload: &Found<'_>) -> Result<(), Refusal> {
    let mut open = vec![*payload];
    while let Some(found) = open.pop() {
        let is_open = |inner: &Found<'_>| matches!(inner.kind, Kind::Object | Kind::Array);
        if found.kind == Kind::Object {
            Object::read(&found)?;
            let members = found.members().map(|(_, member)| member);
            open.extend(members.filter(is_open));
        } else {
            let elements = found.elements().filter(is_open);
            open.extend(elements.take(OPEN_MAX + 1));
        }
        if open.len() > OPEN_MAX {
            return Err(Refusal::MalformedBody);
        }
    }
    Ok(())
}

/// JSON text as PHP writes it.
fn written_as_php(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(start) = rest.find('"') {
        let (between, text) = rest.split_at(start);
        out.extend(between.chars().filter(|char| !char.is_ascii_whitespace()));
        let length = string_length(text);
        let (string, after) = text.split_at(length);
        write_string(string, &mut out);
        rest = after;
    }
    out.extend(rest.chars().filter(|char| !char.is_ascii_whitespace()));
    out
}

/// The bytes of the string that a text begins with, quotes included.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn write_string(string: &str, out: &mut String) {
    let text = crate::json::whole(string).and_then(|found| found.text());
    let Some(text) = text else {
        // Half of a surrogate pair: PHP writes none.
        out.push_str(string);
        return;
    };
    out.push('"');
    for char in text.chars() {
        write_char(char, out);
    }
    out.push('"');
}

fn write_char(char: char, out: &mut String) {
    match char {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '/' => out.push_str("\\/"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        ' '..='~' | '\u{7f}' => out.push(char),
        _ => {
            for unit in char.encode_utf16(&mut [0; 2]) {
                out.push_str("\\u");
                out.push_str(&hex::encode(unit.to_be_bytes()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::special::tests::each_flip;

    #[test]
    fn no_flipped_bit_changes_what_was_signed() {
        each_flip("treezor", |body| {
            let body = Object::of_body(body).ok()?;
            Some(written_as_php(body.get("object_payload")?.raw))
        });
    }

    #[test]
    fn text_is_written_as_php_writes_it() {
        for (json, expected) in [
            (r#"{ "a" : [ 1 , 2.50 ] }"#, r#"{"a":[1,2.50]}"#),
            ("\"Besançon\"", r#""Besan\u00e7on""#),
            (r#""Besan\u00E7on""#, r#""Besan\u00e7on""#),
            ("\"😀\"", r#""\ud83d\ude00""#),
            (r#""https://a.example.com""#, r#""https:\/\/a.example.com""#),
            (
                r#""https:\/\/a.example.com""#,
                r#""https:\/\/a.example.com""#,
            ),
            (
                r#""\" \\ \n \u000a \u0001 \u007f""#,
                "\"\\\" \\\\ \\n \\n \\u0001 \u{7f}\"",
            ),
            (
                r#"{"a b":null,"c":[],"d":{},"e":-1e3,"f":true}"#,
                r#"{"a b":null,"c":[],"d":{},"e":-1e3,"f":true}"#,
            ),
            (r#"["",""]"#, r#"["",""]"#),
            ("7", "7"),
        ] {
            assert_eq!(written_as_php(json), expected, "{json}");
        }
    }

    #[test]
    fn a_name_that_is_there_twice_is_refused_at_any_depth() {
        let check = |json| {
            let found = crate::json::whole(json).expect("a value");
            refuse_repeated_names(&found)
        };
        assert_eq!(check(r#"{"a":[{"b":1},{"b":2}]}"#), Ok(()));
        assert_eq!(
            check(r#"{"a":[{"b":1,"b":2}]}"#),
            Err(Refusal::MalformedBody)
        );
    }
}
