//! Who waits for something to take.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::model::lease::HolderId;

/// Holders that wait for something to take.
#[derive(Debug, Default)]
pub(super) struct Waiters(Vec<(HolderId, Arc<Notify>)>);

impl Waiters {
    /// Has one more woken.
    pub(super) fn add(&mut self, holder: HolderId, waker: &Arc<Notify>) {
        self.0.push((holder, Arc::clone(waker)));
    }

    /// Has one woken no more.
    pub(super) fn remove(&mut self, holder: HolderId) {
        self.0.retain(|(other, _)| *other != holder);
    }

    /// Has every holder look again.
    pub(super) fn wake(&self) {
        for (_, waker) in &self.0 {
            waker.notify_one();
        }
    }
}
