//! What one dead and one very slow endpoint do to the others: the same load with all well, then with two of them ill.

use std::{sync::Arc, time::Duration};

use posthorn_harness::{Answer, Receiver, Refused, eventually};

use crate::{
    latency::Latencies, load::open_loop, payload::Payloads, report::Measure, settings::Settings,
    sink::Sink, stage::Stage, usage::float,
};

const ENDPOINTS: u32 = 100;

/// The endpoints that are dead or slow in the second half; their latencies count in neither.
const ILL: u64 = 2;

/// How long the slow endpoint takes.
const SLOW: Duration = Duration::from_secs(15);

const ARRIVAL_DEADLINE: Duration = Duration::from_mins(2);

pub(crate) async fn run(settings: &Settings) -> Vec<Measure> {
    let well = under_load(settings, None).await;
    let ill = Ill {
        dead: Refused::new(),
        slow: slow_receiver().await,
    };
    let with_ill = under_load(settings, Some(&ill)).await;
    let ratio = with_ill.quantile_ms(0.99) / well.quantile_ms(0.99);
    let measure = |name: &str, latencies: &Latencies, quantile| {
        Measure::new(name, "ms", latencies.quantile_ms(quantile))
    };
    vec![
        Measure::new("p99 of the others, ill beside well", "", ratio).at_most(1.10, 1.03),
        measure("emit to arrival, all well, p50", &well, 0.5),
        measure("emit to arrival, all well, p99", &well, 0.99),
        measure(
            "emit to arrival, one dead and one slow, p50",
            &with_ill,
            0.5,
        ),
        measure(
            "emit to arrival, one dead and one slow, p99",
            &with_ill,
            0.99,
        ),
        Measure::new(
            "attempts that the slow endpoint held",
            "",
            float(ill.slow.received("/").count() as u64),
        ),
    ]
}

/// Where the ill endpoints' events go.
struct Ill {
    dead: Refused,
    slow: Receiver,
}

async fn slow_receiver() -> Receiver {
    let receiver = Receiver::start().await;
    receiver.answer("/", Answer::Delay(SLOW));
    receiver
}

async fn under_load(settings: &Settings, ill: Option<&Ill>) -> Arc<Latencies> {
    let endpoints = u64::from(settings.endpoints.unwrap_or(ENDPOINTS)).max(ILL + 1);
    let events = u64::from(settings.rate) * u64::from(settings.seconds);
    let latencies = Arc::new(Latencies::of(events));
    let sink = Sink::start({
        let latencies = Arc::clone(&latencies);
        move |arrival| latencies.arrive(arrival)
    })
    .await;
    let stage = Stage::start(settings.store).await;
    for endpoint in 0..endpoints {
        let url = match (ill, endpoint) {
            (Some(ill), 0) => ill.dead.url(),
            (Some(ill), 1) => ill.slow.url("/"),
            _ => sink.receiver().url("/"),
        };
        stage.endpoint(url, format!("bench.e{endpoint}"), 0).await;
    }
    let event = {
        let (client, payloads) = (stage.client.clone(), Payloads::of_size(settings.payload()));
        let latencies = Arc::clone(&latencies);
        move |number| {
            let endpoint = number % endpoints;
            let event = client.event(&format!("bench.e{endpoint}"), payloads.numbered(number));
            if endpoint >= ILL {
                latencies.emit(number);
            }
            event
        }
    };
    open_loop(&stage.client, settings.rate, events, event).await;
    let counted = (0..events)
        .filter(|number| number % endpoints >= ILL)
        .count() as u64;
    eventually(
        "every event of a well endpoint arrived",
        ARRIVAL_DEADLINE,
        async || latencies.arrived() == counted,
    )
    .await;
    latencies
}
