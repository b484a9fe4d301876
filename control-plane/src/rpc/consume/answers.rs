//! Answers that consumers compute: on to whoever waits for them, and only from whom the request was handed to.

use std::collections::VecDeque;

use crate::{
    inbound::Inbound,
    lock::Leaf,
    model::{id::InboundId, source::Answer},
};

/// How many requests a stream can have been handed whose providers wait.
const ASKED_MAX: usize = 4_096;

/// The answers of one stream.
pub(super) struct Answers {
    inbound: Inbound,
    /// The requests that the stream was handed while their providers waited, the oldest first.
    asked: Leaf<VecDeque<InboundId>>,
}

impl Answers {
    /// The answers of a stream that was handed nothing yet.
    pub(super) fn new(inbound: Inbound) -> Self {
        Self {
            inbound,
            asked: Leaf::default(),
        }
    }

    /// For how many milliseconds a provider still waits, asked when its request is handed out.
    pub(super) fn within_ms(&self, id: InboundId) -> u32 {
        let within_ms = self.inbound.answer_within_ms(id);
        if within_ms > 0 {
            let mut asked = self.asked.lock();
            // The items of a batch ask for one answer.
            if !asked.contains(&id) {
                if asked.len() >= ASKED_MAX {
                    asked.pop_front();
                }
                asked.push_back(id);
            }
        }
        within_ms
    }

    /// Passes an answer on, unless the stream was not asked for it, or has given it. Waits for nothing.
    pub(super) fn give(&self, id: InboundId, answer: Answer) {
        let mut asked = self.asked.lock();
        if let Some(place) = asked.iter().position(|other| *other == id) {
            asked.remove(place);
            let inbound = self.inbound.clone();
            // Its result is the provider's to hear.
            tokio::spawn(async move { inbound.answer(id, answer).await });
        }
    }
}
