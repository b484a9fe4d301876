//! Providers that wait for an answer that a consumer computes.
//!
//! A wait is opened before the request is committed, so that no consumer can be too early. Repeats of a request join its
//! wait. What arrives after the last one has gone is nobody's any more.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{sync::watch, time::Instant};

use crate::{
    lock::{Leaf, Locked},
    model::{id::InboundId, source::Answer},
};

/// The requests whose providers wait.
#[derive(Debug, Clone, Default)]
pub(super) struct Waits(Arc<Leaf<HashMap<InboundId, Open>>>);

#[derive(Debug)]
struct Open {
    deadline: Instant,
    answer: watch::Sender<Option<Answer>>,
    /// How many providers' requests wait for it.
    waiting: usize,
}

/// A provider's request that waits. Dropped, it waits no more.
#[derive(Debug)]
pub(super) struct Wait {
    waits: Waits,
    id: InboundId,
    deadline: Instant,
    answer: watch::Receiver<Option<Answer>>,
}

impl Waits {
    /// Waits for the answer of a request until `deadline`, with those that wait for it already.
    pub(super) fn open(&self, id: InboundId, deadline: Instant) -> Wait {
        let mut table = self.table();
        let open = table.entry(id).or_insert_with(|| Open {
            deadline,
            answer: watch::Sender::new(None),
            waiting: 0,
        });
        open.waiting += 1;
        open.deadline = open.deadline.max(deadline);
        Wait {
            waits: self.clone(),
            id,
            deadline,
            answer: open.answer.subscribe(),
        }
    }

    /// For how long somebody still waits for the answer of a request. None: nobody does.
    pub(super) fn left(&self, id: InboundId, now: Instant) -> Option<Duration> {
        let table = self.table();
        let left = table.get(&id)?.deadline.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    /// Gives the answer to all who wait for it.
    pub(super) fn resolve(&self, id: InboundId, answer: Answer) {
        if let Some(open) = self.table().get(&id) {
            open.answer.send_replace(Some(answer));
        }
    }

    /// How many requests' providers wait.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.table().len()
    }

    fn table(&self) -> Locked<'_, HashMap<InboundId, Open>> {
        self.0.lock()
    }
}

impl Wait {
    /// The answer, or None at the deadline.
    pub(super) async fn answer(mut self) -> Option<Answer> {
        let answered = self.answer.wait_for(Option::is_some);
        let answered = tokio::time::timeout_at(self.deadline, answered).await;
        answered.ok()?.ok()?.clone()
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let mut table = self.waits.table();
        if let Some(open) = table.get_mut(&self.id) {
            open.waiting -= 1;
            if open.waiting == 0 {
                table.remove(&self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock, entropy::Entropy, model::id::Shard};

    fn id() -> InboundId {
        InboundId::new(1_700_000_000_000, Shard(1), &mut Entropy::system())
    }

    fn text(body: &str) -> Answer {
        Answer {
            status: 200,
            headers: Vec::new(),
            body: body.into(),
        }
    }

    fn in_a_second() -> Instant {
        clock::monotonic() + Duration::from_secs(1)
    }

    #[tokio::test(start_paused = true)]
    async fn all_who_wait_for_a_request_get_its_answer() {
        let (waits, id) = (Waits::default(), id());
        let first = waits.open(id, in_a_second());
        let repeat = waits.open(id, in_a_second());
        waits.resolve(id, text("a"));
        assert_eq!(first.answer().await, Some(text("a")));
        assert_eq!(repeat.answer().await, Some(text("a")));
        assert_eq!(waits.len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn at_the_deadline_there_is_no_answer_and_nobody_waits() {
        let (waits, id) = (Waits::default(), id());
        let wait = waits.open(id, in_a_second());
        let left = waits.left(id, clock::monotonic());
        assert_eq!(left, Some(Duration::from_secs(1)));
        assert_eq!(wait.answer().await, None);
        assert_eq!(waits.left(id, clock::monotonic()), None);
        waits.resolve(id, text("late"));
        assert_eq!(waits.len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_repeat_keeps_the_wait_open_when_the_first_has_gone() {
        let (waits, id) = (Waits::default(), id());
        let first = waits.open(id, in_a_second());
        let repeat = waits.open(id, in_a_second());
        drop(first);
        waits.resolve(id, text("a"));
        assert_eq!(repeat.answer().await, Some(text("a")));
    }
}
