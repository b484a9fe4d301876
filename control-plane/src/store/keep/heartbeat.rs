//! Whether the database takes writes. Only a write can tell: a full disk lets every read go on.
//!
//! A heartbeat is the smallest write there is, and may find room where an event does not. So after any write that failed,
//! the database is doubted until it has taken as much as some events need.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use tokio::{sync::Notify, time::timeout};

use crate::store::{Error, Result, Store};

/// How much a database whose writes fail has to take, in bytes: the longest payload.
const BALLAST_BYTES: usize = 1_024 * 1_024;
/// How long it may take.
const WRITE_WITHIN: Duration = Duration::from_secs(5);

/// What the last writes have shown.
#[derive(Debug, Default)]
pub(in crate::store) struct WriteHealth {
    is_failing: AtomicBool,
    noticed: Notify,
}

impl WriteHealth {
    /// Notes that a write failed, if that was not the fault of the write.
    pub(in crate::store) fn note(&self, error: &Error) {
        if matches!(error, Error::Unavailable(_)) {
            self.is_failing.store(true, Ordering::Relaxed);
            self.noticed.notify_one();
        }
    }
}

impl Store {
    /// Writes something, and more than a little if an earlier write failed.
    pub(crate) async fn heartbeat(&self, now: i64) -> Result<()> {
        let written = timeout(WRITE_WITHIN, self.heartbeat_now(now)).await;
        let written = written.unwrap_or_else(|_| Err(Error::timed_out()));
        let is_failing = matches!(written, Err(Error::Unavailable(_)));
        self.write_health
            .is_failing
            .store(is_failing, Ordering::Relaxed);
        written
    }

    async fn heartbeat_now(&self, now: i64) -> Result<()> {
        if self.is_failing() {
            let ballast = vec![0_u8; BALLAST_BYTES];
            let mut conn = self.acquire().await?;
            on!(&mut conn, conn => {
                sqlx::query("update heartbeat set ballast = $1")
                    .bind(ballast)
                    .execute(&mut **conn)
                    .await
                    .map(drop)
            })?;
        }
        let mut conn = self.acquire().await?;
        on!(&mut conn, conn => {
            sqlx::query("update heartbeat set beat_at = $1, ballast = null")
                .bind(now)
                .execute(&mut **conn)
                .await
                .map(drop)
        })?;
        Ok(())
    }

    /// Whether a write failed and none has shown since that they work.
    pub(crate) fn is_failing(&self) -> bool {
        self.write_health.is_failing.load(Ordering::Relaxed)
    }

    /// Waits until a write fails.
    pub(crate) async fn write_failed(&self) {
        self.write_health.noticed.notified().await;
    }
}
