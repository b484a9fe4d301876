//! What a consumer has said and is not durable yet.

use std::collections::VecDeque;

use crate::lock::Leaf;

/// The words that are not durable yet: the leases of each message, in order.
#[derive(Debug, Default)]
pub(super) struct Unsettled(Leaf<Queue>);

#[derive(Debug, Default)]
struct Queue {
    /// The number of the last message.
    last: u64,
    leases: VecDeque<(u64, Vec<u64>)>,
}

impl Unsettled {
    /// Adds a message's leases and returns the number of the message.
    pub(super) fn push(&self, lease_ids: Vec<u64>) -> u64 {
        let mut queue = self.0.lock();
        queue.last += 1;
        let number = queue.last;
        queue.leases.push_back((number, lease_ids));
        number
    }

    /// Takes the leases of the messages up to `through`.
    pub(super) fn take(&self, through: u64) -> Vec<u64> {
        let mut queue = self.0.lock();
        let mut lease_ids = Vec::new();
        while queue
            .leases
            .front()
            .is_some_and(|(number, _)| *number <= through)
        {
            lease_ids.extend(
                queue
                    .leases
                    .pop_front()
                    .into_iter()
                    .flat_map(|(_, ids)| ids),
            );
        }
        lease_ids
    }
}
