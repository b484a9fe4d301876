//! One page of a provider's list: its items as they are written there, and where the next page begins.
//!
//! Pure. Items keep their bytes: nothing is parsed and written anew.

use std::{borrow::Borrow, collections::BTreeMap, fmt};

use bytes::Bytes;
use serde::{Deserialize, Deserializer, de::Visitor};
use serde_json::value::RawValue;

use crate::model::{event::without_mark, source::PollSettings};

/// How many items one page can have.
pub(super) const ITEMS_MAX: usize = 10_000;

/// A page as read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ListPage {
    /// Its items in the provider's order.
    pub items: Vec<Item>,
    /// The cursor that it names. None: it names none.
    pub cursor: Option<String>,
}

/// An item of a page.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Item {
    /// The provider's id; empty when it has none.
    pub id: String,
    /// The provider's type; empty when it has none.
    pub kind: String,
    /// The bytes as they stand in the page.
    pub body: Bytes,
}

/// Why a page could not be read. The texts are shown to operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PageError {
    /// It is not JSON, or nests too deep.
    #[error("not_json")]
    NotJson,
    /// There is no array where the items should be.
    #[error("no_items")]
    NoItems,
    /// It has more than 10,000 items.
    #[error("too_many_items")]
    TooManyItems,
}

/// Reads a page as the settings say.
pub(super) fn read(body: &[u8], settings: &PollSettings) -> Result<ListPage, PageError> {
    let whole = serde_json::from_slice(without_mark(body));
    let whole: &RawValue = whole.map_err(|_| PageError::NotJson)?;
    let items = at(whole, &settings.items).ok_or(PageError::NoItems)?;
    let items: Vec<&RawValue> =
        serde_json::from_str(items.get()).map_err(|_| PageError::NoItems)?;
    if items.len() > ITEMS_MAX {
        return Err(PageError::TooManyItems);
    }
    let cursor = (!settings.cursor.is_empty())
        .then(|| at(whole, &settings.cursor).and_then(text))
        .flatten();
    Ok(ListPage {
        items: items
            .into_iter()
            .map(|item| read_item(item, settings))
            .collect(),
        cursor,
    })
}

fn read_item(item: &RawValue, settings: &PollSettings) -> Item {
    let field = |pointer: &str| {
        let value = (!pointer.is_empty()).then(|| at(item, pointer)).flatten();
        value.and_then(text).unwrap_or_default()
    };
    Item {
        id: field(&settings.item_id),
        kind: field(&settings.item_type),
        body: Bytes::copy_from_slice(item.get().as_bytes()),
    }
}

/// The value that a JSON pointer (RFC 6901) leads to.
fn at<'a>(value: &'a RawValue, pointer: &str) -> Option<&'a RawValue> {
    let Some(steps) = pointer.strip_prefix('/') else {
        return pointer.is_empty().then_some(value);
    };
    steps.split('/').try_fold(value, |value, step| {
        let step = step.replace("~1", "/").replace("~0", "~");
        let text = value.get();
        if text.starts_with('[') {
            let place = step.parse::<usize>().ok()?;
            let elements: Vec<&RawValue> = serde_json::from_str(text).ok()?;
            elements.get(place).copied()
        } else {
            let members: BTreeMap<Name, &RawValue> = serde_json::from_str(text).ok()?;
            members.get(step.as_bytes()).copied()
        }
    })
}

/// The name of a member: its bytes, so that one with half of a surrogate pair hides no other member.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Name(Vec<u8>);

impl Borrow<[u8]> for Name {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_byte_buf(NameVisitor)
    }
}

struct NameVisitor;

impl Visitor<'_> for NameVisitor {
    type Value = Name;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a name")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Name, E> {
        Ok(Name(name.into()))
    }

    fn visit_bytes<E: serde::de::Error>(self, name: &[u8]) -> Result<Name, E> {
        Ok(Name(name.to_owned()))
    }
}

