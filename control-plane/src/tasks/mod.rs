//! The background loops, one file each. A loop waits for its tick, does one bounded batch, and logs what changed.

mod gauges;
mod mend;
mod retention;
mod rewrap;

pub use gauges::keep_gauges;
pub use mend::keep_mended;
pub use retention::{Retention, keep_retention};
pub use rewrap::{Rewrapping, keep_rewrapped};
