//! Values found in JSON text, without building a tree of it.
//!
//! One pass, no recursion, at most [`DEPTH_MAX`] levels, no copies but of the values that are asked for. The first of
//! several members of one name counts, and that there were several is reported. Numbers keep their text.
//!
//! All JSON in UTF-8 is read, whatever its texts hold: most of it is only carried. A text that is looked at can hold a
//! NUL, which whoever keeps it has to fit; one with half of a surrogate pair is no text that UTF-8 can hold, and counts as
//! missing.

use std::{borrow::Cow, str};

pub(crate) use self::scan::Kind;
use self::scan::{Cursor, unescape};
use crate::Refusal;

mod scan;

/// The most levels of objects and arrays in each other.
pub(crate) const DEPTH_MAX: u32 = 64;
/// The most segments of a pointer.
const SEGMENTS_MAX: usize = 16;

/// A JSON pointer (RFC 6901), where a segment `*` takes the first element of an array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pointer(Vec<String>);

/// A value in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found<'a> {
    /// The value's text as it is in the document.
    pub raw: &'a str,
    /// What it is.
    pub kind: Kind,
    /// Whether an object on the way held the name several times.
    pub duplicate: bool,
}

impl Pointer {
    /// Reads a pointer; empty text is the whole document.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self(Vec::new()));
        }
        let segments: Vec<String> = text
            .strip_prefix('/')?
            .split('/')
            .map(|segment| segment.replace("~1", "/").replace("~0", "~"))
            .collect();
        (segments.len() <= SEGMENTS_MAX).then_some(Self(segments))
    }

    /// The pointers between its `*`, each within what the one before it leads to.
    pub(crate) fn levels(&self) -> Vec<Self> {
        let levels = self.0.split(|segment| segment == "*");
        levels.map(|segments| Self(segments.to_vec())).collect()
    }
}

/// The text of a body: UTF-8 that is one JSON value, at most [`DEPTH_MAX`] deep. A byte order mark before it is passed over,
/// as a reader may (RFC 8259, section 8.1).
///
/// # Errors
/// `MalformedBody` for everything else.
pub(crate) fn document(body: &[u8]) -> Result<&str, Refusal> {
    let text = str::from_utf8(body).map_err(|_| Refusal::MalformedBody)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut cursor = Cursor::new(text);
    cursor
        .value()
        .and_then(|_| cursor.end())
        .ok_or(Refusal::MalformedBody)?;
    Ok(text)
}

/// The value at a pointer of a document; `None` when there is none, or when the text is no JSON up to there.
pub(crate) fn find<'a>(text: &'a str, pointer: &Pointer) -> Option<Found<'a>> {
    let mut found = whole(text)?;
    let mut duplicate = false;
    for segment in &pointer.0 {
        found = match found.kind {
            Kind::Object => member(found.raw, segment)?,
            Kind::Array => element(found.raw, segment)?,
            _ => return None,
        };
        duplicate |= found.duplicate;
    }
    Some(Found { duplicate, ..found })
}

/// The text of a string, number or truth value at a pointer given as text: what most callers want.
pub(crate) fn text_at<'a>(text: &'a str, pointer: &str) -> Option<Cow<'a, str>> {
    find(text, &Pointer::parse(pointer)?)?.text()
}

/// A text as one value.
pub(crate) fn whole(text: &str) -> Option<Found<'_>> {
    Cursor::new(text).found()
}

