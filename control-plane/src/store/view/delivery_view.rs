//! Deliveries as operators see them: open ones from their table, ended ones from the logs that ended them.

use std::collections::BTreeSet;

use sqlx::FromRow;
use uuid::Uuid;

use crate::model::{
    delivery::{AttemptOutcome, DeadReason, DeliveryState, DeliveryView, ErrorKind, ViewState},
    id::{DeliveryId, EndpointId, Shard, TenantId},
};
use crate::store::{
    Error, Result, Store,
    ledger::event::event_briefs,
    view::reading::Reading,
    view::scan::{SLICE_ROWS_MAX, Scan, Scanned, floor, last_below, scan_floor},
};

/// Which deliveries to list, those of the newest events first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DeliveryFilter<'a> {
    /// The tenant's shard.
    pub shard: Shard,
    /// The tenant.
    pub tenant_id: TenantId,
    /// Only those in this state.
    pub state: Option<DeliveryState>,
    /// Only those to this endpoint.
    pub endpoint_id: Option<EndpointId>,
    /// Only those that are open and whose last attempt failed so.
    pub error: Option<ErrorKind>,
    /// Only those whose last attempt was answered with this status code.
    pub status_code: Option<u16>,
    /// Only those that are dead, and died from the first instant on and before the second.
    pub died: Option<(i64, i64)>,
    /// Only those of an event of this type.
    pub event_type: Option<&'a str>,
    /// The first id that may be listed.
    pub from: Uuid,
    /// The last id that may be listed.
    pub through: Uuid,
    /// How many.
    pub limit: i64,
}

/// How many tables a slice looks at: open, delivered and cancelled.
const KINDS_OF_ROWS: i64 = 3;

#[derive(FromRow)]
struct ViewRow {
    delivery_id: Uuid,
    endpoint_id: Uuid,
    state: i16,
    attempt_count: i32,
    at: i64,
    dead_reason: Option<i16>,
    error_kind: Option<i16>,
    status_code: Option<i16>,
}

/// A page of a tenant's deliveries.
pub(in crate::store) const LIST: &str = "select delivery_id, endpoint_id, state, attempt_count, at, dead_reason, error_kind, status_code
     from (
         select * from (
             select delivery_id, endpoint_id, state, attempt_count,
                    case when state = 1 then next_attempt_at else dead_at end as at, dead_reason,
                    error_kind, status_code
             from delivery
             where $3 in (0, 1, 2) and shard = $1 and tenant_id = $2 and ($3 = 0 or state = $3)
               and ($4 is null or endpoint_id = $4) and delivery_id between $5 and $6
               and ($8 is null or error_kind = $8) and ($9 is null or status_code = $9)
               and ($10 is null or dead_at >= $10 and dead_at < $11)
             order by delivery_id desc
             limit $7
         ) as opened
         union all
         select * from (
             select delivery_id, endpoint_id, cast(3 as smallint), max(number), min(started_at + duration_ms),
                    cast(null as smallint), cast(null as smallint), max(status_code)
             from attempt a
             where $3 in (0, 3) and shard = $1 and tenant_id = $2 and succeeded
               and ($4 is null or endpoint_id = $4) and delivery_id between $5 and $6
               and $8 is null and ($9 is null or status_code = $9) and $10 is null
               and not exists (
                   select 1 from delivery_action x
                   where x.shard = a.shard and x.delivery_id = a.delivery_id and x.kind in (3, 4, 5)
               )
             group by delivery_id, endpoint_id
             order by delivery_id desc
             limit $7
         ) as delivered
         union all
         select * from (
             select delivery_id, endpoint_id, cast(4 as smallint), max(attempt_count), max(acted_at),
                    cast(null as smallint), cast(null as smallint), cast(null as smallint)
             from delivery_action
             where $3 in (0, 4) and shard = $1 and tenant_id = $2 and kind in (3, 4, 5)
               and ($4 is null or endpoint_id = $4) and delivery_id between $5 and $6
               and $8 is null and $9 is null and $10 is null
             group by delivery_id, endpoint_id
             order by delivery_id desc
             limit $7
         ) as cancelled
     ) as viewed
     order by delivery_id desc
     limit $7";
/// Where it stops among the open ones.
pub(in crate::store) const OPEN_FLOOR: &str = floor!("delivery", "delivery_id");
/// Where it stops among the delivered.
pub(in crate::store) const DELIVERED_FLOOR: &str = floor!("attempt", "delivery_id");
/// Where it stops among the cancelled.
pub(in crate::store) const CANCELLED_FLOOR: &str = floor!("delivery_action", "delivery_id");

impl Store {
    /// One delivery of a tenant, open or ended.
    pub(crate) async fn delivery_get(
        &self,
        tenant_id: TenantId,
        id: DeliveryId,
    ) -> Result<Option<DeliveryView>> {
        let filter = DeliveryFilter {
            shard: id.shard(),
            tenant_id,
            state: None,
            endpoint_id: None,
            error: None,
            status_code: None,
            died: None,
            event_type: None,
            from: id.uuid(),
            through: id.uuid(),
            limit: 1,
        };
        let mut reading = Reading::begin(self).await?;
        Ok(delivery_views(&mut reading, &filter).await?.pop())
    }

