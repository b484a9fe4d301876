//! The emit statement: events and their deliveries, a batch at a time.
//!
//! One of the two hot statements, so each database has its own text: arrays and data-modifying CTEs on PostgreSQL, which
//! make the whole batch one round trip and one commit; chunked multi-row inserts in one transaction on SQLite.
//!
//! The batch may be repeated as it is when its commit is uncertain: ids are the caller's, and what is there already is
//! left alone. A batch carries rows of many shards only because they live on one server: no row relies on another.

use std::{collections::HashMap, sync::Arc};

use sqlx::{PgConnection, PgExecutor, PgPool, QueryBuilder, Row as _, Sqlite, SqliteConnection};
use uuid::Uuid;

use super::{OneOf, Result, Store, Tx, event::headers_column, pools::SqliteWriter};
use crate::model::{
    event::Event,
    id::{DeliveryId, EndpointId, EventId, InboundId, SourceId},
};

/// How many rows one SQLite insert carries: few distinct statements, and below its limit of 32,766 parameters.
pub(super) const SQLITE_CHUNK: usize = 64;

/// An event to write.
#[derive(Debug, Clone)]
pub(crate) struct EmitRow {
    /// The event.
    pub event: Arc<Event>,
    /// The endpoints that it goes to; delivery number n goes to the nth.
    pub endpoints: Vec<EndpointId>,
    /// Its idempotency key.
    pub key: Option<EmitKey>,
}

impl EmitRow {
    /// The event's deliveries with their endpoints.
    pub(crate) fn deliveries(&self) -> impl Iterator<Item = (DeliveryId, EndpointId)> {
        (1..)
            .zip(&self.endpoints)
            .map(|(ordinal, endpoint_id)| (self.event.id.delivery(ordinal), *endpoint_id))
    }
}

/// An idempotency key and what it stands for.
#[derive(Debug, Clone)]
pub(crate) struct EmitKey {
    /// The key as given.
    pub key: String,
    /// The hash of the content that it is used with.
    pub content_hash: [u8; 32],
}

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Emitted {
    /// The event was written.
    New,
    /// The key stands for this event already, with the same content.
    Existing {
        /// The event.
        event_id: EventId,
        /// How many deliveries it has.
        delivery_count: u16,
    },
    /// The key stands for other content.
    Conflict,
}

impl Store {
    /// Writes a batch and makes it durable. The answers are in the order of the rows.
    pub(crate) async fn emit_batch(&self, rows: &[EmitRow]) -> Result<Vec<Emitted>> {
        self.within(self.emit_batch_now(rows)).await
    }

    async fn emit_batch_now(&self, rows: &[EmitRow]) -> Result<Vec<Emitted>> {
        let has_keys = rows.iter().any(|row| row.key.is_some());
        match (self.ledger(), has_keys) {
            (OneOf::Postgres(pool), false) => postgres_unkeyed(pool, rows).await?,
            (OneOf::Postgres(pool), true) => postgres_keyed(pool, rows).await?,
            (OneOf::Sqlite(writer), _) => return sqlite(writer, rows).await,
        }
        if has_keys {
            self.emitted(rows).await
        } else {
            Ok(vec![Emitted::New; rows.len()])
        }
    }

    /// Reads what the keys of a written batch stand for now.
    async fn emitted(&self, rows: &[EmitRow]) -> Result<Vec<Emitted>> {
        let OneOf::Postgres(pool) = self.ledger() else {
            return Ok(vec![Emitted::New; rows.len()]);
        };
        let keyed = || rows.iter().filter_map(|row| Some((row, row.key.as_ref()?)));
        let found = sqlx::query(
            "select k.tenant_id, k.idempotency_key, k.event_id, k.content_hash,
                    coalesce(e.delivery_count, 0) as delivery_count
             from unnest($1::smallint[], $2::uuid[], $3::text[]) as i (shard, tenant_id, idempotency_key)
             join event_key k using (shard, tenant_id, idempotency_key)
             left join event e on e.shard = k.shard and e.event_id = k.event_id",
        )
        .bind(keyed().map(|(row, _)| row.event.id.shard().column()).collect::<Vec<_>>())
        .bind(keyed().map(|(row, _)| row.event.tenant_id.uuid()).collect::<Vec<_>>())
        .bind(keyed().map(|(_, key)| key.key.as_str()).collect::<Vec<_>>())
        .fetch_all(pool)
        .await?;
        let mut standing = HashMap::with_capacity(found.len());
        for row in &found {
            let key = (
                row.try_get::<Uuid, _>("tenant_id")?,
                row.try_get::<String, _>("idempotency_key")?,
            );
            standing.insert(key, Standing::read(row)?);
        }
        Ok(rows
            .iter()
            .map(|row| match &row.key {
                None => Emitted::New,
                Some(key) => standing
                    .get(&(row.event.tenant_id.uuid(), key.key.clone()))
                    .map_or(Emitted::Conflict, |standing| standing.answer(row, key)),
            })
            .collect())
    }
}

