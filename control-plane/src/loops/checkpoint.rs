//! Checkpoints of SQLite's log, beside the commits instead of between them: otherwise every few thousand requests wait
//! until a commit has copied the log and flushed the database. On PostgreSQL there is nothing to do.

use std::time::Duration;

use super::every;
use crate::{core::Core, outage};

/// How often the log is copied.
const INTERVAL: Duration = Duration::from_millis(200);

/// Copies for ever. What a round leaves is the next one's, or SQLite's own at its limit.
pub(crate) async fn keep_checkpointed(core: Core) {
    let round = async || {
        if let Err(error) = core.store.checkpoint().await {
            outage::log(&error, "a checkpoint failed and is made up for");
        }
    };
    every(&core.clock, INTERVAL, round).await;
}