impl<'a> Found<'a> {
    /// A string without its escapes; a number or truth value as it is written; nothing for the others, and for a string
    /// with half of a surrogate pair.
    pub(crate) fn text(&self) -> Option<Cow<'a, str>> {
        match self.kind {
            Kind::String => unescape(self.raw),
            Kind::Number | Kind::Bool => Some(Cow::Borrowed(self.raw)),
            Kind::Null | Kind::Object | Kind::Array => None,
        }
    }

    /// The elements of an array; none when it is none.
    pub(crate) fn elements(&self) -> impl Iterator<Item = Found<'a>> + use<'a> {
        let mut cursor = self.inside(Kind::Array);
        std::iter::from_fn(move || {
            let cursor = cursor.as_mut()?;
            cursor.next_in(b']')?;
            cursor.found()
        })
    }

    /// The members of an object in their order; none when it is none.
    pub(crate) fn members(&self) -> impl Iterator<Item = (Cow<'a, str>, Found<'a>)> + use<'a> {
        let mut cursor = self.inside(Kind::Object);
        std::iter::from_fn(move || {
            let cursor = cursor.as_mut()?;
            cursor.next_in(b'}')?;
            let raw = cursor.name()?;
            // A name that is no text is still a member, by the name that it is written with.
            let name = unescape(raw).unwrap_or(Cow::Borrowed(raw));
            Some((name, cursor.found()?))
        })
    }

    fn inside(&self, kind: Kind) -> Option<Cursor<'a>> {
        (self.kind == kind)
            .then(|| Cursor::inside(self.raw))
            .flatten()
    }
}

fn member<'a>(raw: &'a str, name: &str) -> Option<Found<'a>> {
    let mut cursor = Cursor::inside(raw)?;
    let mut first: Option<Found<'a>> = None;
    while cursor.next_in(b'}').is_some() {
        let key = cursor.name()?;
        let value = cursor.found()?;
        if unescape(key).is_some_and(|key| key == name) {
            match &mut first {
                Some(first) => first.duplicate = true,
                None => first = Some(value),
            }
        }
    }
    first
}

