//! Retention of events and attempts: daily partitions on PostgreSQL, bounded deletes on SQLite.
//!
//! A day is kept as long as any delivery of it is open, whatever its age: nothing that was acknowledged loses its payload
//! before it is delivered or ended.

use sqlx::{AssertSqlSafe, PgConnection, PgPool};
use uuid::Uuid;

use crate::model::id::{DeliveryId, uuid_floor};
use crate::store::{OneOf, Result, Store};

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
/// Partitions are made for so many days around today.
const DAYS_BEHIND: i64 = 1;
const DAYS_AHEAD: i64 = 3;
/// The partitioned tables and the column that each is partitioned by.
const PARTITIONED: [(&str, &str); 2] = [("event", "event_id"), ("attempt", "delivery_id")];
/// How many rows one delete on SQLite takes.
const SQLITE_DELETE_MAX: i64 = 5_000;

impl Store {
    /// Makes the partitions of the days around `now_ms`. Nothing to do on SQLite.
    pub(crate) async fn partition_ensure(&self, now_ms: i64) -> Result<()> {
        let OneOf::Postgres(pool) = self.writer() else {
            return Ok(());
        };
        let today = now_ms.div_euclid(DAY_MS);
        let existing = partitions(pool).await?;
        for day in today - DAYS_BEHIND..=today + DAYS_AHEAD {
            for (table, _) in PARTITIONED {
                if !existing.contains(&partition_name(table, day)) {
                    create(pool, table, day).await?;
                }
            }
        }
        Ok(())
    }

    /// Drops whole days, or deletes rows, of events emitted before an instant that have no open delivery left. Returns
    /// how many partitions or rows went.
    pub(crate) async fn partition_retire(&self, emitted_before: i64) -> Result<u64> {
        match self.writer() {
            OneOf::Postgres(pool) => postgres_retire(pool, emitted_before).await,
            OneOf::Sqlite(_) => sqlite_retire(self, emitted_before).await,
        }
    }

    /// Forgets the idempotency keys and actions of events emitted before an instant, one shard at a time.
    pub(crate) async fn event_key_retire(&self, emitted_before: i64) -> Result<u64> {
        let mut retired = 0;
        for shard in 0..=i16::from(u8::MAX) {
            for statement in [
                "delete from event_key where shard = $1 and event_id < $2",
                "delete from delivery_action where shard = $1 and delivery_id < $2",
            ] {
                let mut conn = self.acquire().await?;
                retired += on!(&mut conn, conn => {
                    sqlx::query(statement)
                        .bind(shard)
                        .bind(uuid_floor(emitted_before))
                        .execute(&mut **conn)
                        .await
                        .map(|done| done.rows_affected())
                })?;
            }
        }
        Ok(retired)
    }
}

async fn partitions(pool: &PgPool) -> Result<Vec<String>> {
    let rows = sqlx::query_as::<_, (String,)>(
        "select c.relname::text
         from pg_inherits i
         join pg_class c on c.oid = i.inhrelid
         join pg_class p on p.oid = i.inhparent
         where p.relname in ('event', 'attempt') and p.relnamespace = current_schema()::regnamespace",
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(|(name,)| name).collect())
}

/// The name of a partition: the table and the number of the day since 1970.
fn partition_name(table: &str, day: i64) -> String {
    format!("{table}_d{day}")
}

/// The day of a partition, from its name.
fn partition_day(name: &str) -> Option<i64> {
    name.rsplit_once("_d")?.1.parse().ok()
}

/// Makes a table and attaches it, which unlike `create ... partition of` does not stop writers of the parent.
async fn create(pool: &PgPool, table: &str, day: i64) -> Result<()> {
    let name = partition_name(table, day);
    let (from, to) = (uuid_floor(day * DAY_MS), uuid_floor((day + 1) * DAY_MS));
    let mut tx = pool.begin().await?;
    execute(&mut tx, "set local lock_timeout = '1s'".to_owned()).await?;
    execute(
        &mut tx,
        format!("create table if not exists {name} (like {table} including all)"),
    )
    .await?;
    execute(
        &mut tx,
        format!(
            "alter table {table} attach partition {name} for values from ('{from}') to ('{to}')"
        ),
    )
    .await?;
    tx.commit().await?;
    tracing::info!(partition = name, "made partition {name}");
    Ok(())
}

