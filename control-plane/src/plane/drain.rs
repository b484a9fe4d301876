//! The time that a shutdown may take: one for everything, whoever uses it up.

use std::time::Duration;

use posthorn_telemetry::Readiness;
use tokio::time::sleep;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{FLUSH, SERVING};

/// A drain that may have begun.
pub(super) struct Drain {
    begun: CancellationToken,
    over: CancellationToken,
}

impl Drain {
    /// A drain that begins with `draining`, or when it is told to, and is over so much later.
    pub(super) fn within(limit: Duration, draining: &CancellationToken) -> Self {
        let drain = Self {
            begun: draining.child_token(),
            over: CancellationToken::new(),
        };
        let (begun, over) = (drain.begun.clone(), drain.over.clone());
        tokio::spawn(async move {
            begun.cancelled().await;
            sleep(limit).await;
            over.cancel();
        });
        drain
    }

    /// Begins.
    pub(super) fn begin(&self) {
        self.begun.cancel();
    }

    /// Waits until its time is up.
    pub(super) async fn is_over(&self) {
        self.over.cancelled().await;
    }

    /// Waits for the shutdown, then until every call has its answer, but no longer than the drain may take. Connections
    /// that stay open without a call are no reason to wait.
    pub(super) async fn calls(
        &self,
        shutdown: &CancellationToken,
        readiness: &Readiness,
        calls: &TaskTracker,
    ) {
        shutdown.cancelled().await;
        readiness.set(SERVING, false);
        tracing::info!("draining");
        calls.close();
        tokio::select! {
            () = calls.wait() => {}
            () = self.is_over() => {
                tracing::warn!("calls were still under way at the end of the drain");
            }
        }
        sleep(FLUSH).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[tokio::test(start_paused = true)]
    async fn calls_and_what_comes_after_them_share_one_limit() {
        let limit = Duration::from_secs(30);
        let shutdown = CancellationToken::new();
        let drain = Drain::within(limit, &shutdown);
        let calls = TaskTracker::new();
        calls.spawn(std::future::pending::<()>());
        let began = clock::monotonic();
        shutdown.cancel();
        drain.calls(&shutdown, &Readiness::new(), &calls).await;
        drain.begin();
        drain.is_over().await;
        assert!(began.elapsed() <= limit + FLUSH, "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_shutdown_the_limit_begins_when_it_is_told_to() {
        let drain = Drain::within(Duration::from_secs(30), &CancellationToken::new());
        drain.begin();
        drain.is_over().await;
    }
}
