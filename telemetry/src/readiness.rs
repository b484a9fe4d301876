//! Whether a process can do its work: named conditions that are true or not.
//!
//! It stores what it is told and checks nothing itself.

use std::{collections::BTreeMap, sync::Arc};

use posthorn_locks::Leaf;

/// The conditions of being ready. Clones share them.
///
/// Ready means that at least one condition was named and that every condition ever named is true now.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    conditions: Arc<Leaf<BTreeMap<&'static str, Condition>>>,
}

/// Whether something holds, and in words why it does not, if that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Condition {
    Holds,
    Fails(Option<String>),
}

impl Readiness {
    /// No condition is named yet, hence not ready.
    pub fn new() -> Self {
        Self::default()
    }

    /// Names a condition, or changes whether it is true.
    pub fn set(&self, condition: &'static str, ready: bool) {
        let value = if ready {
            Condition::Holds
        } else {
            Condition::Fails(None)
        };
        self.conditions.lock().insert(condition, value);
    }

    /// Names a condition that is not true, and says why.
    pub fn set_missing(&self, condition: &'static str, reason: String) {
        self.conditions
            .lock()
            .insert(condition, Condition::Fails(Some(reason)));
    }

    /// Whether every condition is true and there is at least one.
    pub fn is_ready(&self) -> bool {
        let conditions = self.conditions.lock();
        !conditions.is_empty() && conditions.values().all(|value| *value == Condition::Holds)
    }

    /// The conditions that are not true, by name, each with its reason.
    pub fn missing(&self) -> Vec<String> {
        let conditions = self.conditions.lock();
        let missing = conditions.iter().filter_map(|(name, value)| match value {
            Condition::Holds => None,
            Condition::Fails(None) => Some((*name).to_owned()),
            Condition::Fails(Some(reason)) => Some(format!("{name}: {reason}")),
        });
        missing.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(steps: &[(&'static str, bool)], ready: bool, missing: &[&str]) {
        let readiness = Readiness::new();
        for &(condition, value) in steps {
            readiness.clone().set(condition, value);
        }
        assert_eq!(readiness.is_ready(), ready, "{steps:?}");
        assert_eq!(readiness.missing(), missing, "{steps:?}");
    }

    #[test]
    fn ready_means_every_named_condition_and_at_least_one() {
        check(&[], false, &[]);
        check(&[("store", false)], false, &["store"]);
        check(&[("store", true)], true, &[]);
        check(&[("store", true), ("session", false)], false, &["session"]);
        check(&[("b", false), ("a", false)], false, &["a", "b"]);
        check(&[("store", true), ("store", false)], false, &["store"]);
        check(&[("store", false), ("store", true)], true, &[]);
    }

    #[test]
    fn what_is_missing_comes_with_its_reason() {
        let readiness = Readiness::new();
        readiness.set("b", false);
        readiness.set_missing("a", "the disk is full".to_owned());
        assert_eq!(readiness.missing(), ["a: the disk is full", "b"]);
        readiness.set("a", true);
        readiness.set("b", true);
        assert!(readiness.is_ready());
    }
}
