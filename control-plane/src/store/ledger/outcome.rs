//! The outcome statement: attempts and what follows from them, a batch at a time.
//!
//! The other hot statement, written per database like `emit`. In one transaction an attempt is logged and its delivery
//! removed (success), moved (failure) or left alone (a report under a lost lease). A move is conditional on the attempt
//! count that the lease was granted at; a success is always accepted. The batch may be repeated when its commit is
//! uncertain.

use std::collections::HashSet;

use bytes::Bytes;
use sqlx::{PgPool, QueryBuilder, Row as _, Sqlite, SqliteConnection};
use uuid::Uuid;

use super::trace;
use crate::model::{
    delivery::{Attempt, DeadReason, Decision, ErrorKind},
    id::DeliveryId,
};
use crate::store::{OneOf, Result, Store, pools::SqliteWriter};

/// How many rows one SQLite statement carries.
const SQLITE_CHUNK: usize = 64;

/// An attempt to log, and what follows from it.
#[derive(Debug, Clone)]
pub(crate) struct OutcomeRow {
    /// The attempt.
    pub attempt: Attempt,
    /// What follows.
    pub decision: Decision,
}

/// The value of the column `change` of a decision.
fn change(decision: Decision) -> i16 {
    match decision {
        Decision::Nothing => 0,
        Decision::Delivered => 1,
        Decision::RetryAt(_) => 2,
        Decision::Dead { .. } => 3,
    }
}

fn retry_at(decision: Decision) -> Option<i64> {
    match decision {
        Decision::RetryAt(at) => Some(at),
        _ => None,
    }
}

fn death(decision: Decision) -> Option<(DeadReason, i64)> {
    match decision {
        Decision::Dead { reason, at } => Some((reason, at)),
        _ => None,
    }
}

impl Store {
    /// Writes a batch and makes it durable. Returns the deliveries that a retry or a death really moved: the others were
    /// ended or moved by somebody else in the meantime.
    pub(crate) async fn outcome_batch(&self, rows: &[OutcomeRow]) -> Result<HashSet<DeliveryId>> {
        match self.ledger() {
            OneOf::Postgres(pool) => self.within(postgres(pool, rows)).await,
            OneOf::Sqlite(writer) => self.within(sqlite(writer, rows)).await,
        }
    }
}

#[expect(clippy::too_many_lines, reason = "most of it is SQL")]
async fn postgres(pool: &PgPool, rows: &[OutcomeRow]) -> Result<HashSet<DeliveryId>> {
    let attempts = || rows.iter().map(|row| &row.attempt);
    let changes = || rows.iter().map(|row| row.decision);
    let moved = sqlx::query(
        "with input as materialized (
             select *
             from unnest($1::smallint[], $2::uuid[], $3::integer[], $4::bigint[], $5::uuid[], $6::uuid[], $7::boolean[],
                         $8::smallint[], $9::smallint[], $10::bigint[], $11::integer[], $12::smallint[], $13::uuid[],
                         $14::bytea[], $15::boolean[], $16::bytea[], $17::smallint[], $18::bigint[], $19::bigint[], $20::smallint[])
                  as i (shard, delivery_id, number, lease_id, endpoint_id, tenant_id, succeeded, status_code,
                        error_kind, started_at, duration_ms, holder_kind, holder_id, excerpt, late, trace, change, retry_at, dead_at,
                        dead_reason)
         ), logged as (
             insert into attempt (shard, delivery_id, number, lease_id, endpoint_id, tenant_id, succeeded, status_code,
                                  error_kind, started_at, duration_ms, holder_kind, holder_id, excerpt, late, trace)
             select shard, delivery_id, number, lease_id, endpoint_id, tenant_id, succeeded, status_code,
                    error_kind, started_at, duration_ms, holder_kind, holder_id, excerpt, late, trace
             from input
             on conflict do nothing
         ), removed as (
             delete from delivery d
             using input i
             where i.change = 1 and d.shard = i.shard and d.delivery_id = i.delivery_id
         )
         update delivery d
         set attempt_count = i.number,
             next_attempt_at = coalesce(i.retry_at, d.next_attempt_at),
             state = case when i.dead_at is null then 1 else 2 end,
             dead_at = i.dead_at,
             dead_reason = i.dead_reason,
             error_kind = i.error_kind,
             status_code = i.status_code,
             retry_open = false
         from input i
         where i.change in (2, 3)
           and d.shard = i.shard
           and d.delivery_id = i.delivery_id
           and d.state = 1
           and d.attempt_count = i.number - 1
         returning d.delivery_id",
    )
    .bind(attempts().map(|a| a.lease.delivery_id.shard().column()).collect::<Vec<_>>())
    .bind(attempts().map(|a| a.lease.delivery_id.uuid()).collect::<Vec<_>>())
    .bind(attempts().map(|a| signed(a.lease.attempt)).collect::<Vec<_>>())
    .bind(attempts().map(|a| a.lease.lease_id.cast_signed()).collect::<Vec<_>>())
    .bind(attempts().map(|a| a.endpoint_id.uuid()).collect::<Vec<_>>())
    .bind(attempts().map(|a| a.tenant_id.uuid()).collect::<Vec<_>>())
    .bind(attempts().map(|a| a.outcome.succeeded()).collect::<Vec<_>>())
    .bind(attempts().map(status_code).collect::<Vec<_>>())
    .bind(attempts().map(error_kind).collect::<Vec<_>>())
    .bind(attempts().map(|a| a.started_at).collect::<Vec<_>>())
    .bind(attempts().map(|a| signed(a.duration_ms)).collect::<Vec<_>>())
    .bind(attempts().map(|a| a.holder.kind().column()).collect::<Vec<_>>())
    .bind(attempts().map(|a| a.holder.uuid()).collect::<Vec<_>>())
    .bind(attempts().map(|a| excerpt(&a.excerpt)).collect::<Vec<_>>())
    .bind(attempts().map(|a| a.late).collect::<Vec<_>>())
    .bind(attempts().map(trace).collect::<Vec<_>>())
    .bind(changes().map(change).collect::<Vec<_>>())
    .bind(changes().map(retry_at).collect::<Vec<_>>())
    .bind(changes().map(|c| death(c).map(|(_, at)| at)).collect::<Vec<_>>())
    .bind(changes().map(|c| death(c).map(|(reason, _)| reason.column())).collect::<Vec<_>>())
    .fetch_all(pool)
    .await?;
    moved
        .iter()
        .map(|row| Ok(DeliveryId::from_uuid(row.try_get::<Uuid, _>(0)?)))
        .collect()
}

