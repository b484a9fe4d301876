//! The ceilings alone, which every throughput run measures too.

use posthorn_harness::Postgres;

use crate::{
    ceiling::{Posts, commits, posts},
    report::Measure,
    settings::{Settings, Store},
};

pub(crate) async fn run(settings: &Settings) -> Vec<Measure> {
    let posts = posts(settings.payload()).await;
    let postgres = match settings.store {
        Store::Sqlite => None,
        Store::Postgres => Some(Postgres::start().await),
    };
    measures(posts, commits(postgres.as_ref(), settings.payload()).await)
}

/// The two ceilings as measures.
pub(super) fn measures(posts: Posts, commits: f64) -> Vec<Measure> {
    vec![
        Measure::new("bare POST loop", "/s", posts.per_second),
        Measure::new(
            "CPU per bare POST, client and receiver",
            "µs",
            posts.cpu_micros,
        ),
        Measure::new("bare commits of event and delivery, by 100", "/s", commits),
    ]
}
