//! Answers that consumers compute: from the consumer to the provider that waits, and to its repeats.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::{Inbound, waits::Wait};
use crate::{
    clock,
    dispatch::Received,
    metrics::ResultLabel,
    model::{
        id::InboundId,
        source::{Answer, Synchronous},
    },
};

/// How long reading an answer that is kept may take: less than an edge waits beyond the deadline.
const READ_TIMEOUT: Duration = Duration::from_millis(400);

impl Inbound {
    /// Gives the provider of a request the answer that a consumer computed. True: it was the first one, and it is
    /// durable. False: nobody waits for it any more, it has an answer, or the database is away.
    pub(crate) async fn answer(&self, id: InboundId, answer: Answer) -> bool {
        if self.answer_within_ms(id) == 0 {
            self.count_wait("late");
            return false;
        }
        // Kept before the provider hears it, so that its repeats are answered alike.
        match self.0.core.store.inbound_answer(id, &answer).await {
            Ok(true) => {
                self.0.waits.resolve(id, answer);
                self.count_wait("computed");
                true
            }
            Ok(false) => {
                self.resolve_from_kept(id).await;
                false
            }
            Err(error) => {
                // Whether it was kept is not known.
                tracing::warn!(inbound_request_id = %id, error = ?error, "the answer to {id} was not kept for certain");
                self.resolve_from_kept(id).await.as_ref() == Some(&answer)
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

    /// Lets the provider of a request, which has waited since `since`, wait for as long as its source says.
    pub(super) fn open_wait(
        &self,
        id: InboundId,
        synchronous: &Synchronous,
        since: Instant,
    ) -> Wait {
        let deadline = Duration::from_millis(u64::from(synchronous.deadline_ms));
        self.0.waits.open(id, since + deadline)
    }

    /// Gives those who wait for a request's answer the one that is kept, if one is.
    async fn resolve_from_kept(&self, id: InboundId) -> Option<Answer> {
        let kept = self.answered(id).await?;
        self.0.waits.resolve(id, kept.clone());
        Some(kept)
    }

    /// The answer that a consumer computes for the request `id`, or has computed for the one that it repeats. It has waited
    /// since `since`. None: the deadline came first, or nobody is there to compute one.
    pub(super) async fn computed(
        &self,
        id: InboundId,
        received: Received,
        wait: Wait,
        synchronous: &Synchronous,
        since: Instant,
    ) -> Option<Answer> {
        let (id, wait) = match received {
            Received::Accepted {
                delivery_count: 0, ..
            } => return None,
            Received::Accepted { .. } => (id, wait),
            Received::Duplicate { original, answer } | Received::Conflict { original, answer } => {
                drop(wait);
                if answer.is_some() {
                    return answer;
                }
                if self.answer_within_ms(original) == 0 {
                    // It may have been answered since the repeat was found to be one.
                    return self.answered(original).await;
                }
                let wait = self.open_wait(original, synchronous, since);
                // An answer that came before the wait was opened resolved others.
                if let Some(answer) = self.answered(original).await {
                    return Some(answer);
                }
                (original, wait)
            }
        };
        let waiting = Waiting::begin(self);
        let mut answer = wait.answer().await;
        drop(waiting);
        if answer.is_none() {
            // One that was kept at the last moment: its repeats will hear it, so this one does.
            answer = self.answered(id).await;
        }
        if answer.is_none() {
            self.count_wait("fallback");
        }
        answer
    }

    /// The answer that was computed for a request, as it is kept. None too when the database is slow: a provider waits.
    async fn answered(&self, id: InboundId) -> Option<Answer> {
        let answered = timeout(READ_TIMEOUT, self.0.core.store.inbound_answered(id)).await;
        match answered {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                tracing::warn!(inbound_request_id = %id, error = ?error, "the answer to {id} was not read");
                None
            }
            Err(_) => None,
        }
    }

    fn count_wait(&self, result: &'static str) {
        let waits = &self.0.core.metrics.inbound_waits;
        waits.get_or_create(&ResultLabel { result }).inc();
    }
}

/// A provider that waits, as the metrics have it: also when nobody waits for its request any more.
struct Waiting<'a>(&'a Inbound);

impl<'a> Waiting<'a> {
    fn begin(inbound: &'a Inbound) -> Self {
        inbound.0.core.metrics.inbound_waiting.inc();
        Self(inbound)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.0.core.metrics.inbound_waiting.dec();
    }
}
