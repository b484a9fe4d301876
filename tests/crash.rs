//! Processes and databases killed under load, disks that are full, networks that are cut. In the end every acknowledged event has arrived, nothing has arrived that
//! was not emitted, and whatever arrived twice did so across a kill.
//!
//! The kills are random; the seed is printed, and `POSTHORN_TEST_SEED` repeats a run.

mod batches;
mod disk;
mod ledger;
mod load;
mod network;
mod provider;
mod world;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use posthorn_harness::{Request, StoreKind, eventually};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};
use tonic::Code;

use super::support::refusal::assert_refused;

use batches::Batches;
use ledger::Ledger;
use load::Load;
use provider::Posting;
use world::{Victim, World};

on_both! {
    without_a_kill_nothing_is_lost_and_nothing_comes_twice,
    kills_under_load_lose_nothing,
    kills_under_inbound_load_lose_nothing_and_repeats_have_no_second_effect,
    kills_under_batches_of_every_provider_leave_each_item_one_event,
}

/// How many events a run emits.
const EVENTS: usize = 4_000;

/// How many events a provider posts in a run.
const REQUESTS: usize = 2_000;

/// How many batches the providers of batches post in a run.
const BATCHES: usize = 600;

/// How often each kind of victim is killed.
const KILLS_EACH: usize = 3;

/// How long everything may take to arrive after the last kill.
const SETTLING: Duration = Duration::from_mins(2);

async fn without_a_kill_nothing_is_lost_and_nothing_comes_twice(store: StoreKind) {
    let world = World::start(store).await;
    let load = Load::start(&world.client, EVENTS);
    let ledger = finish(world, load).await;
    ledger.assert_complete(EVENTS);
    assert_eq!(ledger.duplicates(), 0);
}

async fn kills_under_load_lose_nothing(store: StoreKind) {
    let seed = seed();
    println!("POSTHORN_TEST_SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut world = World::start(store).await;
    let load = Load::start(&world.client, EVENTS);
    let mut victims = world.victims().repeat(KILLS_EACH);
    victims.shuffle(&mut rng);
    let stretch = EVENTS / (victims.len() + 1);
    for (number, victim) in victims.iter().enumerate() {
        let moment = number * stretch + rng.random_range(0..stretch);
        load.acknowledged(moment).await;
        println!("after {moment} acknowledged events: {victim:?} is killed");
        world.kill(*victim, &mut rng).await;
    }
    let kills = victims.len();
    let ledger = finish(world, load).await;
    ledger.assert_complete(EVENTS);
    ledger.assert_duplicates_explained(kills);
    println!("{} events came more than once", ledger.duplicates());
}

async fn kills_under_inbound_load_lose_nothing_and_repeats_have_no_second_effect(store: StoreKind) {
    let seed = seed();
    println!("POSTHORN_TEST_SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut world = World::start(store).await;
    let posting = Posting::start(&world.client, world.edges.subscribe(), REQUESTS).await;
    let mut victims = world.victims().repeat(KILLS_EACH);
    victims.shuffle(&mut rng);
    let stretch = REQUESTS / (victims.len() + 1);
    for (number, victim) in victims.iter().enumerate() {
        let moment = number * stretch + rng.random_range(0..stretch);
        posting.answered(moment).await;
        println!("after {moment} answered requests: {victim:?} is killed");
        world.kill(*victim, &mut rng).await;
    }
    posting.finish().await;
    let received = world.receiver.received(world::PATH);
    received.await_distinct(REQUESTS, SETTLING).await;
    world.quiet().await;
    assert_one_event_each(&received.requests());
    assert_eq!(world.accepted().await, REQUESTS);
}

async fn kills_under_batches_of_every_provider_leave_each_item_one_event(store: StoreKind) {
    let seed = seed();
    println!("POSTHORN_TEST_SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut world = World::start(store).await;
    let batches = Batches::start(&world.client, world.edges.subscribe(), BATCHES).await;
    let mut victims = world.victims().repeat(KILLS_EACH);
    victims.shuffle(&mut rng);
    let stretch = BATCHES / (victims.len() + 1);
    for (number, victim) in victims.iter().enumerate() {
        let moment = number * stretch + rng.random_range(0..stretch);
        batches.answered(moment).await;
        println!("after {moment} answered batches: {victim:?} is killed");
        world.kill(*victim, &mut rng).await;
    }
    batches.finish().await;
    let received = world.receiver.received(world::PATH);
    let items = BATCHES * batches::ITEMS;
    received.await_distinct(items, SETTLING).await;
    world.quiet().await;
    let mut events: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for request in received.requests() {
        let body = String::from_utf8_lossy(&request.body).into_owned();
        let event_type = request.header("webhook-event-type").to_owned();
        let ids = events.entry((body, event_type)).or_default();
        ids.insert(request.webhook_id().to_owned());
    }
    for number in 0..BATCHES {
        for (item, event_type) in batches::items(number) {
            let ids = events.remove(&(item.clone(), event_type.to_owned()));
            assert_eq!(ids.map_or(0, |ids| ids.len()), 1, "{item}");
        }
    }
    assert!(events.is_empty(), "nobody posted {events:?}");
}

/// Every event of the provider arrived with the bytes that it posted, under one id, and nothing else did.
fn assert_one_event_each(requests: &[Request]) {
    let mut ids: BTreeMap<String, String> = BTreeMap::new();
    for request in requests {
        let body = String::from_utf8_lossy(&request.body).into_owned();
        let id = ids
            .entry(body.clone())
            .or_insert_with(|| request.webhook_id().to_owned());
        assert_eq!(id, request.webhook_id(), "{body} is two events");
    }
    let expected: BTreeSet<String> = (0..REQUESTS).map(provider::body).collect();
    assert_eq!(ids.into_keys().collect::<BTreeSet<_>>(), expected);
}

#[tokio::test]
async fn postgres_a_database_that_is_away_is_nobodys_fault_and_passes() {
    let mut world = World::start(StoreKind::Postgres).await;
    let control = world.control.pid();
    let postgres = world.postgres.as_mut().expect("it runs on a server");
    postgres.kill();
    let mut events = world.client.events();
    let event = world.client.event("a.b", "{}");
    let result = events.emit_event(event.clone()).await;
    let refusal = assert_refused("no database", result, Code::Unavailable);
    assert!(refusal.says_when_to_retry, "{refusal:?}");
    postgres.restart().await;
    eventually("an emit is accepted again", SETTLING, async || {
        events.emit_event(event.clone()).await.is_ok()
    })
    .await;
    let received = world.receiver.received(world::PATH);
    received.await_count(1, SETTLING).await;
    assert_eq!(world.control.pid(), control, "it is the same process");
}

/// Waits until everything that was emitted has arrived and nothing is open any more.
async fn finish(world: World, load: Load) -> Ledger {
    let acknowledged = load.finish().await;
    let received = world.receiver.received(world::PATH);
    received.await_distinct(acknowledged.len(), SETTLING).await;
    world.quiet().await;
    Ledger::new(acknowledged, &received.requests(), &world.faults)
}

fn seed() -> u64 {
    match std::env::var("POSTHORN_TEST_SEED") {
        Ok(seed) => seed.parse().expect("a seed is a number"),
        Err(_) => u64::from(std::process::id()),
    }
}

/// The kinds of victims, on a database of its own and on an embedded one.
const VICTIMS: [Victim; 3] = [Victim::ControlPlane, Victim::Node, Victim::Database];
