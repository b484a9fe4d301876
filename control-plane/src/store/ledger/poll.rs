//! The state of polling in the database, and the drift that it found.

use std::collections::HashSet;

use uuid::Uuid;

use crate::model::{
    event_type::EventTypeName,
    id::{InboundId, Shard, SourceId, uuid_floor},
    shard::ShardSet,
    source::Source,
};
use crate::store::{
    Error, OneOf, Result, Store, shard, view::inbound_view, view::reading::Reading,
    view::scan::scan_floor,
};

/// Where polling of one source stands.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct PollState {
    /// What the next pull sends; empty at first.
    pub cursor: String,
    /// The list that it is a cursor of; empty at first.
    pub list: Vec<u8>,
    /// When it was last polled with success.
    pub polled_at: Option<i64>,
    /// When it is polled next.
    pub next_poll_at: i64,
    /// How many pulls have failed since the last success.
    pub failures: i32,
    /// Why the last pull failed; empty when it did not.
    pub last_error: String,
}

/// An accepted request that polling brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DriftRow {
    /// The request.
    pub id: InboundId,
    /// The provider's id; empty when it has none.
    pub provider_event_id: String,
    /// The event's type.
    pub event_type: EventTypeName,
    /// When polling found it.
    pub received_at: i64,
}

#[derive(sqlx::FromRow)]
struct Row {
    request_id: Uuid,
    provider_event_id: String,
    event_type: String,
    received_at: i64,
}

impl TryFrom<Row> for DriftRow {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            id: InboundId::from_uuid(row.request_id),
            provider_event_id: row.provider_event_id,
            event_type: EventTypeName::parse(&row.event_type).map_err(Error::bug)?,
            received_at: row.received_at,
        })
    }
}

/// How many requests a report of drift looks at.
const DRIFT_ROWS_MAX: i64 = 100_000;

/// The sources of some shards that are to be polled, on PostgreSQL and on SQLite.
pub(in crate::store) const DUE: (&str, &str) = (
    "select s.shard, p.source_id
     from unnest($1) as s (shard)
     cross join lateral (
         select source_id, next_poll_at from poll
         where shard = s.shard and next_poll_at <= $2
         order by next_poll_at limit $3
     ) as p
     order by p.next_poll_at limit $3",
    "select p.shard, p.source_id
     from (select value as shard from json_each($1)) as s
     cross join poll p
     where p.shard = s.shard and p.next_poll_at <= $2
     order by p.next_poll_at limit $3",
);

/// The sources of some shards, on PostgreSQL and on SQLite.
const SOURCES: (&str, &str) = (
    "select source_id from poll where shard = any($1)",
    "select source_id from poll where shard in (select value from json_each($1))",
);

/// How many came which way.
pub(in crate::store) const DRIFT_COUNTS: &str = "
    select
        coalesce(sum(case when channel = 1 then 1 else 0 end), 0),
        coalesce(sum(case when channel = 2 then 1 else 0 end), 0)
    from (
        select source_id, channel, verdict, request_id, batch_id
        from inbound_request
        where shard = $1 and request_id >= $3
        order by request_id desc
        limit $4
    ) as looked_at
    where source_id = $2 and verdict = 1 and (batch_id is null or batch_id <> request_id)";
/// The newest that came by polling first.
pub(in crate::store) const DRIFT_LIST: &str = "
    select request_id, provider_event_id, event_type, received_at
    from inbound_request
    where shard = $1 and source_id = $2 and request_id >= $3 and request_id < $4 and channel = 2 and verdict = 1
    order by request_id desc
    limit $5";

impl Store {
    /// Where polling of a source stands. None: it is not polled.
    pub(crate) async fn poll_get(&self, shard: Shard, id: SourceId) -> Result<Option<PollState>> {
        const SQL: &str = "
            select cursor, list, polled_at, next_poll_at, failures, last_error
            from poll
            where shard = $1 and source_id = $2";
        Ok(read!(self, conn => {
            let query = sqlx::query_as(SQL).bind(shard.column()).bind(id.uuid());
            query.fetch_optional(conn).await
        })?)
    }

    /// Up to `limit` sources of some shards whose time to be polled has come by `now`, the one that waits longest first.
    pub(crate) async fn poll_due(
        &self,
        shards: &ShardSet,
        now: i64,
        limit: i64,
    ) -> Result<Vec<(Shard, SourceId)>> {
        let rows: Vec<(i16, Uuid)> = match self.reader() {
            OneOf::Postgres(pool) => {
                let query = sqlx::query_as(DUE.0).bind(shards.columns());
                query.bind(now).bind(limit).fetch_all(pool).await?
            }
            OneOf::Sqlite(pool) => {
                let query = sqlx::query_as(DUE.1).bind(shards.json());
                query.bind(now).bind(limit).fetch_all(pool).await?
            }
        };
        let typed = |(column, id)| Ok((shard(column)?, SourceId::from_uuid(id)));
        rows.into_iter().map(typed).collect()
    }

    /// The sources of some shards that are scheduled.
    pub(crate) async fn poll_sources(&self, shards: &ShardSet) -> Result<HashSet<SourceId>> {
        let ids: Vec<Uuid> = match self.reader() {
            OneOf::Postgres(pool) => {
                let query = sqlx::query_scalar(SOURCES.0).bind(shards.columns());
                query.fetch_all(pool).await?
            }
            OneOf::Sqlite(pool) => {
                let query = sqlx::query_scalar(SOURCES.1).bind(shards.json());
                query.fetch_all(pool).await?
            }
        };
        Ok(ids.into_iter().map(SourceId::from_uuid).collect())
    }

