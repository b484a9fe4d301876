//! Background loops that belong to no part of the plane, one file each. A loop waits for its tick, does one bounded batch, and logs what changed.

mod checkpoint;
mod gauges;
mod retention;
mod rewrap;
mod watch;

pub(crate) use checkpoint::keep_checkpointed;
pub(crate) use gauges::keep_gauges;
pub(crate) use retention::{Retention, keep_retention};
pub(crate) use rewrap::{Rewrapping, keep_rewrapped};
pub(crate) use watch::keep_watched;
