//! What those with bad intent can take: callers without a key, with a key of one tenant, with a node's key. Each attack
//! meets programs of its own, so that none is blamed for the memory of another.

mod bodies;
mod bound;
mod calls;
mod flood;
mod half_open;
pub(super) mod honest;

use crate::{report::Measure, settings::Settings};

/// Makes every attack once.
pub(crate) async fn run(settings: &Settings) -> Vec<Measure> {
    let mut measures = Vec::new();
    macro_rules! meet {
        ($($what:literal: $attack:expr;)*) => {
            $(
                eprintln!("  {}", $what);
                measures.extend($attack.await);
            )*
        };
    }
    meet! {
        "calls without a key that never end": calls::unfinished(settings);
        "half-open handshakes": half_open::run(settings);
        "streams of large messages": calls::streams(settings);
        "messages of empty items": calls::empty_items(settings);
        "forwarded bodies that never end": bodies::run(settings);
        "a flood of creations and lists": flood::run(settings);
    }
    measures
}