/// A string's text, or a number as it is written. None for everything else, and for a string that is no text.
fn text(value: &RawValue) -> Option<String> {
    let text = value.get();
    if text.starts_with('"') {
        return serde_json::from_str(text).ok();
    }
    let is_number = text.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    is_number.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> PollSettings {
        PollSettings {
            url: "https://api.provider.com/events".to_owned(),
            headers: Vec::new(),
            items: "/data".to_owned(),
            item_id: "/id".to_owned(),
            item_type: "/meta/type".to_owned(),
            cursor: "/next".to_owned(),
            initial_cursor: String::new(),
            interval_ms: 60_000,
            pages_max: 10,
        }
    }

    #[test]
    fn items_keep_their_bytes_and_give_id_and_type() {
        let body = br#"{"data": [{"id":"a", "meta":{"type":"order.paid"}, "n": 1.50}, {"id": 17}], "next": "p2"}"#;
        let page = read(body, &settings()).unwrap();
        assert_eq!(page.cursor.as_deref(), Some("p2"));
        assert_eq!(page.items[0].id, "a");
        assert_eq!(page.items[0].kind, "order.paid");
        assert_eq!(
            page.items[0].body,
            &br#"{"id":"a", "meta":{"type":"order.paid"}, "n": 1.50}"#[..]
        );
        assert_eq!(
            (page.items[1].id.as_str(), page.items[1].kind.as_str()),
            ("17", "")
        );
    }

    #[test]
    fn what_is_no_text_hides_nothing_beside_it() {
        let body = r#"{"\ud800":1,"data":[{"\udc00":"\ud800","id":"a\u0000","meta":{"type":"\ud800"}}],"next":"\ud800"}"#;
        let page = read(body.as_bytes(), &settings()).unwrap();
        assert_eq!(page.items.len(), 1);
        assert_eq!(
            (page.items[0].id.as_str(), page.items[0].kind.as_str()),
            ("a\0", "")
        );
        assert_eq!(page.cursor, None);
    }

    #[test]
    fn an_answer_that_is_the_array_itself_has_no_cursor() {
        let settings = PollSettings {
            items: String::new(),
            cursor: String::new(),
            ..settings()
        };
        let page = read(br#"[{"id":"a"}]"#, &settings).unwrap();
        assert_eq!((page.items.len(), page.cursor), (1, None));
    }

    #[test]
    fn a_cursor_that_is_null_or_away_is_none() {
        for body in [
            r#"{"data":[],"next":null}"#,
            r#"{"data":[]}"#,
            r#"{"data":[],"next":{}}"#,
        ] {
            assert_eq!(
                read(body.as_bytes(), &settings()).unwrap().cursor,
                None,
                "{body}"
            );
        }
    }

    #[test]
    fn pages_that_are_no_pages_are_refused() {
        let deep = "[".repeat(100_000);
        for (body, error) in [
            ("", PageError::NotJson),
            ("<html>", PageError::NotJson),
            (deep.as_str(), PageError::NotJson),
            ("{}", PageError::NoItems),
            (r#"{"data":{}}"#, PageError::NoItems),
            (r#"{"data":7}"#, PageError::NoItems),
        ] {
            assert_eq!(read(body.as_bytes(), &settings()), Err(error), "{body:.20}");
        }
        let many = format!("{{\"data\":[{}0]}}", "0,".repeat(ITEMS_MAX));
        assert_eq!(
            read(many.as_bytes(), &settings()),
            Err(PageError::TooManyItems)
        );
    }

    #[test]
    fn pointers_unescape_and_index() {
        let body = br#"{"data":[{"id":{"a/b":[{"m~n":"x"}]}}]}"#;
        let settings = PollSettings {
            item_id: "/id/a~1b/0/m~0n".to_owned(),
            ..settings()
        };
        assert_eq!(read(body, &settings).unwrap().items[0].id, "x");
    }
}