    /// Has a source polled from `next_poll_at` on. The cursor is kept.
    pub(crate) async fn poll_schedule(&self, source: &Source, next_poll_at: i64) -> Result<()> {
        const SQL: &str = "
            insert into poll (shard, source_id, cursor, list, polled_at, next_poll_at, failures, last_error)
            values ($1, $2, '', $3, null, $4, 0, '')
            on conflict (shard, source_id) do update
            set next_poll_at = $4, failures = 0, last_error = ''";
        let mut conn = self.acquire().await?;
        on!(&mut conn, conn => {
            let query = sqlx::query(SQL).bind(source.shard.column()).bind(source.id.uuid());
            query.bind(b"".as_slice()).bind(next_poll_at).execute(&mut **conn).await.map(drop)
        })?;
        Ok(())
    }

    /// Forgets where polling of a source stands, because it is polled no more.
    pub(crate) async fn poll_forget(&self, shard: Shard, id: SourceId) -> Result<()> {
        const SQL: &str = "delete from poll where shard = $1 and source_id = $2";
        let mut conn = self.acquire().await?;
        on!(&mut conn, conn => {
            let query = sqlx::query(SQL).bind(shard.column()).bind(id.uuid());
            query.execute(&mut **conn).await.map(drop)
        })?;
        Ok(())
    }

    /// Notes that everything of a list up to `cursor` is durable, in the pull that was due at `due_at`. False: the source
    /// was set to be polled otherwise in the meantime, and the cursor means nothing any more.
    pub(crate) async fn poll_advance(
        &self,
        (shard, id): (Shard, SourceId),
        due_at: i64,
        (list, cursor): (&[u8], &str),
    ) -> Result<bool> {
        const SQL: &str = "
            update poll
            set list = $4, cursor = $5
            where shard = $1 and source_id = $2 and next_poll_at = $3";
        let mut conn = self.acquire().await?;
        Ok(on!(&mut conn, conn => {
            let query = sqlx::query(SQL).bind(shard.column()).bind(id.uuid()).bind(due_at);
            query.bind(list).bind(cursor).execute(&mut **conn).await?.rows_affected()
        }) == 1)
    }

    /// Notes how the pull ended that was due at `due_at`, and when the next one begins; nothing when the source was set to
    /// be polled otherwise in the meantime.
    pub(crate) async fn poll_end(
        &self,
        (shard, id): (Shard, SourceId),
        due_at: i64,
        error: Option<&str>,
        now: i64,
        next_poll_at: i64,
    ) -> Result<()> {
        const SQL: &str = "
            update poll
            set polled_at = case when $4 = '' then $5 else polled_at end,
                failures = case when $4 = '' then 0 else failures + 1 end,
                last_error = $4, next_poll_at = $6
            where shard = $1 and source_id = $2 and next_poll_at = $3";
        let mut conn = self.acquire().await?;
        on!(&mut conn, conn => {
            let query = sqlx::query(SQL).bind(shard.column()).bind(id.uuid()).bind(due_at);
            let query = query.bind(error.unwrap_or_default()).bind(now).bind(next_poll_at);
            query.execute(&mut **conn).await.map(drop)
        })?;
        Ok(())
    }

    /// Since when drift is counted that shall be counted since `from`: later, when there are more requests since then than a
    /// report looks at.
    pub(crate) async fn poll_drift_from(&self, shard: Shard, from: i64) -> Result<i64> {
        let ids = (uuid_floor(from), Uuid::max());
        let mut reading = Reading::begin(self).await?;
        let sql = inbound_view::FLOOR;
        let floor = scan_floor(&mut reading, sql, shard, ids, DRIFT_ROWS_MAX);
        let floor = floor.await?.map(InboundId::from_uuid);
        Ok(floor.map_or(from, |id| id.event().created_at()))
    }

    /// How many events of a source came by webhook first, and how many by polling, since `from`.
    pub(crate) async fn poll_drift_counts(
        &self,
        shard: Shard,
        source: SourceId,
        from: i64,
    ) -> Result<(i64, i64)> {
        Ok(read!(self, conn => {
            let query = sqlx::query_as(DRIFT_COUNTS).bind(shard.column()).bind(source.uuid());
            query.bind(uuid_floor(from)).bind(DRIFT_ROWS_MAX).fetch_one(conn).await
        })?)
    }

    /// Up to `limit` events of a source that came by polling first since `from` and have an id below this one, the newest
    /// first.
    pub(crate) async fn poll_drift_list(
        &self,
        shard: Shard,
        source: SourceId,
        from: i64,
        below: Uuid,
        limit: i64,
    ) -> Result<Vec<DriftRow>> {
        let rows: Vec<Row> = read!(self, conn => {
            let query = sqlx::query_as(DRIFT_LIST).bind(shard.column()).bind(source.uuid());
            query.bind(uuid_floor(from)).bind(below).bind(limit).fetch_all(conn).await
        })?;
        rows.into_iter().map(DriftRow::try_from).collect()
    }
}
