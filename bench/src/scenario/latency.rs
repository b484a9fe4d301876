//! The time from the emit to the arrival when the machine has time to spare: an open loop of unary calls.

use std::{sync::Arc, time::Duration};

use posthorn_harness::eventually;

use crate::{
    latency::Latencies, load::open_loop, payload::Payloads, report::Measure, settings::Settings,
    sink::Sink, stage::Stage,
};

const RATES: [u32; 2] = [200, 500];
const ENDPOINTS: u32 = 10;
const WARM_UP_EVENTS: u64 = 500;
const ARRIVAL_DEADLINE: Duration = Duration::from_mins(2);

pub(crate) async fn run(settings: &Settings) -> Vec<Measure> {
    let mut measures = Vec::new();
    for per_second in RATES {
        let events = u64::from(per_second) * u64::from(settings.seconds);
        let latencies = at_rate(settings, per_second, events).await;
        let name = |quantile| format!("emit to arrival at {per_second}/s, {quantile}");
        measures
            .push(Measure::new(name("p50"), "ms", latencies.quantile_ms(0.5)).at_most(5.0, 2.0));
        measures
            .push(Measure::new(name("p99"), "ms", latencies.quantile_ms(0.99)).at_most(20.0, 8.0));
        measures.push(Measure::new(
            name("longest"),
            "ms",
            latencies.quantile_ms(1.0),
        ));
    }
    measures
}

async fn at_rate(settings: &Settings, per_second: u32, events: u64) -> Arc<Latencies> {
    // The warm-up's numbers lie behind those that are measured, so that they are not noted.
    let latencies = Arc::new(Latencies::of(events));
    let sink = Sink::start({
        let latencies = Arc::clone(&latencies);
        move |arrival| latencies.arrive(arrival)
    })
    .await;
    let stage = Stage::start(settings.store).await;
    let endpoints = u64::from(settings.endpoints.unwrap_or(ENDPOINTS).max(1));
    for endpoint in 0..endpoints {
        stage
            .endpoint(sink.receiver().url("/"), format!("bench.e{endpoint}"), 0)
            .await;
    }
    let event = {
        let (client, payloads) = (stage.client.clone(), Payloads::of_size(settings.payload()));
        let latencies = Arc::clone(&latencies);
        move |number| {
            let event = client.event(
                &format!("bench.e{}", number % endpoints),
                payloads.numbered(number),
            );
            latencies.emit(number);
            event
        }
    };
    let warm_up = {
        let event = event.clone();
        move |number| event(events + number)
    };
    open_loop(&stage.client, per_second, WARM_UP_EVENTS, warm_up).await;
    open_loop(&stage.client, per_second, events, event).await;
    eventually("every event arrived", ARRIVAL_DEADLINE, async || {
        latencies.arrived() == events
    })
    .await;
    latencies
}
