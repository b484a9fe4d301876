//! A network that is cut under load, and mended: between the control plane and its database, and between it and the rest.

use std::{sync::Arc, time::Instant};

use posthorn_harness::{ControlPlaneOptions, Network, Postgres, PostgresOptions, eventually, get};
use tonic::Code;

use super::{SETTLING, finish, load::Load, world::World};
use crate::support::refusal::refusal;

/// How many events a run emits.
const EVENTS: usize = 2_000;
/// How many of them before the network is cut.
const BEFORE: usize = 300;

#[tokio::test]
async fn case_1_postgres_a_cut_network_to_the_database_loses_nothing_and_all_goes_on_when_it_is_mended()
 {
    the_database_goes_and_comes(Network::cut, Network::mend).await;
}

#[tokio::test]
async fn postgres_a_network_that_swallows_its_answers_loses_nothing_and_all_goes_on_when_it_is_mended()
 {
    the_database_goes_and_comes(Network::swallow, Network::disgorge).await;
}

async fn the_database_goes_and_comes(go: fn(&Network), come: fn(&Network)) {
    let Some(network) = Network::make().map(Arc::new) else {
        return;
    };
    let place = PostgresOptions {
        network: Some(Arc::clone(&network)),
        ..PostgresOptions::default()
    };
    let postgres = Postgres::start_with(place).await;
    let options = ControlPlaneOptions {
        database: Some(postgres.database("far").await),
        ..ControlPlaneOptions::default()
    };
    let world = World::of(options, Some(postgres)).await;
    let process = world.control.pid();
    let load = Load::start(&world.client, EVENTS);
    load.acknowledged(BEFORE).await;
    go(&network);
    eventually("a caller hears what is the matter", SETTLING, async || {
        let event = world.client.event("a.b", "{}");
        let result = world.client.events().emit_event(event).await;
        let refusal = refusal("no network", result);
        // One that waited behind others may have run out of time first.
        let codes = [Code::Unavailable, Code::DeadlineExceeded];
        assert!(codes.contains(&refusal.code), "{refusal:?}");
        refusal.code == Code::Unavailable && refusal.says_when_to_retry
    })
    .await;
    let ready = async |status: u16| {
        eventually("readiness changes", SETTLING, async || {
            let page = get(world.control.metrics, "/readyz").await;
            page.is_ok_and(|page| page.status == status)
        })
        .await;
    };
    ready(503).await;

    come(&network);
    let since = now();
    eventually("an event is accepted", SETTLING, async || {
        let event = world.client.event("a.b", "{}");
        world.client.events().emit_event(event).await.is_ok()
    })
    .await;
    println!("an event was accepted after {:?}", since.elapsed());
    ready(200).await;
    println!("ready after {:?}", since.elapsed());
    assert_eq!(world.control.pid(), process, "it is the same process");
    let ledger = finish(world, load).await;
    ledger.assert_all_arrived();
}

#[tokio::test]
async fn case_1_a_cut_network_to_the_control_plane_loses_nothing_and_all_goes_on_when_it_is_mended()
{
    let Some(network) = Network::make().map(Arc::new) else {
        return;
    };
    let options = ControlPlaneOptions {
        network: Some(Arc::clone(&network)),
        ..ControlPlaneOptions::default()
    };
    let world = World::of(options, None).await;
    let load = Load::start(&world.client, EVENTS);
    load.acknowledged(BEFORE).await;
    network.cut();
    // The nodes notice that nobody answers their sessions any more.
    world.nodes_ready(503).await;

    network.mend();
    let since = now();
    world.nodes_ready(200).await;
    println!("the nodes were ready after {:?}", since.elapsed());
    let done = load.done();
    load.acknowledged(done + 1).await;
    println!("an event was acknowledged after {:?}", since.elapsed());
    let ledger = finish(world, load).await;
    ledger.assert_all_arrived();
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long it took is printed, not asserted"
)]
fn now() -> Instant {
    Instant::now()
}
