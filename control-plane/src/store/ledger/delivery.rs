//! Open deliveries: what the schedule reads and what ends or restarts them other than an attempt.

use sqlx::FromRow;
use uuid::Uuid;

use crate::model::{
    delivery::{AttemptOutcome, DeadReason, OpenDelivery, OpenState},
    id::{DeliveryId, EndpointId, Shard, TenantId},
    shard::ShardSet,
};
use crate::store::{Error, LedgerTx, OneOf, Result, Store, shard};

/// The value of the column `state` of a delivery that waits.
pub(in crate::store) const PENDING: i16 = 1;
/// The value of the column `state` of a dead letter.
pub(in crate::store) const DEAD: i16 = 2;

/// A waiting delivery as the schedule holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DueDelivery {
    /// Its id.
    pub id: DeliveryId,
    /// When the next attempt is due.
    pub due_at: i64,
    /// Attempts made.
    pub attempt_count: u32,
    /// Attempts made before the last retry by an operator.
    pub attempt_base: u32,
}

/// How many open deliveries there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct OpenCounts {
    /// That wait or are under way.
    pub pending: i64,
    /// That are dead.
    pub dead: i64,
    /// When the oldest attempt that waits was or is due.
    pub oldest_due_at: Option<i64>,
    /// When the oldest dead letter died.
    pub oldest_dead_at: Option<i64>,
}

#[derive(FromRow)]
pub(in crate::store) struct DeliveryRow {
    pub(in crate::store) delivery_id: Uuid,
    pub(in crate::store) endpoint_id: Uuid,
    pub(in crate::store) tenant_id: Uuid,
    state: i16,
    attempt_count: i32,
    attempt_base: i32,
    next_attempt_at: i64,
    dead_at: Option<i64>,
    dead_reason: Option<i16>,
    error_kind: Option<i16>,
    status_code: Option<i16>,
    retry_open: bool,
}

/// An endpoint that has something open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OpenLane {
    /// Its shard.
    pub shard: Shard,
    /// The endpoint.
    pub endpoint_id: EndpointId,
    /// When the first of what it has is due, or died.
    pub since: i64,
}

/// Which endpoints have deliveries of a state: one look into its index for each, however many deliveries there are.
macro_rules! lanes {
    ($shards:literal, $state:literal, $since:literal) => {
        concat!(
            "with recursive lane (shard, endpoint_id) as (
                 select s.shard, (
                     select d.endpoint_id from delivery d
                     where d.shard = s.shard and d.state = ",
            $state,
            "
                     order by d.endpoint_id limit 1)
                 from ",
            $shards,
            "
                 union all
                 select l.shard, (
                     select d.endpoint_id from delivery d
                     where d.shard = l.shard and d.state = ",
            $state,
            " and d.endpoint_id > l.endpoint_id
                     order by d.endpoint_id limit 1)
                 from lane l
                 where l.endpoint_id is not null
             )
             select l.shard, l.endpoint_id, (
                 select d.",
            $since,
            " from delivery d
                 where d.shard = l.shard and d.state = ",
            $state,
            " and d.endpoint_id = l.endpoint_id
                 order by d.",
            $since,
            " limit 1)
             from lane l
             where l.endpoint_id is not null"
        )
    };
    ($state:literal, $since:literal) => {
        (
            lanes!("unnest($1) as s (shard)", $state, $since),
            lanes!(
                "(select value as shard from json_each($1)) as s",
                $state,
                $since
            ),
        )
    };
}

/// On PostgreSQL and on SQLite.
pub(in crate::store) const WAITING_LANES: (&str, &str) = lanes!("1", "next_attempt_at");
/// On PostgreSQL and on SQLite.
pub(in crate::store) const DEAD_LANES: (&str, &str) = lanes!("2", "dead_at");

