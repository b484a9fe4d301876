//! Inbound requests per second: signed, posted to the edge, verified, stored, answered; and how long the answer takes
//! at 70 % of that rate. Every request is a new event, which nobody subscribes to.

use std::time::{Duration, Instant};

use posthorn_harness::{Provider, STANDARD_WEBHOOKS};

use crate::{
    ceiling::BareServer,
    load::{Answered, ProviderLoad},
    report::Measure,
    settings::Settings,
    stage::Stage,
};

/// Opens connections and fills caches before anything is measured.
const WARM_UP: Duration = Duration::from_secs(2);
/// The share of the highest rate at which answers are timed.
const SHARE: f64 = 0.7;
/// Any key: a bare server does not look at it.
const ANY_SECRET: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

pub(crate) async fn run(settings: &Settings) -> Vec<Measure> {
    let duration = Duration::from_secs(u64::from(settings.seconds));
    let bare = bare(settings.payload(), duration / 2).await;
    let stage = Stage::start(settings.store).await;
    let load = ProviderLoad::new(provider(&stage).await, settings.payload());
    load.closed(WARM_UP).await;

    let (before, start) = (stage.usage().await, Instant::now());
    let highest = load.closed(duration).await;
    let took = start.elapsed();
    let after = stage.usage().await;
    let paced = load.paced(highest.per_second * SHARE, duration).await;
    let (longest_ms, longest_after_s) = paced.longest();

    let mut measures = vec![
        Measure::new(
            "inbound requests, verified, stored, answered",
            "/s",
            highest.per_second,
        )
        .at_least(10_000.0, 20_000.0),
        Measure::new(
            "of the bare hyper server",
            "",
            highest.per_second / bare.per_second,
        ),
        Measure::new("bare hyper server", "/s", bare.per_second),
        Measure::new("answer at 70 %, p50", "ms", paced.quantile_ms(0.5)),
        Measure::new("answer at 70 %, p99", "ms", paced.quantile_ms(0.99)).at_most(50.0, 20.0),
        Measure::new("answer at 70 %, longest", "ms", longest_ms),
        Measure::new("due so long after the beginning", "s", longest_after_s),
        Measure::new("rate of those", "/s", paced.per_second),
        Measure::new(
            "answer at the highest rate, p99",
            "ms",
            highest.quantile_ms(0.99),
        ),
    ];
    measures.extend(after.per_request(&before, highest.count));
    measures.push(after.others(&before, took));
    measures.extend(stage.memory_peak());
    measures
}

/// The same load on a server that does nothing.
async fn bare(payload_bytes: u32, duration: Duration) -> Answered {
    let server = BareServer::start().await;
    let provider = Provider::new(server.addr, "src_bare", ANY_SECRET);
    ProviderLoad::new(provider, payload_bytes)
        .closed(duration)
        .await
}

async fn provider(stage: &Stage) -> Provider {
    let created = stage.client.create_source(STANDARD_WEBHOOKS).await;
    let source = created.source.expect("the answer holds the source");
    Provider::new(stage.edge(), &source.source_id, &created.secret)
}
