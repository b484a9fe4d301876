//! The loops that run beside the calls, and what drives them.
//!
//! | loop | how often | where |
//! | --- | --- | --- |
//! | what is open, for the gauges | 1 s | [`gauges`] |
//! | whether the database answers and takes writes | 1 s | [`watch`] |
//! | what is old enough to go | 1 h | [`retention`] |
//! | secrets under former master keys, and those that retired | 30 s | [`rewrap`] |
//! | SQLite's log | 200 ms | [`checkpoint`] |
//! | what is kept of each source | 5 min | `inbound` |
//! | what is to be polled | 1 s | `poll` |
//! | denials to be recorded | as they come | `audit::denials` |
//! | whether this is still the owner | 1 s | `store::owner` |
//! | group commits | as they come | `dispatch::commit` |
//! | pages that lanes want, and timers | as they come | `dispatch::page` |
//! | what is overdue, and what belongs to nobody | 1 min | `dispatch::page` |
//! | leases that were held too long | 2 s | `dispatch::holders` |

mod checkpoint;
mod gauges;
mod retention;
mod rewrap;
mod watch;

use std::time::Duration;

pub(crate) use checkpoint::keep_checkpointed;
pub(crate) use gauges::keep_gauges;
pub(crate) use retention::{Retention, keep_retention};
pub(crate) use rewrap::{Rewrapping, keep_rewrapped};
pub(crate) use watch::keep_watched;

use crate::clock::Clock;

/// Does rounds for ever, with so much time between them. Each is bounded, logs what failed, and makes up for the one before.
pub(crate) async fn every(clock: &Clock, interval: Duration, mut round: impl AsyncFnMut()) {
    loop {
        round().await;
        clock.sleep(interval).await;
    }
}