/// Runs a statement whose text is made of our own names and numbers.
async fn execute(conn: &mut PgConnection, statement: String) -> Result<()> {
    sqlx::query(AssertSqlSafe(statement)).execute(conn).await?;
    Ok(())
}

async fn postgres_retire(pool: &PgPool, emitted_before: i64) -> Result<u64> {
    let mut dropped = 0;
    for name in partitions(pool).await? {
        let Some(day) = partition_day(&name) else {
            continue;
        };
        let (from, below) = (uuid_floor(day * DAY_MS), uuid_floor((day + 1) * DAY_MS));
        if (day + 1) * DAY_MS > emitted_before {
            continue;
        }
        if postgres_has_open(pool, from, below).await? {
            tracing::warn!(
                partition = name,
                "kept partition {name}: deliveries of its time are still open"
            );
            continue;
        }
        let mut tx = pool.begin().await?;
        execute(&mut tx, "set local lock_timeout = '1s'".to_owned()).await?;
        execute(&mut tx, format!("drop table {name}")).await?;
        tx.commit().await?;
        tracing::info!(partition = name, "dropped partition {name}");
        dropped += 1;
    }
    Ok(dropped)
}

/// Whether a delivery between two ids is open: one look into the primary key for each shard.
async fn postgres_has_open(pool: &PgPool, from: Uuid, below: Uuid) -> Result<bool> {
    let (is_open,) = sqlx::query_as::<_, (bool,)>(
        "select exists (
             select
             from generate_series(0, 255) as s (shard)
             cross join lateral (
                 select
                 from delivery d
                 where d.shard = s.shard::smallint and d.delivery_id >= $1 and d.delivery_id < $2
                 limit 1
             ) as open
         )",
    )
    .bind(from)
    .bind(below)
    .fetch_one(pool)
    .await?;
    Ok(is_open)
}

async fn sqlite_retire(store: &Store, emitted_before: i64) -> Result<u64> {
    let mut deleted = 0;
    for shard in 0..=i16::from(u8::MAX) {
        let mut from_ms = 0;
        // From each day with something open to the next such day.
        while from_ms < emitted_before {
            let open_day = sqlite_open_day(store, shard, uuid_floor(from_ms)).await?;
            let below_ms = open_day.map_or(emitted_before, |day| emitted_before.min(day * DAY_MS));
            let range = (uuid_floor(from_ms), uuid_floor(below_ms));
            for (table, id) in PARTITIONED {
                deleted += sqlite_delete_between(store, table, id, shard, range).await?;
            }
            from_ms = open_day.map_or(emitted_before, |day| (day + 1) * DAY_MS);
        }
    }
    Ok(deleted)
}

/// The first day since 1970 that has an open delivery whose id is not below `from`.
async fn sqlite_open_day(store: &Store, shard: i16, from: Uuid) -> Result<Option<i64>> {
    let first = read!(store, conn => {
        sqlx::query_as::<_, (Uuid,)>(
            "select delivery_id from delivery where shard = $1 and delivery_id >= $2 order by delivery_id limit 1",
        )
        .bind(shard)
        .bind(from)
        .fetch_optional(conn)
        .await
    })?;
    Ok(first.map(|(id,)| DeliveryId::from_uuid(id).created_at().div_euclid(DAY_MS)))
}

async fn sqlite_delete_between(
    store: &Store,
    table: &str,
    id: &str,
    shard: i16,
    (from, below): (Uuid, Uuid),
) -> Result<u64> {
    let mut deleted = 0;
    loop {
        let statement = format!(
            "delete from {table} where shard = $1 and {id} in (
                 select {id} from {table} where shard = $1 and {id} >= $2 and {id} < $3 order by {id} limit $4
             )"
        );
        let mut conn = store.acquire().await?;
        let done = on!(&mut conn, conn => {
            sqlx::query(AssertSqlSafe(statement))
                .bind(shard)
                .bind(from)
                .bind(below)
                .bind(SQLITE_DELETE_MAX)
                .execute(&mut **conn)
                .await?
                .rows_affected()
        });
        if done == 0 {
            return Ok(deleted);
        }
        deleted += done;
    }
}
