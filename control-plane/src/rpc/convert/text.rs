//! Texts that people read: names, labels, reasons, descriptions.

use crate::error::Error;

/// Characters that change the direction of what follows, with which a name can pretend to be another.
const BIDI_CONTROLS: &[char] = &[
    '\u{061c}', '\u{200e}', '\u{200f}', '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}',
    '\u{2066}', '\u{2067}', '\u{2068}', '\u{2069}',
];

/// A text of at most `chars_max` printable characters, or none.
pub(crate) fn printable(field: &str, text: &str, chars_max: usize) -> Result<String, Error> {
    if text.chars().count() > chars_max || !text.chars().all(is_printable) || is_blank(text) {
        let rule = format!("must be at most {chars_max} printable characters, not only blanks");
        return Err(Error::invalid(field, rule));
    }
    Ok(text.to_owned())
}

/// A text of 1 to `chars_max` printable characters.
pub(crate) fn visible_name(field: &str, text: &str, chars_max: usize) -> Result<String, Error> {
    match printable(field, text, chars_max) {
        Ok(text) if !text.is_empty() => Ok(text),
        _ => {
            let rule = format!("must be 1 to {chars_max} printable characters, not only blanks");
            Err(Error::invalid(field, rule))
        }
    }
}

/// A text of at most `chars_max` characters that may have several lines, or none.
pub(crate) fn long_text(field: &str, text: &str, chars_max: usize) -> Result<String, Error> {
    let is_allowed = |char| is_printable(char) || matches!(char, '\n' | '\t');
    if text.chars().count() > chars_max || !text.chars().all(is_allowed) {
        let rule = format!("must be at most {chars_max} characters without control characters");
        return Err(Error::invalid(field, rule));
    }
    Ok(text.to_owned())
}

fn is_printable(char: char) -> bool {
    !char.is_control() && !BIDI_CONTROLS.contains(&char) && !is_invisible(char)
}

/// Line separators, and characters of no width, with which two names can look alike.
fn is_invisible(char: char) -> bool {
    matches!(
        char,
        '\u{ad}' | '\u{115f}' | '\u{1160}' | '\u{200b}'..='\u{200d}' | '\u{2028}' | '\u{2029}' | '\u{2060}'..='\u{206f}'
            | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{e0000}'..='\u{e007f}'
    )
}

fn is_blank(text: &str) -> bool {
    !text.is_empty() && text.chars().all(char::is_whitespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_printable_and_short() {
        let (longest, too_long) = ("ä".repeat(100), "ä".repeat(101));
        for (text, is_good) in [
            ("a", true),
            ("Zürich 東京 🚀", true),
            (&longest, true),
            ("", false),
            (&too_long, false),
            ("  ", false),
            ("\u{a0}", false),
            ("a\0", false),
            ("a\nb", false),
            ("a\u{7f}", false),
            ("a\u{202e}b", false),
            ("a\u{2067}b", false),
            ("a\u{2028}b", false),
            ("a\u{200b}b", false),
            ("a\u{feff}", false),
            ("\u{3164}", false),
        ] {
            assert_eq!(visible_name("name", text, 100).is_ok(), is_good, "{text:?}");
            let may_be_empty = is_good || text.is_empty();
            assert_eq!(
                printable("name", text, 100).is_ok(),
                may_be_empty,
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_long_text_may_have_lines() {
        assert!(long_text("description", "a\n\tb", 1_000).is_ok());
        assert!(long_text("description", "", 1_000).is_ok());
        for text in ["a\0", "a\rb", "a\u{202e}", &"x".repeat(1_001)] {
            assert!(long_text("description", text, 1_000).is_err());
        }
    }
}
