//! A disk that is full under load, and has room again.

use std::time::Instant;

use posthorn_harness::{
    ControlPlaneOptions, Page, Postgres, PostgresOptions, SmallDisk, StoreKind, eventually, get,
};
use serde_json::json;
use tonic::{Code, Status};

use super::{SETTLING, finish, load::Load, world::World};
use crate::support::refusal::Refusal;

on_both! {
    case_1_a_full_disk_is_said_loses_nothing_and_all_goes_on_when_there_is_room,
    case_1_a_stop_on_a_full_disk_ends_and_the_next_start_goes_on,
}

/// How many events a run emits.
const EVENTS: usize = 1_500;
/// How many of them before the disk is full.
const BEFORE: usize = 300;
/// How large a file system is, in MiB: a fresh cluster of PostgreSQL takes 60.
const SQLITE_MIB: u32 = 24;
const POSTGRES_MIB: u32 = 160;
/// As long as a payload may be, nearly.
const LARGE_BYTES: usize = 200_000;

/// A world whose database is on a small disk. None: there can be none here.
async fn start(store: StoreKind) -> Option<(World, SmallDisk)> {
    let mut options = ControlPlaneOptions {
        args: vec!["--drain-timeout".to_owned(), "3".to_owned()],
        ..ControlPlaneOptions::default()
    };
    let (disk, postgres) = match store {
        StoreKind::Sqlite => {
            let disk = SmallDisk::mount(SQLITE_MIB)?;
            options.folder = Some(disk.folder().clone());
            (disk, None)
        }
        StoreKind::Postgres => {
            let disk = SmallDisk::mount(POSTGRES_MIB)?;
            let place = PostgresOptions {
                folder: Some(disk.folder().clone()),
                ..PostgresOptions::default()
            };
            let postgres = Postgres::start_with(place).await;
            options.database = Some(postgres.database("small").await);
            (disk, Some(postgres))
        }
    };
    Some((World::of(options, postgres).await, disk))
}

/// Emits an event that takes room.
async fn emit_large(world: &World) -> Result<(), Status> {
    let filler = json!({ "filler": "x".repeat(LARGE_BYTES) });
    let event = world.client.event("disk.filled", filler.to_string());
    let answer = world.client.events().emit_event(event).await;
    answer.map(drop)
}

/// Fills the disk until an event finds no room; returns how that was refused.
async fn fill(world: &World, disk: &SmallDisk) -> Status {
    loop {
        disk.fill();
        if let Err(status) = emit_large(world).await {
            return status;
        }
    }
}

/// Waits until the control plane says that it is or is not ready; returns the page.
async fn await_ready(world: &World, status: u16) -> Page {
    let mut last = None;
    eventually("readiness changes", SETTLING, async || {
        last = get(world.control.metrics, "/readyz").await.ok();
        last.as_ref().is_some_and(|page| page.status == status)
    })
    .await;
    last.expect("it answered")
}

/// Makes room. A server of PostgreSQL that could not write its log has ended, and an operator starts it again.
async fn make_room(world: &mut World, disk: &SmallDisk) {
    disk.clear();
    if let Some(postgres) = &mut world.postgres
        && !postgres.is_running()
    {
        postgres.restart().await;
    }
}

async fn case_1_a_full_disk_is_said_loses_nothing_and_all_goes_on_when_there_is_room(
    store: StoreKind,
) {
    let Some((mut world, disk)) = start(store).await else {
        return;
    };
    let process = world.control.pid();
    let load = Load::start(&world.client, EVENTS);
    load.acknowledged(BEFORE).await;
    let refusal = Refusal::from(fill(&world, &disk).await);
    assert_eq!(refusal.code, Code::Unavailable, "{refusal:?}");
    assert!(refusal.says_when_to_retry, "{refusal:?}");
    let page = await_ready(&world, 503).await;
    assert!(page.body.contains("database: it"), "{page:?}");
    if store == StoreKind::Sqlite {
        assert_eq!(page.body, "database: its disk is full\n");
    }

    make_room(&mut world, &disk).await;
    let since = now();
    eventually("a large event is accepted", SETTLING, async || {
        emit_large(&world).await.is_ok()
    })
    .await;
    println!(
        "{store:?}: an event was accepted after {:?}",
        since.elapsed()
    );
    await_ready(&world, 200).await;
    println!("{store:?}: ready after {:?}", since.elapsed());
    assert_eq!(world.control.pid(), process, "it is the same process");
    let logs = world.control.logs();
    for wrong in ["internal error", "InvalidSavePoint"] {
        assert!(!logs.contains(wrong), "{logs}");
    }
    let said = logs.matches("because of the database").count();
    println!("{store:?}: the log says it {said} times");
    let ledger = finish(world, load).await;
    ledger.assert_all_arrived();
}

async fn case_1_a_stop_on_a_full_disk_ends_and_the_next_start_goes_on(store: StoreKind) {
    let Some((mut world, disk)) = start(store).await else {
        return;
    };
    let load = Load::start(&world.client, EVENTS);
    load.acknowledged(BEFORE).await;
    fill(&world, &disk).await;
    await_ready(&world, 503).await;
    let since = now();
    world.control.terminate().await;
    println!("{store:?}: it ended {:?} after SIGTERM", since.elapsed());
    make_room(&mut world, &disk).await;
    world.control.restart().await;
    await_ready(&world, 200).await;
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
