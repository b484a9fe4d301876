//! Open deliveries: what the scheduler reads and what ends or restarts them other than an attempt.

use sqlx::FromRow;
use uuid::Uuid;

use super::{Error, OneOf, Result, Store, Tx};
use crate::model::{
    delivery::{DeadReason, OpenDelivery, OpenState},
    id::{DeliveryId, EndpointId, Shard, TenantId},
};

/// The value of the column `state` of a delivery that waits.
pub(super) const PENDING: i16 = 1;
/// The value of the column `state` of a dead letter.
pub(super) const DEAD: i16 = 2;

/// A waiting delivery as the scheduler holds it.
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
pub(super) struct DeliveryRow {
    pub(super) delivery_id: Uuid,
    pub(super) endpoint_id: Uuid,
    pub(super) tenant_id: Uuid,
    state: i16,
    attempt_count: i32,
    attempt_base: i32,
    next_attempt_at: i64,
    dead_at: Option<i64>,
    dead_reason: Option<i16>,
    retry_open: bool,
}

impl Store {
    /// The endpoints that have something waiting which is due at or before an instant.
    pub(crate) async fn delivery_lanes(&self, due_by: i64) -> Result<Vec<(Shard, EndpointId)>> {
        let rows = read!(self, conn => {
            sqlx::query_as::<_, (i16, Uuid)>(
                "select distinct shard, endpoint_id from delivery where state = 1 and next_attempt_at <= $1",
            )
            .bind(due_by)
            .fetch_all(conn)
            .await
        })?;
        rows.into_iter()
            .map(|(shard, endpoint)| {
                let shard = u8::try_from(shard).map_err(Error::bug)?;
                Ok((Shard(shard), EndpointId::from_uuid(endpoint)))
            })
            .collect()
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

    /// Counts what is open. Reads an index from end to end: for a gauge every few seconds, not for a hot path.
    pub(crate) async fn delivery_counts(&self) -> Result<OpenCounts> {
        let (pending, dead, oldest_due_at, oldest_dead_at) = read!(self, conn => {
            sqlx::query_as::<_, (i64, i64, Option<i64>, Option<i64>)>(
                "select (select count(*) from delivery where state = 1),
                        (select count(*) from delivery where state = 2),
                        (select min(next_attempt_at) from delivery where state = 1),
                        (select min(dead_at) from delivery where state = 2)",
            )
            .fetch_one(conn)
            .await
        })?;
        Ok(OpenCounts {
            pending,
            dead,
            oldest_due_at,
            oldest_dead_at,
        })
    }
}

impl Tx {
    /// Whether an endpoint has anything open.
    pub(crate) async fn delivery_open_exists(
        &mut self,
        shard: Shard,
        endpoint_id: EndpointId,
    ) -> Result<bool> {
        let found = on!(self, tx => {
            sqlx::query_as::<_, (i32,)>("select 1 from delivery where shard = $1 and endpoint_id = $2 limit 1")
                .bind(shard.column())
                .bind(endpoint_id.uuid())
                .fetch_optional(&mut **tx)
                .await
        })?;
        Ok(found.is_some())
    }

    /// Ends as dead what lost too many leases, unless it was ended or attempted in the meantime.
    pub(crate) async fn delivery_lose(
        &mut self,
        id: DeliveryId,
        attempt_count: u32,
        now_ms: i64,
    ) -> Result<bool> {
        let done = on!(self, tx => {
            sqlx::query(
                "update delivery
                 set state = 2, dead_at = $1, dead_reason = $2, retry_open = false
                 where shard = $3 and delivery_id = $4 and state = 1 and attempt_count = $5",
            )
            .bind(now_ms)
            .bind(DeadReason::LeaseLost.column())
            .bind(id.shard().column())
            .bind(id.uuid())
            .bind(i32::try_from(attempt_count).unwrap_or(i32::MAX))
            .execute(&mut **tx)
            .await
            .map(|done| done.rows_affected())
        })?;
        Ok(done == 1)
    }

    /// One open delivery of a tenant, locked until the transaction ends.
    pub(crate) async fn delivery_lock(
        &mut self,
        tenant_id: TenantId,
        id: DeliveryId,
    ) -> Result<Option<OpenDelivery>> {
        let row = match self {
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
        on!(self, tx => {
            sqlx::query(
                "update delivery
                 set attempt_base = case when state = 2 then attempt_count else attempt_base end,
                     state = 1, dead_at = null, dead_reason = null, next_attempt_at = $1, retry_open = true
                 where shard = $2 and delivery_id = $3",
            )
            .bind(now_ms)
            .bind(id.shard().column())
            .bind(id.uuid())
            .execute(&mut **tx)
            .await
            .map(drop)
        })?;
        Ok(())
    }

    /// Removes an open delivery.
    pub(crate) async fn delivery_remove(&mut self, id: DeliveryId) -> Result<()> {
        on!(self, tx => {
            sqlx::query("delete from delivery where shard = $1 and delivery_id = $2")
                .bind(id.shard().column())
                .bind(id.uuid())
                .execute(&mut **tx)
                .await
                .map(drop)
        })?;
        Ok(())
    }
}

impl DeliveryRow {
    pub(super) fn into_open(self) -> Result<OpenDelivery> {
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
            retry_open: self.retry_open,
        })
    }
}

fn count(value: i32) -> Result<u32> {
    u32::try_from(value).map_err(Error::bug)
}
