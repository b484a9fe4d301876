//! What slow clients do to honest ones: 1,000 connections whose heads do not end and 1,000 whose bodies do not, beside a
//! provider that posts at a moderate rate. They come from many addresses, as an attack would.

use std::{net::Ipv4Addr, time::Duration};

use posthorn_harness::{Dribble, Dribblers, Provider, STANDARD_WEBHOOKS};

use crate::{
    load::{Answered, ProviderLoad},
    report::Measure,
    settings::Settings,
    stage::Stage,
    usage::float,
};

const HONEST_PER_SECOND: f64 = 200.0;
const WARM_UP: Duration = Duration::from_secs(2);
/// How many dribblers of each kind.
const DRIBBLERS: u8 = 20;
/// How many connections each of them holds: below what an edge allows one address.
const CONNECTIONS: usize = 50;
/// One byte in this time.
const PAUSE: Duration = Duration::from_secs(1);

pub(crate) async fn run(settings: &Settings) -> Vec<Measure> {
    let duration = Duration::from_secs(u64::from(settings.seconds));
    let stage = Stage::start(settings.store).await;
    let created = stage.client.create_source(STANDARD_WEBHOOKS).await;
    let source_id = created
        .source
        .expect("the answer holds the source")
        .source_id;
    let provider = Provider::new(stage.edge(), &source_id, &created.secret);
    let load = ProviderLoad::new(provider, settings.payload());
    load.closed(WARM_UP).await;

    let calm = load.paced(HONEST_PER_SECOND, duration).await;
    let memory = stage.planes_mebibytes();
    let dribblers = open(&stage, &source_id).await;
    let (beside, longest) =
        tokio::join!(load.paced(HONEST_PER_SECOND, duration), closed(dribblers));
    let grown = stage.planes_mebibytes_peak() - memory;
    measures(&calm, &beside, longest, grown)
}

/// Every dribbler, each at an address of its own.
async fn open(stage: &Stage, source_id: &str) -> Vec<Dribblers> {
    let mut open = Vec::new();
    for number in 0..DRIBBLERS {
        let kinds = [
            Dribble::heads(stage.edge(), PAUSE),
            Dribble::bodies(stage.edge(), source_id, PAUSE),
        ];
        for (kind, dribble) in (1..).zip(kinds) {
            let from = Ipv4Addr::new(127, kind, 0, number + 1).into();
            let opened = Dribble { from, ..dribble }.open(CONNECTIONS).await;
            open.push(opened.expect("the edge accepts connections"));
        }
    }
    open
}

/// Waits until all are closed, and returns how long the longest lasted.
async fn closed(dribblers: Vec<Dribblers>) -> Duration {
    let mut longest = Duration::ZERO;
    for dribblers in dribblers {
        let closed = dribblers.closed().await;
        longest = closed
            .into_iter()
            .map(|dribbled| dribbled.lasted)
            .fold(longest, Duration::max);
    }
    longest
}

fn measures(calm: &Answered, beside: &Answered, longest: Duration, grown: f64) -> Vec<Measure> {
    let (calm_ms, beside_ms) = (calm.quantile_ms(0.99), beside.quantile_ms(0.99));
    vec![
        Measure::new(
            "slow connections",
            "",
            float(u64::from(DRIBBLERS) * 2 * CONNECTIONS as u64),
        ),
        Measure::new("honest answers alone, p99", "ms", calm_ms),
        Measure::new("honest answers beside them, p99", "ms", beside_ms),
        Measure::new("the second in terms of the first", "", beside_ms / calm_ms).at_most(2.0, 1.2),
        Measure::new("the longest slow connection", "s", longest.as_secs_f64()).at_most(15.0, 11.0),
        Measure::new("memory that both planes grew by", "MiB", grown).at_most(100.0, 50.0),
    ]
}
