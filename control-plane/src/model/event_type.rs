//! Event types: dotted names such as `order.paid`.

use std::{borrow::Borrow, fmt, sync::Arc};

/// The longest name, in characters.
pub(crate) const NAME_CHARS_MAX: usize = 128;

/// The name of an event type: labels of letters, digits, `_` and `-`, joined by single dots. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct EventTypeName(Arc<str>);

/// Text that is no event type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be labels of letters, digits, `_` and `-`, joined by single dots, such as `order.paid`: \
     1 to 128 characters in all"
)]
pub(crate) struct EventTypeNameError;

impl EventTypeName {
    /// Reads a name.
    pub(crate) fn parse(text: &str) -> Result<Self, EventTypeNameError> {
        if is_name(text) {
            Ok(Self(text.into()))
        } else {
            Err(EventTypeNameError)
        }
    }

    /// The type of what says nothing about itself.
    pub(crate) fn unknown() -> Self {
        Self("event".into())
    }

    /// The text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for EventTypeName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EventTypeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An event type that a tenant declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EventType {
    /// The name, unique in the tenant.
    pub name: EventTypeName,
    /// What it means, for people.
    pub description: String,
    /// Rises with every change.
    pub version: i64,
    /// When it was declared.
    pub created_at: i64,
    /// When it was last changed.
    pub updated_at: i64,
}

fn is_name(text: &str) -> bool {
    text.len() <= NAME_CHARS_MAX && text.split('.').all(is_label)
}

fn is_label(label: &str) -> bool {
    !label.is_empty()
        && label
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_dotted_labels() {
        for text in [
            "a",
            "order.paid",
            "Order-2.line_item.added",
            "0",
            &"x".repeat(128),
        ] {
            assert!(EventTypeName::parse(text).is_ok(), "{text}");
        }
        let long = "x".repeat(129);
        for text in [
            "", ".", "a.", ".a", "a..b", "a b", "a.*", "*", "ä", "a\0", "a\n", &long,
        ] {
            assert!(EventTypeName::parse(text).is_err(), "{text:?}");
        }
    }
}
