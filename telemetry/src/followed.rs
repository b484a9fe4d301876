//! What a process reads from files and reads again when they change, or when it gets a SIGHUP: certificates and keys.
//!
//! Files that cannot be used are said once for each change, and what was in use stays.

use std::{
    error::Error,
    fmt, fs,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{MissedTickBehavior, interval},
};
use tracing::{info, warn};

use crate::with_causes;

type Read<T> = dyn Fn() -> Result<T, Box<dyn Error + Send + Sync>> + Send + Sync;

/// What was read last.
pub struct Followed<T> {
    what: &'static str,
    files: Vec<PathBuf>,
    read: Box<Read<T>>,
    value: ArcSwap<T>,
}

impl<T> fmt::Debug for Followed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Followed")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

impl<T: Send + Sync> Followed<T> {
    /// Reads it for the first time. `what` is what the log calls it.
    ///
    /// # Errors
    ///
    /// Why it cannot be read.
    pub fn new<E: Error + Send + Sync + 'static>(
        what: &'static str,
        files: Vec<PathBuf>,
        read: impl Fn() -> Result<T, E> + Send + Sync + 'static,
    ) -> Result<Self, E> {
        let value = ArcSwap::from_pointee(read()?);
        Ok(Self {
            what,
            files,
            read: Box::new(move || Ok(read()?)),
            value,
        })
    }

    /// What is in use now.
    pub fn get(&self) -> Arc<T> {
        self.value.load_full()
    }

    /// Looks for changes of the files so often, and at each SIGHUP, for ever.
    pub async fn follow(&self, every: Duration) {
        let mut hangups = match signal(SignalKind::hangup()) {
            Ok(hangups) => hangups,
            Err(error) => {
                warn!(%error, "SIGHUP cannot be waited for");
                return;
            }
        };
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut seen = self.modified();
        loop {
            let is_told = tokio::select! {
                _ = ticks.tick() => false,
                _ = hangups.recv() => true,
            };
            let now = self.modified();
            if is_told || now != seen {
                seen = now;
                self.read_again();
            }
        }
    }

    fn read_again(&self) {
        let what = self.what;
        match (self.read)() {
            Ok(value) => {
                self.value.store(Arc::new(value));
                info!("{what} was read again");
            }
            Err(error) => {
                let error = with_causes(error.as_ref());
                warn!(
                    error,
                    "{what} cannot be used as it is now: the old one stays"
                );
            }
        }
    }

    /// When the files changed last. A file that is missing has no time, which is a change too.
    fn modified(&self) -> Vec<Option<SystemTime>> {
        let times = self
            .files
            .iter()
            .map(|file| fs::metadata(file).ok()?.modified().ok());
        times.collect()
    }
}