impl Tx {
    /// Writes one event without an idempotency key, and its deliveries.
    pub(crate) async fn event_insert(&mut self, row: &EmitRow) -> Result<()> {
        match self {
            OneOf::Postgres(tx) => {
                postgres_unkeyed(&mut **tx, std::slice::from_ref(row)).await?;
                postgres_set_batch(tx, &row.event).await
            }
            OneOf::Sqlite(tx) => sqlite_insert(tx, &[row]).await,
        }
    }
}

/// What a key stands for.
struct Standing {
    event_id: EventId,
    content_hash: Vec<u8>,
    delivery_count: u16,
}

impl Standing {
    fn read<R: sqlx::Row>(row: &R) -> Result<Self>
    where
        for<'a> &'a str: sqlx::ColumnIndex<R>,
        for<'a> Uuid: sqlx::Decode<'a, R::Database> + sqlx::Type<R::Database>,
        for<'a> Vec<u8>: sqlx::Decode<'a, R::Database> + sqlx::Type<R::Database>,
        for<'a> i32: sqlx::Decode<'a, R::Database> + sqlx::Type<R::Database>,
    {
        Ok(Self {
            event_id: EventId::from_uuid(row.try_get("event_id")?),
            content_hash: row.try_get("content_hash")?,
            delivery_count: u16::try_from(row.try_get::<i32, _>("delivery_count")?).unwrap_or(0),
        })
    }

    fn answer(&self, row: &EmitRow, key: &EmitKey) -> Emitted {
        if self.content_hash != key.content_hash {
            Emitted::Conflict
        } else if self.event_id == row.event.id {
            Emitted::New
        } else {
            Emitted::Existing {
                event_id: self.event_id,
                delivery_count: self.delivery_count,
            }
        }
    }
}

/// The columns of a batch, one array each.
struct Columns<'a> {
    shards: Vec<i16>,
    event_ids: Vec<Uuid>,
    tenant_ids: Vec<Uuid>,
    event_types: Vec<&'a str>,
    payloads: Vec<&'a [u8]>,
    content_types: Vec<&'a str>,
    occurred_ats: Vec<i64>,
    delivery_counts: Vec<i32>,
    traceparents: Vec<Option<&'a str>>,
    source_ids: Vec<Option<Uuid>>,
    headers: Vec<Option<String>>,
    /// The event of each delivery, by its place in the batch from 1.
    parents: Vec<i32>,
    delivery_ids: Vec<Uuid>,
    endpoint_ids: Vec<Uuid>,
}

impl<'a> Columns<'a> {
    fn new(rows: &'a [EmitRow]) -> Self {
        let events = || rows.iter().map(|row| row.event.as_ref());
        let deliveries = || {
            (1..).zip(rows).flat_map(|(parent, row)| {
                row.deliveries()
                    .map(move |(delivery, endpoint)| (parent, delivery, endpoint))
            })
        };
        Self {
            shards: events().map(|event| event.id.shard().column()).collect(),
            event_ids: events().map(|event| event.id.uuid()).collect(),
            tenant_ids: events().map(|event| event.tenant_id.uuid()).collect(),
            event_types: events().map(|event| event.event_type.as_str()).collect(),
            payloads: events().map(|event| event.payload.as_ref()).collect(),
            content_types: events().map(|event| event.content_type.as_str()).collect(),
            occurred_ats: events().map(|event| event.occurred_at).collect(),
            delivery_counts: events()
                .map(|event| i32::from(event.delivery_count))
                .collect(),
            traceparents: events().map(|event| event.traceparent.as_deref()).collect(),
            source_ids: events()
                .map(|event| event.source_id.map(SourceId::uuid))
                .collect(),
            headers: events()
                .map(|event| headers_column(&event.headers))
                .collect(),
            parents: deliveries().map(|(parent, ..)| parent).collect(),
            delivery_ids: deliveries()
                .map(|(_, delivery, _)| delivery.uuid())
                .collect(),
            endpoint_ids: deliveries().map(|(.., endpoint)| endpoint.uuid()).collect(),
        }
    }
}

/// Binds the first fourteen parameters of both PostgreSQL statements.
macro_rules! bind_columns {
    ($query:expr, $columns:ident) => {
        $query
            .bind($columns.shards)
            .bind($columns.event_ids)
            .bind($columns.tenant_ids)
            .bind($columns.event_types)
            .bind($columns.payloads)
            .bind($columns.content_types)
            .bind($columns.occurred_ats)
            .bind($columns.delivery_counts)
            .bind($columns.traceparents)
            .bind($columns.source_ids)
            .bind($columns.headers)
            .bind($columns.parents)
            .bind($columns.delivery_ids)
            .bind($columns.endpoint_ids)
    };
}

