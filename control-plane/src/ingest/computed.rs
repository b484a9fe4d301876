//! Answers that consumers compute: from the consumer to the provider that waits, and to its repeats.

use std::time::Duration;

use super::{Ingest, waits::Wait};
use crate::{
    clock,
    dispatch::Received,
    metrics::Word,
    model::{
        id::InboundId,
        source::{Answer, Synchronous},
    },
};

impl Ingest {
    /// Gives the provider of a request the answer that a consumer computed. True: it was the first one, and it is
    /// durable. False: nobody waits for it any more, it has an answer, or the database is away.
    pub(crate) async fn answer(&self, id: InboundId, answer: Answer) -> bool {
        if self.answer_within_ms(id) == 0 {
            self.count_wait("late");
            return false;
        }
        // Kept before the provider hears it, so that its repeats are answered alike.
        match self.0.store.inbound_answer(id, &answer).await {
            Ok(true) => {
                self.0.waits.resolve(id, answer);
                self.count_wait("computed");
                true
            }
            Ok(false) => false,
            Err(error) => {
                tracing::warn!(inbound_request_id = %id, error = ?error, "the answer to {id} was not kept");
                false
            }
        }
    }

    /// For how long the provider of a request still waits for a computed answer, in milliseconds. 0: none waits.
    pub(crate) fn answer_within_ms(&self, id: InboundId) -> u32 {
        let left = self.0.waits.left(id, clock::monotonic());
        left.map_or(0, |left| {
            u32::try_from(left.as_millis()).unwrap_or(u32::MAX)
        })
    }

    /// Lets the provider of a request wait for as long as its source says.
    pub(super) fn open_wait(&self, id: InboundId, synchronous: &Synchronous) -> Wait {
        let deadline = Duration::from_millis(u64::from(synchronous.deadline_ms));
        self.0.waits.open(id, clock::monotonic() + deadline)
    }

    /// The answer that a consumer computes, or has computed for the request that this one repeats. None: the deadline
    /// came first, or nobody is there to compute one.
    pub(super) async fn computed(
        &self,
        received: Received,
        wait: Wait,
        synchronous: &Synchronous,
    ) -> Option<Answer> {
        let wait = match received {
            Received::Accepted { delivery_count: 0 } => return None,
            Received::Accepted { .. } => wait,
            Received::Duplicate { original, answer } | Received::Conflict { original, answer } => {
                drop(wait);
                if answer.is_some() {
                    return answer;
                }
                if self.answer_within_ms(original) == 0 {
                    // It may have been answered since the repeat was found to be one.
                    return self.answered(original).await;
                }
                self.open_wait(original, synchronous)
            }
        };
        let waiting = Waiting::begin(self);
        let answer = wait.answer().await;
        drop(waiting);
        if answer.is_none() {
            self.count_wait("fallback");
        }
        answer
    }

    /// The answer that was computed for a request, as it is kept.
    async fn answered(&self, id: InboundId) -> Option<Answer> {
        let answered = self.0.store.inbound_answered(id).await;
        answered.unwrap_or_else(|error| {
            tracing::warn!(inbound_request_id = %id, error = ?error, "the answer to {id} was not read");
            None
        })
    }

    fn count_wait(&self, result: &'static str) {
        let waits = &self.0.metrics.inbound_waits;
        waits.get_or_create(&Word { result }).inc();
    }
}

/// A provider that waits, as the metrics have it: also when nobody waits for its request any more.
struct Waiting<'a>(&'a Ingest);

impl<'a> Waiting<'a> {
    fn begin(ingest: &'a Ingest) -> Self {
        ingest.0.metrics.inbound_waiting.inc();
        Self(ingest)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.0.metrics.inbound_waiting.dec();
    }
}
