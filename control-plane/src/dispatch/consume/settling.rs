//! Settling: what the consumer says of handouts, what silence says, and telling the consumer what is durable.

use std::time::Duration;

use posthorn::v1::{self, consume_response::Message as ToConsumer};
use tokio::sync::{mpsc, watch};

use super::{
    What, Word,
    held::{Ended, Expired},
    session::{Session, StreamEnd},
};
use crate::{
    clock,
    dispatch::report::{Handled, HandledLease, Report},
    error::Error,
};

/// How many leases one message to the consumer names.
const LEASES_PER_MESSAGE: usize = 1_024;
/// How long deadlines are left alone at the most: no handout is given less time than this.
const EXPIRY_PAUSE_MAX: Duration = Duration::from_secs(1);

impl Session {
    /// Takes words on handouts. A word on what the stream never held is settled at once and changes nothing.
    pub(super) async fn take_words(
        &self,
        words: Vec<Word>,
        acknowledged: &watch::Sender<u64>,
    ) -> StreamEnd {
        let now = self.dispatch.uptime_ms();
        let lease_ids = words.iter().map(|word| word.lease_id).collect();
        let mut reports = Vec::with_capacity(words.len());
        for word in words {
            let ended = self.held().end(word.lease_id, now);
            if let Some(lease) = ended.map(|ended| self.reportable(ended)) {
                reports.push(Report::handled(lease, word.what.into()));
            }
        }
        self.bell.notify_one();
        let number = self.unsettled.push(lease_ids);
        self.report(reports, number, acknowledged.clone()).await
    }

    /// The lease to report under. An attempt that is logged as silence is logged once more, as late, under a lease of
    /// its own.
    fn reportable(&self, ended: Ended) -> HandledLease {
        match ended {
            Ended::Held(lease) | Ended::Revoked(lease) => lease,
            Ended::Logged(lease) => HandledLease {
                lease_id: self.dispatch.scheduler().late_lease_id(),
                ..lease
            },
        }
    }

    /// In a task of its own, so that the end of the stream cannot cut a report in half.
    async fn report(
        &self,
        reports: Vec<Report>,
        number: u64,
        acknowledged: watch::Sender<u64>,
    ) -> StreamEnd {
        let (dispatch, consumer_id) = (self.dispatch.clone(), self.consumer_id);
        let reported = tokio::spawn(async move {
            dispatch
                .report(consumer_id, reports, number, &acknowledged)
                .await
        });
        let reported = reported.await;
        Ok(reported.map_err(|panic| Error::Internal(panic.into()))??)
    }

    /// Tells the consumer what is durable.
    pub(super) async fn settle(&self, mut acknowledgements: watch::Receiver<u64>) -> StreamEnd {
        while acknowledgements.changed().await.is_ok() {
            let through = *acknowledgements.borrow_and_update();
            for lease_ids in self.unsettled.take(through).chunks(LEASES_PER_MESSAGE) {
                let settled = v1::HandoutsSettled {
                    lease_ids: lease_ids.to_vec(),
                };
                self.send(ToConsumer::Settled(settled)).await?;
            }
        }
        // The sender goes with the half that listens, which says how the stream ended.
        std::future::pending().await
    }

    /// Tells the consumer what it lost.
    pub(super) async fn tell_lost(&self, mut lost: mpsc::UnboundedReceiver<u64>) -> StreamEnd {
        let mut lease_ids = Vec::new();
        while lost.recv_many(&mut lease_ids, LEASES_PER_MESSAGE).await > 0 {
            let lease_ids = std::mem::take(&mut lease_ids);
            self.send(ToConsumer::Lost(v1::HandoutsLost { lease_ids }))
                .await?;
        }
        std::future::pending().await
    }

    /// Ends handouts that operators ended.
    pub(super) async fn take_back(&self, revoked: &mut mpsc::UnboundedReceiver<u64>) {
        while let Some(lease_id) = revoked.recv().await {
            self.lose(lease_id);
        }
        std::future::pending::<()>().await;
    }

    /// Ends handouts whose time is up: an attempt each, which failed.
    pub(super) async fn expire(&self) {
        loop {
            let now = self.dispatch.uptime_ms();
            let next = self.held().next_deadline();
            let pause = next.map_or(EXPIRY_PAUSE_MAX, |at| {
                Duration::from_millis(at.saturating_sub(now))
            });
            tokio::time::sleep(pause.min(EXPIRY_PAUSE_MAX)).await;
            let expired = self.held().expire(self.dispatch.uptime_ms());
            if !expired.is_empty() {
                self.report_silence(expired).await;
            }
        }
    }

    async fn report_silence(&self, expired: Vec<Expired>) {
        let mut reports = Vec::new();
        for expired in expired {
            match expired {
                Expired::Unsent(lease_id, delivery_id) => {
                    let now_ms = clock::now_ms();
                    let mut scheduler = self.dispatch.scheduler();
                    scheduler.release(self.consumer_id, delivery_id, lease_id, now_ms);
                }
                Expired::Silent(lease, within_ms) => {
                    self.tell_one_lost(lease.lease_id);
                    reports.push(Report::handled(lease, Handled::Silent(within_ms)));
                }
            }
        }
        self.bell.notify_one();
        let (unheard, _) = watch::channel(0);
        // Only a shutdown keeps it from being queued, and then the lease ends with the process.
        let _ = self.report(reports, 0, unheard).await;
    }

    fn lose(&self, lease_id: u64) {
        let Some(given_up) = self.held().give_up(lease_id) else {
            return;
        };
        let now_ms = clock::now_ms();
        self.dispatch
            .scheduler()
            .release(self.consumer_id, given_up.delivery_id, lease_id, now_ms);
        if given_up.was_sent {
            self.tell_one_lost(lease_id);
        }
        self.bell.notify_one();
    }

    fn tell_one_lost(&self, lease_id: u64) {
        // The receiver goes with the stream.
        let _ = self.lost.send(lease_id);
    }
}

impl From<What> for Handled {
    fn from(what: What) -> Self {
        match what {
            What::Done(effect) => Self::Done(effect),
            What::Failed(error) => Self::Failed(error),
            What::Refused(error) => Self::Refused(error),
        }
    }
}
