//! Bare durable batch commits: rows like those of an emit, 100 events to a transaction, with nothing around.

use std::time::{Duration, Instant};

use bytes::Bytes;
use posthorn_harness::Postgres;
use sqlx::{
    ConnectOptions as _, Connection as _, PgConnection, QueryBuilder, Sqlite, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use tempfile::TempDir;
use uuid::Uuid;

use crate::{payload::Payloads, usage::rate};

const BATCH: u128 = 100;

const DURATION: Duration = Duration::from_secs(3);

/// Two tables like the event and its open delivery, in words that both databases take.
const TABLES: &str = "
    create table bare_event (
        shard smallint, event_id $id, event_type text, payload $bytes,
        primary key (shard, event_id)
    );
    create table bare_delivery (
        shard smallint, delivery_id $id, event_id $id, attempt_count smallint, next_attempt_at bigint,
        primary key (shard, delivery_id)
    );
    create index bare_delivery_due on bare_delivery (shard, next_attempt_at);
";

/// How many events a second one connection commits, each with its delivery: on the server given, or else on `SQLite`.
pub(crate) async fn commits(postgres: Option<&Postgres>, payload_bytes: u32) -> f64 {
    let payload = Payloads::of_size(payload_bytes).numbered(0);
    match postgres {
        Some(postgres) => on_postgres(&postgres.database("bare").await, &payload).await,
        None => on_sqlite(&payload).await,
    }
}

async fn on_postgres(url: &str, payload: &Bytes) -> f64 {
    let mut connection = PgConnection::connect(url)
        .await
        .expect("PostgreSQL accepts connections");
    create_tables(&mut connection, "uuid", "bytea").await;
    let payloads = vec![payload.to_vec(); usize::try_from(BATCH).expect("a small number")];
    let start = Instant::now();
    let mut events = 0;
    while start.elapsed() < DURATION {
        let ids: Vec<Uuid> = (events..events + BATCH).map(Uuid::from_u128).collect();
        insert_on_postgres(&mut connection, &ids, &payloads).await;
        events += BATCH;
    }
    per_second(events, start)
}

async fn insert_on_postgres(connection: &mut PgConnection, ids: &[Uuid], payloads: &[Vec<u8>]) {
    sqlx::query(
        "with batch as (select * from unnest($1::uuid[], $2::bytea[]) as batch (event_id, payload)),
            event as (
                insert into bare_event (shard, event_id, event_type, payload)
                select 7, event_id, 'bench.bare', payload from batch
            )
        insert into bare_delivery (shard, delivery_id, event_id, attempt_count, next_attempt_at)
        select 7, event_id, event_id, 0, 1700000000000 from batch",
    )
    .bind(ids)
    .bind(payloads)
    .execute(connection)
    .await
    .expect("a batch commits");
}

async fn on_sqlite(payload: &Bytes) -> f64 {
    let folder = TempDir::with_prefix("posthorn-bare-").expect("a temporary folder can be made");
    let mut connection = SqliteConnectOptions::new()
        .filename(folder.path().join("bare.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .connect()
        .await
        .expect("a file can be opened");
    create_tables(&mut connection, "blob", "blob").await;
    let start = Instant::now();
    let mut events = 0;
    while start.elapsed() < DURATION {
        insert_on_sqlite(&mut connection, events, payload).await;
        events += BATCH;
    }
    per_second(events, start)
}

async fn insert_on_sqlite(connection: &mut SqliteConnection, first: u128, payload: &Bytes) {
    let mut transaction = connection
        .begin_with("begin immediate")
        .await
        .expect("nobody else writes");
    let mut event: QueryBuilder<Sqlite> = QueryBuilder::new("insert into bare_event ");
    event.push_values(first..first + BATCH, |mut row, number| {
        row.push("7")
            .push_bind(Uuid::from_u128(number))
            .push("'bench.bare'")
            .push_bind(&payload[..]);
    });
    event
        .build()
        .execute(&mut *transaction)
        .await
        .expect("a batch is inserted");
    let mut delivery: QueryBuilder<Sqlite> = QueryBuilder::new("insert into bare_delivery ");
    delivery.push_values(first..first + BATCH, |mut row, number| {
        let id = Uuid::from_u128(number);
        row.push("7")
            .push_bind(id)
            .push_bind(id)
            .push("0")
            .push("1700000000000");
    });
    delivery
        .build()
        .execute(&mut *transaction)
        .await
        .expect("a batch is inserted");
    transaction.commit().await.expect("a batch commits");
}

async fn create_tables<'c>(connection: impl sqlx::Executor<'c>, id: &str, bytes: &str) {
    let tables = TABLES.replace("$id", id).replace("$bytes", bytes);
    connection
        .execute(sqlx::raw_sql(sqlx::AssertSqlSafe(tables)))
        .await
        .expect("tables can be made");
}

fn per_second(events: u128, start: Instant) -> f64 {
    rate(events.try_into().expect("a small number"), start.elapsed())
}
