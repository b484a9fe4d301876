//! A key as calls are checked against it, and what tells its streams that it has stopped working.

use std::{sync::OnceLock, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{clock::Clock, model::api_key::ApiKey};

/// How often a stream looks at the clock, which may be set: whether its key has expired.
const EXPIRY_CHECK: Duration = Duration::from_millis(500);

/// A key. Its end is one for all snapshots: whoever has an older one sees it at the same moment.
#[derive(Debug)]
pub(crate) struct KeyEntry {
    /// The key, as it was read last.
    pub key: ApiKey,
    end: KeyEnd,
}

#[derive(Debug, Clone, Default)]
struct KeyEnd {
    token: CancellationToken,
    /// When somebody revoked it here. The row says so too, or will.
    revoked_at: std::sync::Arc<OnceLock<i64>>,
}

impl KeyEntry {
    /// A key that was read, in the place of the one of before.
    pub(super) fn new(key: ApiKey, former: Option<&Self>) -> Self {
        let end = former.map_or_else(KeyEnd::default, |former| former.end.clone());
        if key.revoked_at.is_some() {
            end.token.cancel();
        }
        Self { key, end }
    }

    /// Whether calls may be made with it at `now`.
    pub(crate) fn is_live(&self, now: i64) -> bool {
        !self.end.token.is_cancelled() && self.key.is_live(now)
    }

    /// Waits until it is no longer live.
    pub(crate) async fn ended(&self, clock: &Clock) {
        while self.is_live(clock.now_ms()) {
            tokio::select! {
                () = self.end.token.cancelled() => (),
                () = clock.sleep(EXPIRY_CHECK) => (),
            }
        }
    }

    /// When it stopped working, or will. None: never.
    pub(crate) fn ends_at(&self) -> Option<i64> {
        let revoked_at = self.key.revoked_at.or_else(|| self.revoked_here_at());
        let ends = [revoked_at, self.key.expires_at];
        ends.into_iter().flatten().min()
    }

    pub(super) fn revoke(&self, now: i64) {
        let _ = self.end.revoked_at.set(now);
        self.end();
    }

    /// Ends it, for whoever holds it.
    pub(crate) fn end(&self) {
        self.end.token.cancel();
    }

    /// When it was revoked in this process.
    pub(super) fn revoked_here_at(&self) -> Option<i64> {
        self.end.revoked_at.get().copied()
    }
}
