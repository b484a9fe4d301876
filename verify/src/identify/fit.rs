//! Ids and types in the form that they are kept in.

use crate::crypto::digest;

/// The longest id that is kept as it is, in characters.
const ID_CHARS_MAX: usize = 256;
/// The longest event type, in characters.
const TYPE_CHARS_MAX: usize = 128;

/// An id that can be stored.
pub(crate) fn fit_id(id: String) -> String {
    let printable = id.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if printable && id.len() <= ID_CHARS_MAX {
        id
    } else {
        hex::encode(digest::sha256(id.as_bytes()))
    }
}

/// A type in lower case, of labels of letters, digits, `_` and `-` joined by single dots; `event` when nothing is left.
pub(super) fn type_name(provider: &str, text: &str) -> String {
    let mut name = provider.to_owned();
    for label in text.split('.') {
        let label: String = label
            .chars()
            .take(TYPE_CHARS_MAX)
            .map(|character| match character {
                'A'..='Z' | 'a'..='z' | '0'..='9' | '_' | '-' => character.to_ascii_lowercase(),
                _ => '_',
            })
            .collect();
        if label.is_empty() || name.len() + 1 + label.len() > TYPE_CHARS_MAX {
            continue;
        }
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(&label);
    }
    if name == provider {
        name.push_str(if provider.is_empty() {
            "event"
        } else {
            ".event"
        });
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_fit_the_grammar() {
        let long = "x".repeat(200);
        for (text, expected) in [
            ("charge.succeeded", "p.charge.succeeded"),
            ("PAYMENT_COMPLETED", "p.payment_completed"),
            ("orders/create", "p.orders_create"),
            ("a..b.", "p.a.b"),
            ("", "p.event"),
            ("...", "p.event"),
            ("a b\u{e9}\0", "p.a_b__"),
            (&long, "p.event"),
        ] {
            assert_eq!(type_name("p", text), expected, "{text:?}");
        }
    }

    #[test]
    fn ids_fit_the_store() {
        assert_eq!(fit_id("evt_1".into()), "evt_1");
        assert_eq!(fit_id("x".repeat(256)).len(), 256);
        for id in ["x".repeat(257), "a\0".into(), "\u{e9}".into(), "a\n".into()] {
            assert_eq!(
                fit_id(id.clone()),
                hex::encode(digest::sha256(id.as_bytes()))
            );
        }
    }
}
