//! Keeps the condition of readiness that the database answers and takes writes.

use std::time::Duration;

use posthorn_telemetry::Readiness;
use tokio::time::{sleep, timeout};

use crate::{core::Core, outage, store};

/// The condition of readiness that this loop keeps.
const DATABASE: &str = "database";
/// How often the database is asked whether it answers, and a doubted one whether it takes writes.
const TICK: Duration = Duration::from_secs(1);
/// How often one that is not doubted is asked for that, in ticks.
const BEAT_EVERY: u32 = 5;
/// How long it may take to answer before the control plane is not ready; a write may take longer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Watches for ever. A write of somebody else that failed is looked into at once.
pub(crate) async fn keep_watched(core: Core, readiness: Readiness) {
    let store = core.store.vital();
    for tick in 0_u32.. {
        let answer = if tick % BEAT_EVERY == 0 || store.is_failing() {
            store.heartbeat(core.clock.now_ms()).await
        } else {
            let answer = timeout(ANSWER_WITHIN, store.ping()).await;
            answer.unwrap_or_else(|_| Err(store::Error::timed_out()))
        };
        match answer {
            Ok(()) => readiness.set(DATABASE, true),
            Err(error) => {
                outage::log(&error, "the control plane is not ready");
                readiness.set_missing(DATABASE, error.words());
            }
        }
        if store.is_failing() {
            sleep(TICK).await;
        } else {
            // Whichever comes first.
            let _ = timeout(TICK, store.write_failed()).await;
        }
    }
}
