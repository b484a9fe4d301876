//! Backlogs: how much waits for an endpoint.

use sqlx::FromRow;
use uuid::Uuid;

use crate::model::id::{EndpointId, EventId, Shard};
use crate::store::{Error, Result, Store};

/// How far open deliveries of one state are counted.
const COUNTED_MAX: i64 = 10_000;

/// What waits for an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Backlog {
    /// The endpoint.
    pub endpoint_id: EndpointId,
    /// How many deliveries are pending, as far as they are counted.
    pub pending: u32,
    /// How many are dead, as far as they are counted.
    pub dead: u32,
    /// When the pending one is due that is due first.
    pub oldest_due_at: Option<i64>,
}

#[derive(FromRow)]
struct Row {
    endpoint_id: Uuid,
    pending: i64,
    dead: i64,
    oldest_due_at: Option<i64>,
}

macro_rules! backlog {
    ($id:literal, $from:literal) => {
        concat!(
            "select ",
            $id,
            " as endpoint_id,
                (select count(*) from (select 1 as one from delivery
                    where shard = $2 and endpoint_id = ",
            $id,
            " and state = 1 limit $3) p) as pending,
                (select count(*) from (select 1 as one from delivery
                    where shard = $2 and endpoint_id = ",
            $id,
            " and state = 2 limit $3) d) as dead,
                (select min(next_attempt_at) from delivery
                    where shard = $2 and endpoint_id = ",
            $id,
            " and state = 1) as oldest_due_at",
            $from
        )
    };
}

pub(in crate::store) const MANY: &str = backlog!("i.id", " from unnest($1::uuid[]) as i (id)");
pub(in crate::store) const ONE: &str = backlog!("$1", "");

/// How many deliveries of an event are pending, and how many dead.
const OF_EVENT: &str = "
    select count(*) filter (where state = 1), count(*) filter (where state = 2)
    from delivery where shard = $1 and delivery_id between $2 and $3";

impl Store {
    /// How many deliveries of an event are pending, and how many dead.
    pub(crate) async fn delivery_open_counts(&self, id: EventId) -> Result<(u32, u32)> {
        let (first, last) = id.delivery_range();
        let (pending, dead): (i64, i64) = read!(self, conn => {
            let query = sqlx::query_as(OF_EVENT).bind(id.shard().column());
            query.bind(first.uuid()).bind(last.uuid()).fetch_one(conn).await
        })?;
        Ok((
            u32::try_from(pending).map_err(Error::bug)?,
            u32::try_from(dead).map_err(Error::bug)?,
        ))
    }

    /// What waits for each of these endpoints, in any order.
    pub(crate) async fn backlogs(&self, shard: Shard, ids: &[EndpointId]) -> Result<Vec<Backlog>> {
        let ids = ids.iter().map(|id| id.uuid()).collect::<Vec<_>>();
        let rows: Vec<Row> = read_many!(self, &ids, MANY, ONE, shard.column(), COUNTED_MAX)?;
        rows.into_iter().map(Row::into_backlog).collect()
    }
}

impl Row {
    fn into_backlog(self) -> Result<Backlog> {
        let count = |count: i64| u32::try_from(count).map_err(Error::bug);
        Ok(Backlog {
            endpoint_id: EndpointId::from_uuid(self.endpoint_id),
            pending: count(self.pending)?,
            dead: count(self.dead)?,
            oldest_due_at: self.oldest_due_at,
        })
    }
}