async fn postgres_unkeyed(database: impl PgExecutor<'_>, rows: &[EmitRow]) -> Result<()> {
    let columns = Columns::new(rows);
    let query = sqlx::query(
        "with input as materialized (
             select *
             from unnest($1::smallint[], $2::uuid[], $3::uuid[], $4::text[], $5::bytea[], $6::text[], $7::bigint[],
                         $8::integer[], $9::text[], $10::uuid[], $11::text[])
                  as i (shard, event_id, tenant_id, event_type, payload, content_type, occurred_at, delivery_count,
                        traceparent, source_id, headers)
         ), written as (
             insert into event (shard, event_id, tenant_id, event_type, payload, content_type, occurred_at,
                                delivery_count, traceparent, source_id, headers)
             select * from input
             on conflict do nothing
         )
         insert into delivery (shard, delivery_id, endpoint_id, tenant_id, next_attempt_at)
         select ($1::smallint[])[d.parent], d.delivery_id, d.endpoint_id, ($3::uuid[])[d.parent],
                ($15::bigint[])[d.parent]
         from unnest($12::integer[], $13::uuid[], $14::uuid[]) as d (parent, delivery_id, endpoint_id)
         on conflict do nothing",
    );
    bind_columns!(query, columns)
        .bind(created_ats(rows))
        .execute(database)
        .await?;
    Ok(())
}

/// Notes the batch that an event came in, which what is emitted has not: the hot statement leaves it out.
async fn postgres_set_batch(conn: &mut PgConnection, event: &Event) -> Result<()> {
    let Some(batch_id) = event.batch_id else {
        return Ok(());
    };
    sqlx::query("update event set batch_id = $3 where shard = $1 and event_id = $2")
        .bind(event.id.shard().column())
        .bind(event.id.uuid())
        .bind(batch_id.uuid())
        .execute(conn)
        .await?;
    Ok(())
}

async fn postgres_keyed(pool: &PgPool, rows: &[EmitRow]) -> Result<()> {
    let columns = Columns::new(rows);
    let keys = rows.iter().map(|row| row.key.as_ref());
    let query = sqlx::query(
        "with input as materialized (
             select *
             from unnest($1::smallint[], $2::uuid[], $3::uuid[], $4::text[], $5::bytea[], $6::text[], $7::bigint[],
                         $8::integer[], $9::text[], $10::uuid[], $11::text[], $16::text[], $17::bytea[])
                  with ordinality
                  as i (shard, event_id, tenant_id, event_type, payload, content_type, occurred_at, delivery_count,
                        traceparent, source_id, headers, idempotency_key, content_hash, place)
         ), claimed as (
             insert into event_key (shard, tenant_id, idempotency_key, event_id, content_hash)
             select shard, tenant_id, idempotency_key, event_id, content_hash
             from input
             where idempotency_key is not null
             order by shard, tenant_id, idempotency_key
             on conflict do nothing
             returning event_id
         ), accepted as (
             select * from input i
             where i.idempotency_key is null or i.event_id in (select event_id from claimed)
         ), written as (
             insert into event (shard, event_id, tenant_id, event_type, payload, content_type, occurred_at,
                                delivery_count, traceparent, source_id, headers)
             select shard, event_id, tenant_id, event_type, payload, content_type, occurred_at, delivery_count,
                    traceparent, source_id, headers
             from accepted
             on conflict do nothing
         )
         insert into delivery (shard, delivery_id, endpoint_id, tenant_id, next_attempt_at)
         select a.shard, d.delivery_id, d.endpoint_id, a.tenant_id, ($15::bigint[])[d.parent]
         from unnest($12::integer[], $13::uuid[], $14::uuid[]) as d (parent, delivery_id, endpoint_id)
         join accepted a on a.place = d.parent
         on conflict do nothing",
    );
    bind_columns!(query, columns)
        .bind(created_ats(rows))
        .bind(
            keys.clone()
                .map(|key| key.map(|key| key.key.as_str()))
                .collect::<Vec<_>>(),
        )
        .bind(
            keys.map(|key| key.map(|key| key.content_hash.to_vec()))
                .collect::<Vec<_>>(),
        )
        .execute(pool)
        .await?;
    Ok(())
}

fn created_ats(rows: &[EmitRow]) -> Vec<i64> {
    rows.iter().map(|row| row.event.id.created_at()).collect()
}

