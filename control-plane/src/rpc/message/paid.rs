//! What the messages of a call took of its limits, until their handler has done with them.

use std::sync::Arc;

use crate::{lock::Leaf, rpc::calls::claim::Charge};

/// What the last message of a call took. Handlers of streams take it over, when they keep the message for longer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Paid(Arc<Leaf<Vec<Charge>>>);

impl Paid {
    /// Takes over what the last message took.
    pub(crate) fn take(&self) -> Vec<Charge> {
        std::mem::take(&mut *self.0.lock())
    }

    pub(super) fn put(&self, charge: Charge) {
        let mut charges = self.0.lock();
        charges.push(charge);
    }
}