    /// A tenant's deliveries.
    pub(crate) async fn delivery_list(
        &self,
        filter: &DeliveryFilter<'_>,
    ) -> Result<Scanned<DeliveryView>> {
        let mut reading = Reading::begin(self).await?;
        let mut scan = Scan::new(filter.limit);
        while let Some(slice) = scan.next() {
            let looked_at = DeliveryFilter {
                through: slice.after.map_or(filter.through, last_below),
                limit: slice.limit,
                ..*filter
            };
            scan.add(delivery_slice(&mut reading, &looked_at).await?);
        }
        Ok(scan.end())
    }
}

async fn delivery_slice(
    reading: &mut Reading,
    filter: &DeliveryFilter<'_>,
) -> Result<Scanned<DeliveryView>> {
    let mut stopped_at = None;
    let ids = (filter.from, filter.through);
    for (floor, states) in [
        (
            OPEN_FLOOR,
            &[DeliveryState::Pending, DeliveryState::Dead][..],
        ),
        (DELIVERED_FLOOR, &[DeliveryState::Delivered]),
        (CANCELLED_FLOOR, &[DeliveryState::Cancelled]),
    ] {
        if filter.state.is_none_or(|state| states.contains(&state)) {
            let floor = scan_floor(reading, floor, filter.shard, ids, SLICE_ROWS_MAX);
            stopped_at = stopped_at.max(floor.await?);
        }
    }
    let looked_at = DeliveryFilter {
        from: stopped_at.unwrap_or(filter.from),
        ..*filter
    };
    Ok(Scanned {
        rows: match filter.event_type {
            None => delivery_views(reading, &looked_at).await?,
            Some(event_type) => views_of_type(reading, &looked_at, event_type).await?,
        },
        stopped_at,
    })
}

/// Those in a range of ids whose event has a type. All of the slice are read: what they are of, their rows do not say.
async fn views_of_type(
    reading: &mut Reading,
    filter: &DeliveryFilter<'_>,
    event_type: &str,
) -> Result<Vec<DeliveryView>> {
    let all = DeliveryFilter {
        limit: KINDS_OF_ROWS * SLICE_ROWS_MAX,
        ..*filter
    };
    let mut views = delivery_views(reading, &all).await?;
    let events = views.iter().map(|view| view.id.event());
    let events = events.collect::<BTreeSet<_>>().into_iter();
    let events = events.collect::<Vec<_>>();
    let briefs = event_briefs(reading, filter.shard, &events).await?;
    views.retain(|view| {
        let brief = briefs.get(&view.id.event());
        brief.is_some_and(|brief| brief.event_type.as_str() == event_type)
    });
    views.truncate(usize::try_from(filter.limit).unwrap_or(usize::MAX));
    Ok(views)
}

/// Those in a range of ids. A cancelled one stays cancelled though an attempt under way may have succeeded.
async fn delivery_views(
    reading: &mut Reading,
    filter: &DeliveryFilter<'_>,
) -> Result<Vec<DeliveryView>> {
    let rows = read_on!(reading, conn => {
        sqlx::query_as::<_, ViewRow>(
            LIST,
        )
        .bind(filter.shard.column())
        .bind(filter.tenant_id.uuid())
        .bind(filter.state.map_or(0, DeliveryState::column))
        .bind(filter.endpoint_id.map(EndpointId::uuid))
        .bind(filter.from)
        .bind(filter.through)
        .bind(filter.limit)
        .bind(filter.error.map(ErrorKind::column))
        .bind(filter.status_code.and_then(|code| i16::try_from(code).ok()))
        .bind(filter.died.map(|(from, _)| from))
        .bind(filter.died.map(|(_, before)| before))
        .fetch_all(conn)
        .await
    })?;
    rows.into_iter().map(ViewRow::into_view).collect()
}

impl ViewRow {
    fn into_view(self) -> Result<DeliveryView> {
        let reason = self.dead_reason.and_then(DeadReason::from_column);
        let state = match (DeliveryState::from_column(self.state), reason) {
            (Some(DeliveryState::Pending), None) => ViewState::Pending(self.at),
            (Some(DeliveryState::Dead), Some(reason)) => ViewState::Dead(reason, self.at),
            (Some(DeliveryState::Delivered), None) => ViewState::Delivered(self.at),
            (Some(DeliveryState::Cancelled), None) => ViewState::Cancelled(self.at),
            _ => return Err(Error::bug(format!("delivery in state {}", self.state))),
        };
        Ok(DeliveryView {
            id: DeliveryId::from_uuid(self.delivery_id),
            endpoint_id: EndpointId::from_uuid(self.endpoint_id),
            state,
            attempt_count: u32::try_from(self.attempt_count).map_err(Error::bug)?,
            last: AttemptOutcome::from_columns(self.status_code, self.error_kind),
        })
    }
}
