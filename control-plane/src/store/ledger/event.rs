//! Events: reading what was emitted.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use sqlx::{AssertSqlSafe, FromRow};
use uuid::Uuid;

use crate::model::{
    event::{Event, inbound_id},
    event_type::EventTypeName,
    id::{EventId, InboundId, Shard, SourceId, TenantId},
};
use crate::store::{
    OneOf, Result, Store,
    view::reading::Reading,
    view::scan::{SLICE_ROWS_MAX, Scan, Scanned, floor, last_below, scan_floor},
};

/// An event without its payload.
#[derive(Debug, Clone)]
pub(crate) struct EventSummary {
    /// The event; its payload is empty.
    pub event: Event,
    /// How long the payload is, in bytes.
    pub payload_bytes: u32,
}

/// Which events to list, newest first.
#[derive(Debug, Clone)]
pub(crate) struct EventFilter<'a> {
    /// The tenant's shard.
    pub shard: Shard,
    /// The tenant.
    pub tenant_id: TenantId,
    /// Only this type.
    pub event_type: Option<&'a str>,
    /// The first id that may be listed.
    pub from: Uuid,
    /// The first id that may not be listed any more.
    pub below: Uuid,
    /// How many.
    pub limit: i64,
}

/// Of how many events one statement reads what deliveries show: a page of them.
const BRIEFS_AT_ONCE: usize = 500;

#[derive(FromRow)]
struct EventRow {
    event_id: Uuid,
    tenant_id: Uuid,
    event_type: String,
    payload: Vec<u8>,
    content_type: String,
    occurred_at: i64,
    delivery_count: i32,
    traceparent: Option<String>,
    source_id: Option<Uuid>,
    batch_id: Option<Uuid>,
    headers: Option<String>,
}

#[derive(FromRow)]
struct SummaryRow {
    #[sqlx(flatten)]
    event: EventRow,
    payload_bytes: i32,
}

/// A page of a tenant's events.
pub(in crate::store) const LIST: &str = "select event_id, tenant_id, event_type, substr(payload, 1, 0) as payload, content_type, occurred_at,
            delivery_count, traceparent, source_id, batch_id, headers, length(payload) as payload_bytes
     from event
     where shard = $1 and tenant_id = $2 and event_id >= $3 and event_id < $4
       and ($5 is null or event_type = $5)
     order by event_id desc
     limit $6";
/// Where it stops.
pub(in crate::store) const FLOOR: &str = floor!("event", "event_id");

impl Store {
    /// One event of a tenant.
    pub(crate) async fn event_get(
        &self,
        tenant_id: TenantId,
        id: EventId,
    ) -> Result<Option<Event>> {
        let row = read!(self, conn => {
            sqlx::query_as::<_, EventRow>(
                "select event_id, tenant_id, event_type, payload, content_type, occurred_at, delivery_count, traceparent,
                        source_id, batch_id, headers
                 from event
                 where shard = $1 and event_id = $2 and tenant_id = $3",
            )
            .bind(id.shard().column())
            .bind(id.uuid())
            .bind(tenant_id.uuid())
            .fetch_optional(conn)
            .await
        })?;
        row.map(EventRow::into_event).transpose()
    }

    /// The event that a tenant's idempotency key stands for.
    pub(crate) async fn event_by_key(
        &self,
        shard: Shard,
        tenant_id: TenantId,
        key: &str,
    ) -> Result<Option<EventId>> {
        const SQL: &str = "
            select event_id from event_key
            where shard = $1 and tenant_id = $2 and idempotency_key = $3";
        let id: Option<Uuid> = read!(self, conn => {
            let query = sqlx::query_scalar(SQL).bind(shard.column()).bind(tenant_id.uuid());
            query.bind(key).fetch_optional(conn).await
        })?;
        Ok(id.map(EventId::from_uuid))
    }

    /// A tenant's events, newest first, without payloads.
    pub(crate) async fn event_list(
        &self,
        filter: &EventFilter<'_>,
    ) -> Result<Scanned<EventSummary>> {
        let mut reading = Reading::begin(self).await?;
        let mut scan = Scan::new(filter.limit);
        while let Some(slice) = scan.next() {
            let looked_at = EventFilter {
                below: slice.after.unwrap_or(filter.below),
                limit: slice.limit,
                ..*filter
            };
            scan.add(event_slice(&mut reading, &looked_at).await?);
        }
        Ok(scan.end())
    }

