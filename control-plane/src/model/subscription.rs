//! Subscriptions: which event types an endpoint wants, and the index that finds the endpoints of a type.

use std::sync::Arc;

use rpds::HashTrieMapSync;
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

/// Finds what subscribed to a type: one look-up per label of the type, however many subscriptions there are. A clone shares
/// everything with its original, and a change copies the subscribers of one pattern only.
#[derive(Debug, Clone)]
pub(crate) struct SubscriptionIndex<T> {
    all: Subscribers<T>,
    below: HashTrieMapSync<String, Subscribers<T>>,
    exactly: HashTrieMapSync<String, Subscribers<T>>,
}

/// The subscribers of one pattern, each once, in order.
type Subscribers<T> = Arc<Vec<T>>;

impl<T> Default for SubscriptionIndex<T> {
    fn default() -> Self {
        Self {
            all: Arc::default(),
            below: HashTrieMapSync::default(),
            exactly: HashTrieMapSync::default(),
        }
    }
}

impl<T: Copy + Ord> SubscriptionIndex<T> {
    /// Adds a subscriber.
    pub(crate) fn insert(&mut self, pattern: &Subscription, subscriber: T) {
        self.edit(pattern, |subscribers| {
            if let Err(place) = subscribers.binary_search(&subscriber) {
                subscribers.insert(place, subscriber);
            }
        });
    }

    /// Takes a subscriber out again.
    pub(crate) fn remove(&mut self, pattern: &Subscription, subscriber: T) {
        self.edit(pattern, |subscribers| {
            if let Ok(place) = subscribers.binary_search(&subscriber) {
                subscribers.remove(place);
            }
        });
    }

    fn edit(&mut self, pattern: &Subscription, edit: impl FnOnce(&mut Vec<T>)) {
        let (patterns, text) = match pattern {
            Subscription::All => return edit(Arc::make_mut(&mut self.all)),
            Subscription::Below(prefix) => (&mut self.below, prefix),
            Subscription::Exactly(name) => (&mut self.exactly, name),
        };
        if !patterns.contains_key(text.as_str()) {
            patterns.insert_mut(text.clone(), Arc::default());
        }
        let Some(subscribers) = patterns.get_mut(text.as_str()) else {
            return;
        };
        edit(Arc::make_mut(subscribers));
        if subscribers.is_empty() {
            patterns.remove_mut(text.as_str());
        }
    }

    /// Everything that subscribed to `name`, each once, in order.
    pub(crate) fn matching(&self, name: &EventTypeName) -> Vec<T> {
        let name = name.as_str();
        let mut found = self.all.to_vec();
        let exactly = self.exactly.get(name);
        found.extend(exactly.into_iter().flat_map(|exactly| exactly.iter()));
        for (dot, _) in name.match_indices('.') {
            let below = self.below.get(&name[..dot]);
            found.extend(below.into_iter().flat_map(|below| below.iter()));
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
    fn who_is_taken_out_is_found_no_more_and_leaves_older_clones_alone() {
        let before = index(&["order.paid", "order.*", "*"]);
        let mut after = before.clone();
        for (subscriber, pattern) in ["order.paid", "order.*", "*", "never.put.in"]
            .iter()
            .enumerate()
        {
            after.remove(&Subscription::parse(pattern).unwrap(), subscriber);
        }
        let name = EventTypeName::parse("order.paid").unwrap();
        assert_eq!(before.matching(&name), [0, 1, 2]);
        assert!(after.matching(&name).is_empty());
        assert!(after.exactly.is_empty() && after.below.is_empty());
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
