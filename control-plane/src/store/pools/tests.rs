//! Tests of the pools: mostly on SQLite, where all share one writer.

use std::sync::{Arc, Mutex};

use posthorn_harness::Postgres;
use tempfile::TempDir;
use tokio::{task::JoinSet, time::timeout};

use super::*;
use crate::{
    clock,
    store::{
        Error, Store,
        view::reading::{READ_WITHIN, Reading},
    },
};

/// A statement that never ends by itself.
const ENDLESS: &str = "
    with recursive number (n) as (select 1 union all select n + 1 from number)
    select count(*) from number";

async fn store() -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("test.db").display());
    let store = Store::open(&url).await.unwrap();
    (folder, store)
}

#[tokio::test]
async fn a_vital_change_goes_before_all_but_one_of_the_changes_that_queue() {
    let (_folder, store) = store().await;
    let begun = Arc::new(Mutex::new(Vec::new()));
    let holder = store.begin().await.unwrap();
    let mut tasks = JoinSet::new();
    let changing = |store: Store, name: &'static str| {
        let begun = Arc::clone(&begun);
        async move {
            let tx = store.begin().await.unwrap();
            begun.lock().unwrap().push(name);
            tx.commit().await.unwrap();
        }
    };
    for _ in 0..50 {
        tasks.spawn(changing(store.for_callers(), "change"));
    }
    // One runtime thread: each of those has come as far as it could once we run again.
    tokio::task::yield_now().await;
    tasks.spawn(changing(store.vital(), "vital"));
    tokio::task::yield_now().await;
    holder.commit().await.unwrap();
    tasks.join_all().await;
    let begun = begun.lock().unwrap();
    let place = begun.iter().position(|name| *name == "vital").unwrap();
    assert!(place <= 1, "{place}");
}

#[tokio::test]
async fn case_1_a_connection_whose_transaction_the_database_has_ended_is_not_used_again() {
    let (_folder, store) = store().await;
    let writer = store.writer();
    let OneOf::Sqlite(writer) = writer else {
        panic!("it is SQLite");
    };
    let mut conn = writer.acquire().await.unwrap();
    for statement in [
        "create table filler (bytes blob)",
        "pragma max_page_count = 1",
    ] {
        sqlx::query(statement).execute(&mut *conn).await.unwrap();
    }
    drop(conn);
    let write = async || {
        let mut tx = writer.begin().await?;
        sqlx::query("insert into filler values (zeroblob(1000000))")
            .execute(&mut *tx)
            .await?;
        tx.commit().await
    };
    let full = Error::from(write().await.unwrap_err());
    assert!(matches!(full, Error::Unavailable(_)), "{full:?}");
    // The limit went with its connection.
    write().await.unwrap();
}

#[tokio::test]
async fn a_read_ends_when_nobody_waits_for_it_any_more() {
    let (_folder, store) = store().await;
    let began = clock::monotonic();
    let mut reading = Reading::begin(&store.for_callers()).await.unwrap();
    let OneOf::Sqlite(conn) = reading.conn() else {
        panic!("it is SQLite");
    };
    let endless = sqlx::query(ENDLESS).execute(conn);
    let waited = timeout(std::time::Duration::from_millis(20), endless).await;
    assert!(waited.is_err());
    drop(reading);
    // Waits for the connections of all reads.
    store.close().await;
    assert!(began.elapsed() < READ_WITHIN, "it ran to its limit");
}

#[tokio::test]
async fn a_read_of_a_caller_that_takes_too_long_is_slow_and_not_a_fault() {
    let (_folder, store) = store().await;
    let endless = async |store: &Store| -> crate::store::Result<()> {
        let mut reading = Reading::begin(store).await?;
        let answer = match reading.conn() {
            OneOf::Sqlite(conn) => sqlx::query(ENDLESS).execute(conn).await,
            OneOf::Postgres(_) => panic!("it is SQLite"),
        };
        reading.end(answer.map(drop))
    };
    let callers = store.for_callers();
    let answer = endless(&callers).await;
    assert!(matches!(answer, Err(Error::Slow)), "{answer:?}");
    // The limit was that read's own.
    callers.ping().await.unwrap();
}

/// What goes on in a connection of `PostgreSQL` is over long before another connection could be made.
#[tokio::test]
async fn callers_who_come_and_go_cost_nobody_a_connection() {
    let server = Postgres::shared().await;
    let store = Store::open(&server.database("come_and_go").await).await;
    let callers = store.unwrap().for_callers();
    let several = READ_CONNECTIONS_MAX as usize;
    let mut before = backends(&callers, several).await;
    for _ in 0..several {
        let mut reading = Reading::begin(&callers).await.unwrap();
        let OneOf::Postgres(conn) = reading.conn() else {
            panic!("it is PostgreSQL");
        };
        let statement = sqlx::query("select pg_sleep(0.05)").execute(conn);
        let waited = timeout(std::time::Duration::from_millis(1), statement).await;
        assert!(waited.is_err());
    }
    let mut after = backends(&callers, several).await;
    before.sort_unstable();
    after.sort_unstable();
    assert_eq!(before, after);
}

/// Takes so many connections for reads at one time, and asks each which process serves it.
async fn backends(store: &Store, several: usize) -> Vec<i32> {
    let mut readings = Vec::new();
    for _ in 0..several {
        readings.push(Reading::begin(store).await.unwrap());
    }
    let mut pids = Vec::new();
    for reading in &mut readings {
        let OneOf::Postgres(conn) = reading.conn() else {
            panic!("it is PostgreSQL");
        };
        let answer = sqlx::query_scalar("select pg_backend_pid()").fetch_one(conn);
        let answer = answer.await;
        pids.push(reading.answered(answer).unwrap());
    }
    pids
}
