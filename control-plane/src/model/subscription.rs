//! Subscriptions: which event types an endpoint wants, and the index that finds the endpoints of a type.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::event_type::EventTypeName;

/// How many patterns one endpoint can have.
pub(crate) const PATTERNS_MAX: usize = 100;

/// A pattern of event types.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Subscription {
    /// `*`: every type.
    All,
    /// `order.*`: every type below `order`, at any depth; not `order` itself.
    Below(String),
    /// `order.paid`: that type.
    Exactly(String),
}

/// Text that is no pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be an event type such as `order.paid`, a prefix such as `order.*`, or `*`")]
pub struct SubscriptionError;

impl Subscription {
    /// Reads a pattern.
    pub fn parse(text: &str) -> Result<Self, SubscriptionError> {
        if text == "*" {
            return Ok(Self::All);
        }
        let (name, pattern): (_, fn(String) -> Self) = match text.strip_suffix(".*") {
            Some(prefix) => (prefix, Self::Below),
            None => (text, Self::Exactly),
        };
        EventTypeName::parse(name).map_err(|_| SubscriptionError)?;
        Ok(pattern(name.to_owned()))
    }
}

impl TryFrom<String> for Subscription {
    type Error = SubscriptionError;

    fn try_from(text: String) -> Result<Self, SubscriptionError> {
        Self::parse(&text)
    }
}

impl From<Subscription> for String {
    fn from(subscription: Subscription) -> Self {
        subscription.to_string()
    }
}

impl std::fmt::Display for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::Below(prefix) => write!(f, "{prefix}.*"),
            Self::Exactly(name) => f.write_str(name),
        }
    }
}

/// Finds what subscribed to a type: one look-up per label of the type, however many subscriptions there are.
#[derive(Debug, Clone)]
pub(crate) struct SubscriptionIndex<T> {
    all: Vec<T>,
    below: HashMap<String, Vec<T>>,
    exactly: HashMap<String, Vec<T>>,
}

impl<T> Default for SubscriptionIndex<T> {
    fn default() -> Self {
        Self {
            all: Vec::new(),
            below: HashMap::new(),
            exactly: HashMap::new(),
        }
    }
}

impl<T: Copy + Ord> SubscriptionIndex<T> {
    /// Adds a subscriber.
    pub(crate) fn insert(&mut self, pattern: &Subscription, subscriber: T) {
        match pattern {
            Subscription::All => self.all.push(subscriber),
            Subscription::Below(prefix) => {
                self.below
                    .entry(prefix.clone())
                    .or_default()
                    .push(subscriber);
            }
            Subscription::Exactly(name) => {
                self.exactly
                    .entry(name.clone())
                    .or_default()
                    .push(subscriber);
            }
        }
    }

    /// Everything that subscribed to `name`, each once, in order.
    pub(crate) fn matching(&self, name: &EventTypeName) -> Vec<T> {
        let name = name.as_str();
        let mut found = self.all.clone();
        found.extend(self.exactly.get(name).into_iter().flatten());
        for (dot, _) in name.match_indices('.') {
            found.extend(self.below.get(&name[..dot]).into_iter().flatten());
        }
        found.sort_unstable();
        found.dedup();
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(patterns: &[&str]) -> SubscriptionIndex<usize> {
        let mut index = SubscriptionIndex::default();
        for (subscriber, pattern) in patterns.iter().enumerate() {
            index.insert(&Subscription::parse(pattern).unwrap(), subscriber);
        }
        index
    }

    #[test]
    fn a_type_finds_its_subscribers() {
        let index = index(&[
            "order.paid",
            "order.*",
            "*",
            "order.line.*",
            "order",
            "orders.*",
        ]);
        for (name, subscribers) in [
            ("order.paid", vec![0, 1, 2]),
            ("order.line.added", vec![1, 2, 3]),
            ("order", vec![2, 4]),
            ("order.paid.late", vec![1, 2]),
            ("orders", vec![2]),
            ("user.created", vec![2]),
        ] {
            let name = EventTypeName::parse(name).unwrap();
            assert_eq!(index.matching(&name), subscribers, "{name}");
        }
    }

    #[test]
    fn a_subscriber_with_two_matching_patterns_is_found_once() {
        let mut index = SubscriptionIndex::default();
        for pattern in ["*", "a.*", "a.b"] {
            index.insert(&Subscription::parse(pattern).unwrap(), 9);
        }
        assert_eq!(index.matching(&EventTypeName::parse("a.b").unwrap()), [9]);
    }

    #[test]
    fn text_that_is_no_pattern_is_refused() {
        for text in [
            "", "**", "a.*.b", "*.a", ".*", "a*", "a.**", "^a$", "a..b", "a b",
        ] {
            assert_eq!(Subscription::parse(text), Err(SubscriptionError), "{text}");
        }
    }

    #[test]
    fn a_pattern_is_written_as_it_was_read() {
        for text in ["*", "a.*", "a.b"] {
            assert_eq!(Subscription::parse(text).unwrap().to_string(), text);
        }
    }
}
