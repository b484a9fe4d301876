//! What a change costs in a large registry: a create beside 200,000 event types, and the last of 10,000 endpoints in terms
//! of the first; and how long a start takes that reads 10,000 tenants with an endpoint and a secret each.

use std::time::{Duration, Instant};

use posthorn::v1::EndpointSettings;
use posthorn_harness::{Client, Sql};

use super::abuse::honest;
use crate::{report::Measure, settings::Settings, stage::Stage, usage::float};

/// Put in by SQL, as if they had come one by one.
const EVENT_TYPES: u32 = 200_000;
const ENDPOINTS: usize = 10_000;
/// Each with an endpoint.
const TENANTS: usize = 10_000;
/// More than a tenant may have by default.
const ROOM: [&str; 2] = ["--tenant-event-types-max", "1000000"];
/// How many changes are timed.
const TIMED: usize = 50;

pub(crate) async fn run(settings: &Settings) -> Vec<Measure> {
    let mut measures = event_types(settings).await;
    measures.extend(endpoints(settings).await);
    measures.extend(tenants(settings).await);
    measures
}

async fn event_types(settings: &Settings) -> Vec<Measure> {
    let mut stage = Stage::start_with(settings.store, &ROOM).await;
    let mut sql = Sql::open(&stage.database()).await;
    let added = sql.run(&insert_event_types()).await;
    stage.restart_control_plane().await;
    let client = stage.connect().await;
    let mut times = Vec::new();
    for _ in 0..TIMED {
        let began = Instant::now();
        let is_declared = honest::declare(&client, &honest::new_name()).await;
        assert!(is_declared, "an event type can be declared");
        times.push(began.elapsed());
    }
    vec![
        Measure::new("event types that are there", "", float(added)),
        ms("another one is created, median", median(&mut times)).at_most(50.0, 5.0),
        ms("another one is created, longest", longest(&times)).at_most(50.0, 5.0),
    ]
}

/// The bench's only tenant gets them all.
fn insert_event_types() -> String {
    format!(
        "with recursive number(n) as (select 1 union all select n + 1 from number where n < {EVENT_TYPES}) \
         insert into event_type (tenant_id, name, description, version, created_at, updated_at) \
         select tenant_id, 'many.type' || n, '', 1, 0, 0 from number, tenant where tenant.name = 'bench'"
    )
}

async fn endpoints(settings: &Settings) -> Vec<Measure> {
    let stage = Stage::start_without_node(settings.store).await;
    let mut times = Vec::new();
    for number in 0..ENDPOINTS {
        let began = Instant::now();
        endpoint(&stage.client, number).await;
        times.push(began.elapsed());
    }
    let first = median(&mut times[..TIMED]);
    let last = median(&mut times[ENDPOINTS - TIMED..]);
    vec![
        ms("the first of 10,000 endpoints is created", first),
        ms("the last", last),
        Measure::new(
            "the last in terms of the first",
            "",
            last.as_secs_f64() / first.as_secs_f64(),
        )
        .at_most(1.5, 1.1),
    ]
}

async fn tenants(settings: &Settings) -> Vec<Measure> {
    let of_one = start(&mut Stage::start_without_node(settings.store).await).await;
    let mut stage = Stage::start_without_node(settings.store).await;
    for number in 0..TENANTS {
        let name = format!("tenant {number}");
        let tenant_id = stage.admin.create_tenant(&name).await;
        endpoint(&stage.admin.for_tenant(&tenant_id), 0).await;
    }
    let of_many = start(&mut stage).await;
    let per_row = of_many.saturating_sub(of_one) / u32::try_from(TENANTS).unwrap_or(1);
    vec![
        ms("a start with one tenant", of_one),
        ms("with 10,000 tenants and endpoints more", of_many).at_most(5_000.0, 1_000.0),
        Measure::new("for each of them", "µs", per_row.as_secs_f64() * 1e6),
    ]
}

/// How long it takes until a control plane that was killed is ready again.
async fn start(stage: &mut Stage) -> Duration {
    let began = Instant::now();
    stage.restart_control_plane().await;
    began.elapsed()
}

async fn endpoint(client: &Client, number: usize) {
    let settings = EndpointSettings {
        url: "http://127.0.0.1:9/".to_owned(),
        subscriptions: vec![format!("bench.e{number}")],
        ..EndpointSettings::default()
    };
    client.create_endpoint_with(settings).await;
}

fn ms(name: &str, time: Duration) -> Measure {
    Measure::new(name, "ms", time.as_secs_f64() * 1000.0)
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn longest(times: &[Duration]) -> Duration {
    times.iter().copied().max().unwrap_or_default()
}