    /// The events of these ids, as far as they exist, in any order: what leases need and memory does not hold.
    pub(crate) async fn event_load(&self, ids: &[EventId]) -> Result<Vec<Arc<Event>>> {
        let rows = match self.reader() {
            OneOf::Postgres(pool) => {
                sqlx::query_as::<_, EventRow>(
                    "select e.event_id, e.tenant_id, e.event_type, e.payload, e.content_type, e.occurred_at,
                            e.delivery_count, e.traceparent, e.source_id, e.batch_id, e.headers
                     from unnest($1::smallint[], $2::uuid[]) as i (shard, event_id)
                     join event e using (shard, event_id)",
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
                    let row = sqlx::query_as::<_, EventRow>(
                        "select event_id, tenant_id, event_type, payload, content_type, occurred_at, delivery_count,
                                traceparent, source_id, batch_id, headers
                         from event
                         where shard = $1 and event_id = $2",
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
        rows.into_iter()
            .map(|row| row.into_event().map(Arc::new))
            .collect()
    }
}

async fn event_slice(
    reading: &mut Reading,
    filter: &EventFilter<'_>,
) -> Result<Scanned<EventSummary>> {
    let ids = (filter.from, last_below(filter.below));
    let stopped_at = scan_floor(reading, FLOOR, filter.shard, ids, SLICE_ROWS_MAX).await?;
    let rows = read_on!(reading, conn => {
        sqlx::query_as::<_, SummaryRow>(LIST)
            .bind(filter.shard.column())
            .bind(filter.tenant_id.uuid())
            .bind(stopped_at.unwrap_or(filter.from))
            .bind(filter.below)
            .bind(filter.event_type)
            .bind(filter.limit)
            .fetch_all(conn)
            .await
    })?;
    let rows = rows.into_iter().map(SummaryRow::into_summary);
    Ok(Scanned {
        rows: rows.collect::<Result<_>>()?,
        stopped_at,
    })
}

/// What a delivery shows of its event.
#[derive(Debug, Clone)]
pub(crate) struct EventBrief {
    /// Its type.
    pub event_type: EventTypeName,
    /// The inbound request that brought it. None: it was emitted, or is a replay.
    pub origin: Option<InboundId>,
}

#[derive(FromRow)]
struct BriefRow {
    event_id: Uuid,
    event_type: String,
    occurred_at: i64,
    source_id: Option<Uuid>,
    batch_id: Option<Uuid>,
}

impl Store {
    /// What deliveries show of these events of one shard. Those that are gone are not among them.
    pub(crate) async fn event_briefs(
        &self,
        shard: Shard,
        ids: &[EventId],
    ) -> Result<HashMap<EventId, EventBrief>> {
        let mut reading = Reading::begin(self).await?;
        event_briefs(&mut reading, shard, ids).await
    }
}

/// The same within a read.
pub(in crate::store) async fn event_briefs(
    reading: &mut Reading,
    shard: Shard,
    ids: &[EventId],
) -> Result<HashMap<EventId, EventBrief>> {
    let mut briefs = HashMap::new();
    for ids in ids.chunks(BRIEFS_AT_ONCE) {
        let sql = briefs_sql(ids.len());
        let rows = read_on!(reading, conn => {
            let mut query = sqlx::query_as::<_, BriefRow>(AssertSqlSafe(sql)).bind(shard.column());
            for id in ids {
                query = query.bind(id.uuid());
            }
            query.fetch_all(conn).await
        })?;
        for row in rows {
            let id = EventId::from_uuid(row.event_id);
            briefs.insert(id, row.into_brief()?);
        }
    }
    Ok(briefs)
}

impl BriefRow {
    fn into_brief(self) -> Result<EventBrief> {
        let id = EventId::from_uuid(self.event_id);
        let source = self.source_id.map(SourceId::from_uuid);
        let batch = self.batch_id.map(InboundId::from_uuid);
        let event_type = EventTypeName::parse(&self.event_type);
        Ok(EventBrief {
            event_type: event_type.map_err(crate::store::Error::bug)?,
            origin: inbound_id(id, source, batch, self.occurred_at),
        })
    }
}

/// What deliveries show of so many events of one shard.
pub(in crate::store) fn briefs_sql(events: usize) -> String {
    let ids = (2..2 + events).map(|place| format!("${place}"));
    let ids = ids.collect::<Vec<_>>().join(", ");
    format!(
        "select event_id, event_type, occurred_at, source_id, batch_id
         from event
         where shard = $1 and event_id in ({ids})"
    )
}

/// The text of the column that holds an event's headers. None: it has none.
pub(in crate::store) fn headers_column(headers: &[(String, String)]) -> Option<String> {
    // A list of pairs of strings always has a JSON text.
    (!headers.is_empty()).then(|| serde_json::to_string(headers).unwrap_or_default())
}

fn read_headers(column: Option<&str>) -> Result<Vec<(String, String)>> {
    column.map_or(Ok(Vec::new()), |text| {
        serde_json::from_str(text).map_err(crate::store::Error::bug)
    })
}

impl EventRow {
    fn into_event(self) -> Result<Event> {
        Ok(Event {
            id: EventId::from_uuid(self.event_id),
            tenant_id: TenantId::from_uuid(self.tenant_id),
            event_type: EventTypeName::parse(&self.event_type).map_err(crate::store::Error::bug)?,
            payload: Bytes::from(self.payload),
            content_type: self.content_type,
            occurred_at: self.occurred_at,
            delivery_count: u16::try_from(self.delivery_count).map_err(crate::store::Error::bug)?,
            traceparent: self.traceparent,
            source_id: self.source_id.map(SourceId::from_uuid),
            batch_id: self.batch_id.map(InboundId::from_uuid),
            headers: read_headers(self.headers.as_deref())?,
        })
    }
}

impl SummaryRow {
    fn into_summary(self) -> Result<EventSummary> {
        Ok(EventSummary {
            event: self.event.into_event()?,
            payload_bytes: u32::try_from(self.payload_bytes).map_err(crate::store::Error::bug)?,
        })
    }
}
