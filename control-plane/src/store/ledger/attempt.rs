//! Attempts: reading the log.

use bytes::Bytes;
use sqlx::FromRow;
use uuid::Uuid;

use super::trace;
use crate::model::{
    delivery::{Attempt, AttemptOutcome, ErrorKind},
    id::{DeliveryId, EndpointId, EventId, Shard, TenantId},
    lease::{HolderId, LeaseKey},
};
use crate::store::{Error, Result, Store};

#[derive(FromRow)]
struct AttemptRow {
    delivery_id: Uuid,
    number: i32,
    lease_id: i64,
    endpoint_id: Uuid,
    tenant_id: Uuid,
    status_code: Option<i16>,
    error_kind: Option<i16>,
    started_at: i64,
    duration_ms: i32,
    holder_kind: i16,
    holder_id: Uuid,
    excerpt: Option<Vec<u8>>,
    late: bool,
    trace: Option<Vec<u8>>,
}

/// A page of a delivery's attempts.
pub(in crate::store) const LIST: &str = "select delivery_id, number, lease_id, endpoint_id, tenant_id, status_code, error_kind, started_at,
            duration_ms, holder_kind, holder_id, excerpt, late, trace
     from attempt
     where shard = $1 and delivery_id = $2 and (number, lease_id) > ($3, $4)
     order by number, lease_id
     limit $5";
/// A page of the attempts of an event's deliveries.
pub(in crate::store) const LIST_OF_EVENT: &str = "select delivery_id, number, lease_id, endpoint_id, tenant_id, status_code, error_kind, started_at,
            duration_ms, holder_kind, holder_id, excerpt, late, trace
     from attempt
     where shard = $1 and delivery_id >= $2 and delivery_id <= $3
       and (delivery_id, number, lease_id) > ($2, $4, $5)
     order by delivery_id, number, lease_id
     limit $6";

/// A page of an endpoint's attempts that failed in a time, newest first, after the one of this instant and place.
pub(in crate::store) const LIST_FAILED: &str = "select delivery_id, number, lease_id, endpoint_id, tenant_id, status_code, error_kind, started_at,
            duration_ms, holder_kind, holder_id, excerpt, late, trace
     from attempt
     where shard = $1 and endpoint_id = $2 and not succeeded and started_at >= $3 and started_at <= $4
       and (started_at, delivery_id, number, lease_id) < ($4, $5, $6, $7)
     order by started_at desc, delivery_id desc, number desc, lease_id desc
     limit $8";

/// Which failed attempts of an endpoint to list, the newest first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FailedFilter {
    /// The endpoint's shard.
    pub shard: Shard,
    /// The endpoint.
    pub endpoint_id: EndpointId,
    /// The first instant at which one may have begun.
    pub from: i64,
    /// Where to go on: only those before this one.
    pub before: FailedPlace,
    /// How many.
    pub limit: i64,
}

/// Where in an endpoint's failed attempts one stands: its instant, its delivery, its number and its lease.
pub(crate) type FailedPlace = (i64, DeliveryId, i32, i64);

impl Store {
    /// The attempts of an endpoint that failed.
    pub(crate) async fn attempt_list_failed(&self, filter: &FailedFilter) -> Result<Vec<Attempt>> {
        let (started_at, delivery_id, number, lease_id) = filter.before;
        let rows = read!(self, conn => {
            sqlx::query_as::<_, AttemptRow>(LIST_FAILED)
                .bind(filter.shard.column())
                .bind(filter.endpoint_id.uuid())
                .bind(filter.from)
                .bind(started_at)
                .bind(delivery_id.uuid())
                .bind(number)
                .bind(lease_id)
                .bind(filter.limit)
                .fetch_all(conn)
                .await
        })?;
        rows.into_iter().map(AttemptRow::into_attempt).collect()
    }

    /// The numbers and leases of a delivery's attempts.
    pub(crate) async fn attempt_numbers(&self, id: DeliveryId) -> Result<Vec<(u32, u64)>> {
        let rows = read!(self, conn => {
            sqlx::query_as::<_, (i32, i64)>(
                "select number, lease_id from attempt where shard = $1 and delivery_id = $2",
            )
            .bind(id.shard().column())
            .bind(id.uuid())
            .fetch_all(conn)
            .await
        })?;
        let typed = |(number, lease_id): (i32, i64)| {
            let number = u32::try_from(number).map_err(Error::bug)?;
            Ok((number, lease_id.cast_unsigned()))
        };
        rows.into_iter().map(typed).collect()
    }

    /// A delivery's attempts after the one of this number and lease, by number.
    pub(crate) async fn attempt_list(
        &self,
        id: DeliveryId,
        after: (i32, i64),
        limit: i64,
    ) -> Result<Vec<Attempt>> {
        let rows = read!(self, conn => {
            sqlx::query_as::<_, AttemptRow>(
                LIST,
            )
            .bind(id.shard().column())
            .bind(id.uuid())
            .bind(after.0)
            .bind(after.1)
            .bind(limit)
            .fetch_all(conn)
            .await
        })?;
        rows.into_iter().map(AttemptRow::into_attempt).collect()
    }

    /// The attempts of an event's deliveries after the one of this delivery, number and lease, in that order.
    pub(crate) async fn attempt_list_event(
        &self,
        id: EventId,
        after: (DeliveryId, i32, i64),
        limit: i64,
    ) -> Result<Vec<Attempt>> {
        let rows = read!(self, conn => {
            sqlx::query_as::<_, AttemptRow>(
                LIST_OF_EVENT,
            )
            .bind(id.shard().column())
            .bind(after.0.uuid())
            .bind(id.delivery_range().1.uuid())
            .bind(after.1)
            .bind(after.2)
            .bind(limit)
            .fetch_all(conn)
            .await
        })?;
        rows.into_iter().map(AttemptRow::into_attempt).collect()
    }
}

impl AttemptRow {
    fn into_attempt(self) -> Result<Attempt> {
        let code = self
            .status_code
            .map(u16::try_from)
            .transpose()
            .map_err(Error::bug)?;
        let error = self.error_kind.map(|kind| {
            ErrorKind::from_column(kind).ok_or_else(|| Error::bug(format!("error kind {kind}")))
        });
        let trace = self.trace.as_deref().map(trace::from_column);
        let trace = trace.transpose().map_err(Error::bug)?;
        let holder = HolderId::from_columns(self.holder_kind, self.holder_id);
        Ok(Attempt {
            lease: LeaseKey {
                lease_id: self.lease_id.cast_unsigned(),
                delivery_id: DeliveryId::from_uuid(self.delivery_id),
                attempt: u32::try_from(self.number).map_err(Error::bug)?,
            },
            endpoint_id: EndpointId::from_uuid(self.endpoint_id),
            tenant_id: TenantId::from_uuid(self.tenant_id),
            outcome: AttemptOutcome {
                status_code: code,
                error: error.transpose()?,
            },
            started_at: self.started_at,
            duration_ms: u32::try_from(self.duration_ms).map_err(Error::bug)?,
            holder: holder.ok_or_else(|| Error::bug(format!("holder {}", self.holder_kind)))?,
            excerpt: Bytes::from(self.excerpt.unwrap_or_default()),
            late: self.late,
            trace: trace.map(Box::new),
        })
    }
}
