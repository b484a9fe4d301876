//! Where the events of a batch are.

use serde::Deserialize;

use super::{IdRule, Many};

/// The events of a batch.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ItemsRule {
    /// The pointers to the arrays; empty text when the body is the array. A `*` goes through all elements of an array
    /// on the way, `/entry/*/changes`; one that has none of the arrays is an item itself, so that nothing is lost.
    /// Places are tried in their order; an object where an array is expected is the one item, when no place before has any.
    pub at: Many,
    /// As in [`super::Scheme`], usually with `item:` references.
    #[serde(default)]
    pub event_id: Many,
    /// As in [`super::Scheme`], usually with `item:` references.
    #[serde(default)]
    pub event_type: Many,
    /// As in [`super::Scheme`], for the ids of the items. An item without a claim of its own has that of its place in
    /// the batch, when the batch has one.
    #[serde(default)]
    pub id: IdRule,
}