async fn sqlite(writer: SqliteWriter<'_>, rows: &[EmitRow]) -> Result<Vec<Emitted>> {
    let mut tx = writer.begin().await?;
    let mut emitted = Vec::with_capacity(rows.len());
    for row in rows {
        emitted.push(match &row.key {
            None => Emitted::New,
            Some(key) => sqlite_claim(&mut tx, row, key).await?,
        });
    }
    let accepted = rows
        .iter()
        .zip(&emitted)
        .filter(|(_, emitted)| **emitted == Emitted::New)
        .map(|(row, _)| row)
        .collect::<Vec<_>>();
    sqlite_insert(&mut tx, &accepted).await?;
    tx.commit().await?;
    Ok(emitted)
}

/// Writes events and their deliveries.
pub(super) async fn sqlite_insert(conn: &mut SqliteConnection, rows: &[&EmitRow]) -> Result<()> {
    for chunk in rows.chunks(SQLITE_CHUNK) {
        sqlite_insert_events(conn, chunk).await?;
    }
    let deliveries = rows
        .iter()
        .flat_map(|row| {
            row.deliveries()
                .map(|(delivery, endpoint)| (row.event.as_ref(), delivery, endpoint))
        })
        .collect::<Vec<_>>();
    for chunk in deliveries.chunks(SQLITE_CHUNK) {
        sqlite_insert_deliveries(conn, chunk).await?;
    }
    Ok(())
}

async fn sqlite_claim(
    conn: &mut SqliteConnection,
    row: &EmitRow,
    key: &EmitKey,
) -> Result<Emitted> {
    let event = &row.event;
    let claimed = sqlx::query(
        "insert into event_key (shard, tenant_id, idempotency_key, event_id, content_hash)
         values ($1, $2, $3, $4, $5)
         on conflict do nothing",
    )
    .bind(event.id.shard().column())
    .bind(event.tenant_id.uuid())
    .bind(&key.key)
    .bind(event.id.uuid())
    .bind(&key.content_hash[..])
    .execute(&mut *conn)
    .await?
    .rows_affected()
        == 1;
    if claimed {
        return Ok(Emitted::New);
    }
    // The other event may stand earlier in this very batch and not be written yet: then its count is this one's too,
    // because both matched the same endpoints.
    let found = sqlx::query(
        "select k.event_id, k.content_hash, coalesce(e.delivery_count, $4) as delivery_count
         from event_key k
         left join event e on e.shard = k.shard and e.event_id = k.event_id
         where k.shard = $1 and k.tenant_id = $2 and k.idempotency_key = $3",
    )
    .bind(event.id.shard().column())
    .bind(event.tenant_id.uuid())
    .bind(&key.key)
    .bind(i32::from(event.delivery_count))
    .fetch_one(conn)
    .await?;
    Ok(Standing::read(&found)?.answer(row, key))
}

async fn sqlite_insert_events(conn: &mut SqliteConnection, rows: &[&EmitRow]) -> Result<()> {
    let mut query = QueryBuilder::<Sqlite>::new(
        "insert into event (shard, event_id, tenant_id, event_type, payload, content_type, occurred_at, \
         delivery_count, traceparent, source_id, batch_id, headers) ",
    );
    query.push_values(rows, |mut values, row| {
        let event = row.event.as_ref();
        values
            .push_bind(event.id.shard().column())
            .push_bind(event.id.uuid())
            .push_bind(event.tenant_id.uuid())
            .push_bind(event.event_type.as_str())
            .push_bind(event.payload.as_ref())
            .push_bind(event.content_type.as_str())
            .push_bind(event.occurred_at)
            .push_bind(i32::from(event.delivery_count))
            .push_bind(event.traceparent.as_deref())
            .push_bind(event.source_id.map(SourceId::uuid))
            .push_bind(event.batch_id.map(InboundId::uuid))
            .push_bind(headers_column(&event.headers));
    });
    query.push(" on conflict do nothing");
    query.build().execute(conn).await?;
    Ok(())
}

async fn sqlite_insert_deliveries(
    conn: &mut SqliteConnection,
    deliveries: &[(&Event, DeliveryId, EndpointId)],
) -> Result<()> {
    let mut query = QueryBuilder::<Sqlite>::new(
        "insert into delivery (shard, delivery_id, endpoint_id, tenant_id, next_attempt_at) ",
    );
    query.push_values(
        deliveries,
        |mut values, (event, delivery_id, endpoint_id)| {
            values
                .push_bind(event.id.shard().column())
                .push_bind(delivery_id.uuid())
                .push_bind(endpoint_id.uuid())
                .push_bind(event.tenant_id.uuid())
                .push_bind(event.id.created_at());
        },
    );
    query.push(" on conflict do nothing");
    query.build().execute(conn).await?;
    Ok(())
}