fn element<'a>(raw: &'a str, segment: &str) -> Option<Found<'a>> {
    let index: usize = match segment {
        "*" | "0" => 0,
        digits if digits.starts_with('0') || digits.starts_with('+') => return None,
        digits => digits.parse().ok()?,
    };
    let array = Found {
        raw,
        kind: Kind::Array,
        duplicate: false,
    };
    array.elements().nth(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(body: &str, pointer: &str) -> Option<String> {
        text_at(document(body.as_bytes()).ok()?, pointer).map(Cow::into_owned)
    }

    #[test]
    fn values_are_found_by_pointer() {
        let body = r#" {"a":{"b":[10,{"c":"d\n\u00e9\ud83d\ude00"}],"":1,"x/y~z":true},"n":null,"\u0061\u0062":"esc"} "#;
        for (pointer, expected) in [
            ("/a/b/0", Some("10")),
            ("/a/b/*", Some("10")),
            ("/a/b/1/c", Some("d\né😀")),
            ("/a/", Some("1")),
            ("/a/x~1y~0z", Some("true")),
            ("/ab", Some("esc")),
            ("/n", None),
            ("/a", None),
            ("/a/b", None),
            ("/a/b/2", None),
            ("/a/b/01", None),
            ("/a/b/+1", None),
            ("/a/b/-", None),
            ("/zz", None),
            ("a", None),
        ] {
            assert_eq!(text(body, pointer).as_deref(), expected, "{pointer}");
        }
    }

    #[test]
    fn the_first_of_several_members_counts_and_is_flagged() {
        let body = r#"{"id":"1","x":{"id":"3","id":"4"},"i\u0064":"2"}"#;
        let find = |pointer| find(body, &Pointer::parse(pointer).expect("a pointer"));
        let id = find("/id").expect("an id");
        assert_eq!((id.text().as_deref(), id.duplicate), (Some("1"), true));
        let inner = find("/x/id").expect("an id");
        assert_eq!(
            (inner.text().as_deref(), inner.duplicate),
            (Some("3"), true)
        );
        assert!(!find("/x").expect("an object").duplicate);
    }

    #[test]
    fn numbers_keep_their_text() {
        for number in [
            "0",
            "-0",
            "1e400",
            "9223372036854775808",
            "123456789012345678901234567890",
            "1.50",
            "1E+2",
        ] {
            assert_eq!(text(&format!("[{number}]"), "/0").as_deref(), Some(number));
        }
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "it is a table")]
    fn text_that_is_no_json_is_refused() {
        let bad: &[&[u8]] = &[
            b"",
            b" ",
            b"{",
            b"[",
            b"{}{}",
            b"{} x",
            b"[1,]",
            b"{,}",
            b"{\"a\"}",
            b"{\"a\":}",
            b"{\"a\":1,}",
            b"{a:1}",
            b"'a'",
            b"01",
            b"1.",
            b".5",
            b"+1",
            b"-",
            b"1e",
            b"0x1",
            b"NaN",
            b"tru",
            b"nulll",
            b"\"",
            b"\"\n\"",
            b"\"\\x\"",
            b"\"\\u12\"",
            b"\"\\ud80\"",
            b"\"\\u00g0\"",
            b"\"\0\"",
            b"[1}",
            b"{\"a\":1]",
            b"\xff",
            b"\"\xff\"",
            b"{}\xef\xbb\xbf",
            b"\xef\xbb\xbf\xef\xbb\xbf{}",
            b"{\0}\0",
            b"\"\xed\xa0\x80\"",
            b"\"\\",
        ];
        for body in bad {
            assert_eq!(
                document(body),
                Err(Refusal::MalformedBody),
                "{:?}",
                String::from_utf8_lossy(body)
            );
        }
        for body in [
            "null",
            "[]",
            "\"x\"",
            "7",
            "{}",
            " [ ] ",
            "{ \"a\" : [ 1 , 2 ] }",
            r#"{"__proto__":1}"#,
        ] {
            assert!(document(body.as_bytes()).is_ok(), "{body}");
        }
    }

    #[test]
    fn text_that_a_database_may_not_take_is_json() {
        for (value, expected) in [
            (r#""a\u0000b""#, Some("a\0b")),
            (r#""\ufffe\uffff""#, Some("\u{fffe}\u{ffff}")),
            (r#""\ud83d\ude00""#, Some("😀")),
            (r#""\ud800""#, None),
            (r#""\udc00\ud800""#, None),
            (r#""\ud800\u0041""#, None),
            (r#""\ud800\ud83d\ude00""#, None),
            (r#""\ud800\n""#, None),
        ] {
            let body = format!(r#"{{"\ud800":0,"v":{value},"w":[1,{value},2]}}"#);
            assert_eq!(text(&body, "/v").as_deref(), expected, "{body}");
            assert_eq!(text(&body, "/w/2").as_deref(), Some("2"), "{body}");
            let names = whole(&body).expect("an object").members().count();
            assert_eq!(names, 3, "{body}");
        }
    }

    #[test]
    fn depth_is_bounded_without_recursion() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(document(nested(64).as_bytes()).is_ok());
        assert!(document(nested(65).as_bytes()).is_err());
        assert!(document(nested(100_000).as_bytes()).is_err());
        assert!(document("{\"a\":".repeat(100_000).as_bytes()).is_err());
        assert!(document("[".repeat(100_000).as_bytes()).is_err());
    }

    #[test]
    fn members_and_elements_come_in_order() {
        let object = whole(r#"{"a":1,"b":[2,{"c":3}],"a":4}"#).expect("an object");
        let names: Vec<_> = object
            .members()
            .map(|(name, _)| name.into_owned())
            .collect();
        assert_eq!(names, ["a", "b", "a"]);
        let array = whole("[1, \"x\",[]]").expect("an array");
        let raws: Vec<_> = array.elements().map(|element| element.raw).collect();
        assert_eq!(raws, ["1", "\"x\"", "[]"]);
        assert_eq!(whole("[]").expect("an array").elements().count(), 0);
        assert_eq!(whole("{}").expect("an object").elements().count(), 0);
        assert_eq!(whole("{ }").expect("an object").members().count(), 0);
    }

    #[test]
    fn a_pointer_has_a_bounded_number_of_segments() {
        assert!(Pointer::parse(&"/a".repeat(16)).is_some());
        assert!(Pointer::parse(&"/a".repeat(17)).is_none());
    }
}