async fn sqlite(writer: SqliteWriter<'_>, rows: &[OutcomeRow]) -> Result<HashSet<DeliveryId>> {
    let mut tx = writer.begin().await?;
    for chunk in rows.chunks(SQLITE_CHUNK) {
        sqlite_log(&mut tx, chunk).await?;
    }
    let delivered = rows
        .iter()
        .filter(|row| row.decision == Decision::Delivered)
        .map(|row| row.attempt.lease.delivery_id)
        .collect::<Vec<_>>();
    for chunk in delivered.chunks(SQLITE_CHUNK) {
        sqlite_remove(&mut tx, chunk).await?;
    }
    let mut moved = HashSet::new();
    for row in rows
        .iter()
        .filter(|row| matches!(row.decision, Decision::RetryAt(_) | Decision::Dead { .. }))
    {
        if sqlite_move(&mut tx, row).await? {
            moved.insert(row.attempt.lease.delivery_id);
        }
    }
    tx.commit().await?;
    Ok(moved)
}

async fn sqlite_log(conn: &mut SqliteConnection, rows: &[OutcomeRow]) -> Result<()> {
    let mut query = QueryBuilder::<Sqlite>::new(
        "insert into attempt (shard, delivery_id, number, lease_id, endpoint_id, tenant_id, succeeded, status_code, \
         error_kind, started_at, duration_ms, holder_kind, holder_id, excerpt, late, trace) ",
    );
    query.push_values(rows, |mut values, row| {
        let attempt = &row.attempt;
        values
            .push_bind(attempt.lease.delivery_id.shard().column())
            .push_bind(attempt.lease.delivery_id.uuid())
            .push_bind(signed(attempt.lease.attempt))
            .push_bind(attempt.lease.lease_id.cast_signed())
            .push_bind(attempt.endpoint_id.uuid())
            .push_bind(attempt.tenant_id.uuid())
            .push_bind(attempt.outcome.succeeded())
            .push_bind(status_code(attempt))
            .push_bind(error_kind(attempt))
            .push_bind(attempt.started_at)
            .push_bind(signed(attempt.duration_ms))
            .push_bind(attempt.holder.kind().column())
            .push_bind(attempt.holder.uuid())
            .push_bind(excerpt(&attempt.excerpt))
            .push_bind(attempt.late)
            .push_bind(trace(attempt));
    });
    query.push(" on conflict do nothing");
    query.build().execute(conn).await?;
    Ok(())
}

async fn sqlite_remove(conn: &mut SqliteConnection, deliveries: &[DeliveryId]) -> Result<()> {
    let mut query =
        QueryBuilder::<Sqlite>::new("delete from delivery where (shard, delivery_id) in (");
    query.push_values(deliveries, |mut values, delivery_id| {
        values
            .push_bind(delivery_id.shard().column())
            .push_bind(delivery_id.uuid());
    });
    query.push(")");
    query.build().execute(conn).await?;
    Ok(())
}

async fn sqlite_move(conn: &mut SqliteConnection, row: &OutcomeRow) -> Result<bool> {
    let death = death(row.decision);
    let moved = sqlx::query(
        "update delivery
         set attempt_count = $1,
             next_attempt_at = coalesce($2, next_attempt_at),
             state = case when $3 is null then 1 else 2 end,
             dead_at = $3,
             dead_reason = $4,
             error_kind = $7,
             status_code = $8,
             retry_open = false
         where shard = $5 and delivery_id = $6 and state = 1 and attempt_count = $1 - 1",
    )
    .bind(signed(row.attempt.lease.attempt))
    .bind(retry_at(row.decision))
    .bind(death.map(|(_, at)| at))
    .bind(death.map(|(reason, _)| reason.column()))
    .bind(row.attempt.lease.delivery_id.shard().column())
    .bind(row.attempt.lease.delivery_id.uuid())
    .bind(error_kind(&row.attempt))
    .bind(status_code(&row.attempt))
    .execute(conn)
    .await?;
    Ok(moved.rows_affected() == 1)
}

fn signed(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

fn status_code(attempt: &Attempt) -> Option<i16> {
    attempt
        .outcome
        .status_code
        .and_then(|code| i16::try_from(code).ok())
}

fn error_kind(attempt: &Attempt) -> Option<i16> {
    attempt.outcome.error.map(ErrorKind::column)
}

fn trace(attempt: &Attempt) -> Option<Vec<u8>> {
    attempt.trace.as_deref().map(trace::to_column)
}

fn excerpt(bytes: &Bytes) -> Option<&[u8]> {
    (!bytes.is_empty()).then_some(bytes.as_ref())
}