macro_rules! counts {
    ($shards:literal) => {
        concat!(
            "select (select count(*) from delivery where shard ",
            $shards,
            " and state = 1),
                    (select count(*) from delivery where shard ",
            $shards,
            " and state = 2),
                    (select min(next_attempt_at) from delivery where shard ",
            $shards,
            " and state = 1),
                    (select min(dead_at) from delivery where shard ",
            $shards,
            " and state = 2)"
        )
    };
}

/// What is open, on PostgreSQL and on SQLite.
const COUNTS: (&str, &str) = (
    counts!("= any($1)"),
    counts!("in (select value from json_each($1))"),
);

impl Store {
    /// The endpoints of some shards that have something waiting, with when the first of it is due.
    pub(crate) async fn delivery_lanes(&self, shards: &ShardSet) -> Result<Vec<OpenLane>> {
        self.lanes(WAITING_LANES, shards).await
    }

    /// The endpoints of some shards that have dead letters, with when the first of them died.
    pub(crate) async fn dead_letter_lanes(&self, shards: &ShardSet) -> Result<Vec<OpenLane>> {
        self.lanes(DEAD_LANES, shards).await
    }

    async fn lanes(
        &self,
        sql: (&'static str, &'static str),
        shards: &ShardSet,
    ) -> Result<Vec<OpenLane>> {
        let rows: Vec<(i16, Uuid, i64)> = match self.reader() {
            OneOf::Postgres(pool) => {
                let query = sqlx::query_as(sql.0).bind(shards.columns());
                query.fetch_all(pool).await?
            }
            OneOf::Sqlite(pool) => {
                let query = sqlx::query_as(sql.1).bind(shards.json());
                query.fetch_all(pool).await?
            }
        };
        let typed = |(column, endpoint, since)| {
            Ok(OpenLane {
                shard: shard(column)?,
                endpoint_id: EndpointId::from_uuid(endpoint),
                since,
            })
        };
        rows.into_iter().map(typed).collect()
    }

    /// What an endpoint has waiting from `(due_at, id)` on, in order.
    pub(crate) async fn delivery_page(
        &self,
        shard: Shard,
        endpoint_id: EndpointId,
        from: (i64, DeliveryId),
        limit: usize,
    ) -> Result<Vec<DueDelivery>> {
        let rows = self.within(async { read!(self, conn => {
            sqlx::query_as::<_, (Uuid, i64, i32, i32)>(
                "select delivery_id, next_attempt_at, attempt_count, attempt_base
                 from delivery
                 where shard = $1 and endpoint_id = $2 and state = 1 and (next_attempt_at, delivery_id) >= ($3, $4)
                 order by next_attempt_at, delivery_id
                 limit $5",
            )
            .bind(shard.column())
            .bind(endpoint_id.uuid())
            .bind(from.0)
            .bind(from.1.uuid())
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(conn)
            .await
        })}).await?;
        rows.into_iter()
            .map(|(id, due_at, attempt_count, attempt_base)| {
                Ok(DueDelivery {
                    id: DeliveryId::from_uuid(id),
                    due_at,
                    attempt_count: count(attempt_count)?,
                    attempt_base: count(attempt_base)?,
                })
            })
            .collect()
    }

    /// The open deliveries of these ids, as far as they are open, in any order.
    pub(crate) async fn delivery_load(&self, ids: &[DeliveryId]) -> Result<Vec<OpenDelivery>> {
        let rows = match self.reader() {
            OneOf::Postgres(pool) => {
                sqlx::query_as::<_, DeliveryRow>(
                    "select d.*
                     from unnest($1::smallint[], $2::uuid[]) as i (shard, delivery_id)
                     join delivery d using (shard, delivery_id)",
                )
                .bind(ids.iter().map(|id| id.shard().column()).collect::<Vec<_>>())
                .bind(ids.iter().map(|id| id.uuid()).collect::<Vec<_>>())
                .fetch_all(pool)
                .await?
            }
            OneOf::Sqlite(pool) => {
                let mut conn = pool.acquire().await?;
                let mut rows = Vec::with_capacity(ids.len());
                for id in ids {
                    let row = sqlx::query_as::<_, DeliveryRow>(
                        "select * from delivery where shard = $1 and delivery_id = $2",
                    )
                    .bind(id.shard().column())
                    .bind(id.uuid())
                    .fetch_optional(&mut *conn)
                    .await?;
                    rows.extend(row);
                }
                rows
            }
        };
        rows.into_iter().map(DeliveryRow::into_open).collect()
    }

    /// How many open deliveries an endpoint has.
    pub(crate) async fn delivery_open_count(&self, shard: Shard, id: EndpointId) -> Result<u64> {
        const SQL: &str = "
            select (select count(*) from delivery where shard = $1 and endpoint_id = $2 and state = 1)
                 + (select count(*) from delivery where shard = $1 and endpoint_id = $2 and state = 2)";
        let count: i64 = read!(self, conn => {
            sqlx::query_scalar(SQL).bind(shard.column()).bind(id.uuid()).fetch_one(conn).await
        })?;
        u64::try_from(count).map_err(Error::bug)
    }

    /// Counts what is open in some shards. Reads an index from end to end: for a gauge every few seconds, not for a hot
    /// path.
    pub(crate) async fn delivery_counts(&self, shards: &ShardSet) -> Result<OpenCounts> {
        let (pending, dead, oldest_due_at, oldest_dead_at) = match self.reader() {
            OneOf::Postgres(pool) => {
                let query = sqlx::query_as(COUNTS.0).bind(shards.columns());
                query.fetch_one(pool).await?
            }
            OneOf::Sqlite(pool) => {
                let query = sqlx::query_as(COUNTS.1).bind(shards.json());
                query.fetch_one(pool).await?
            }
        };
        Ok(OpenCounts {
            pending,
            dead,
            oldest_due_at,
            oldest_dead_at,
        })
    }
}

impl LedgerTx {
    /// Ends as dead what lost too many leases, unless it was ended or attempted in the meantime.
    pub(crate) async fn delivery_lose(
        &mut self,
        id: DeliveryId,
        attempt_count: u32,
        now_ms: i64,
    ) -> Result<bool> {
        let done = execute!(
            self,
            "update delivery
                 set state = 2, dead_at = $1, dead_reason = $2, retry_open = false
                 where shard = $3 and delivery_id = $4 and state = 1 and attempt_count = $5",
            now_ms,
            DeadReason::LeaseLost.column(),
            id.shard().column(),
            id.uuid(),
            i32::try_from(attempt_count).unwrap_or(i32::MAX)
        )?;
        Ok(done == 1)
    }

    /// One open delivery of a tenant, locked until the transaction ends.
    pub(crate) async fn delivery_lock(
        &mut self,
        tenant_id: TenantId,
        id: DeliveryId,
    ) -> Result<Option<OpenDelivery>> {
        let row = match &mut self.on {
            OneOf::Postgres(tx) => {
                sqlx::query_as::<_, DeliveryRow>(
                    "select * from delivery where shard = $1 and delivery_id = $2 and tenant_id = $3 for update",
                )
                .bind(id.shard().column())
                .bind(id.uuid())
                .bind(tenant_id.uuid())
                .fetch_optional(&mut **tx)
                .await?
            }
            // The transaction holds SQLite's one write lock already.
            OneOf::Sqlite(tx) => {
                sqlx::query_as::<_, DeliveryRow>(
                    "select * from delivery where shard = $1 and delivery_id = $2 and tenant_id = $3",
                )
                .bind(id.shard().column())
                .bind(id.uuid())
                .bind(tenant_id.uuid())
                .fetch_optional(&mut **tx)
                .await?
            }
        };
        row.map(DeliveryRow::into_open).transpose()
    }

    /// Makes a delivery due at `now_ms`; a dead one starts its schedule anew.
    pub(crate) async fn delivery_retry(&mut self, id: DeliveryId, now_ms: i64) -> Result<()> {
        const SQL: &str = "
            update delivery
            set attempt_base = case when state = 2 then attempt_count else attempt_base end,
                state = 1, dead_at = null, dead_reason = null, next_attempt_at = $1, retry_open = true
            where shard = $2 and delivery_id = $3";
        execute!(self, SQL, now_ms, id.shard().column(), id.uuid())?;
        Ok(())
    }

    /// Removes an open delivery.
    pub(crate) async fn delivery_remove(&mut self, id: DeliveryId) -> Result<()> {
        execute!(
            self,
            "delete from delivery where shard = $1 and delivery_id = $2",
            id.shard().column(),
            id.uuid()
        )?;
        Ok(())
    }
}

impl DeliveryRow {
    pub(in crate::store) fn into_open(self) -> Result<OpenDelivery> {
        let reason = self.dead_reason.and_then(DeadReason::from_column);
        let state = match (self.state, self.dead_at, reason) {
            (PENDING, None, None) => OpenState::Pending,
            (DEAD, Some(at), Some(reason)) => OpenState::Dead { reason, at },
            (state, ..) => return Err(Error::bug(format!("delivery in state {state}"))),
        };
        Ok(OpenDelivery {
            id: DeliveryId::from_uuid(self.delivery_id),
            tenant_id: TenantId::from_uuid(self.tenant_id),
            endpoint_id: EndpointId::from_uuid(self.endpoint_id),
            state,
            attempt_count: count(self.attempt_count)?,
            attempt_base: count(self.attempt_base)?,
            next_attempt_at: self.next_attempt_at,
            last: AttemptOutcome::from_columns(self.status_code, self.error_kind),
            retry_open: self.retry_open,
        })
    }
}

fn count(value: i32) -> Result<u32> {
    u32::try_from(value).map_err(Error::bug)
}
