//! The emit statement on PostgreSQL: the whole batch is one round trip and one commit.

use std::collections::HashMap;

use sqlx::{PgConnection, PgExecutor, PgPool, Row as _};
use uuid::Uuid;

use super::{EmitRow, Emitted, KeyedEvent};
use crate::{
    model::{event::Event, id::SourceId},
    store::{Result, ledger::event::headers_column},
};

/// Writes a batch. The answers are in the order of the rows.
pub(super) async fn emit(pool: &PgPool, rows: &[EmitRow]) -> Result<Vec<Emitted>> {
    if rows.iter().all(|row| row.key.is_none()) {
        write(pool, rows).await?;
        return Ok(vec![Emitted::New; rows.len()]);
    }
    write_keyed(pool, rows).await?;
    emitted(pool, rows).await
}

/// Reads what the keys of a written batch stand for now.
async fn emitted(pool: &PgPool, rows: &[EmitRow]) -> Result<Vec<Emitted>> {
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
        standing.insert(key, KeyedEvent::read(row)?);
    }
    Ok(rows
        .iter()
        .map(|row| match &row.key {
            None => Emitted::New,
            Some(key) => standing
                .get(&(row.event.tenant_id.uuid(), key.key.clone()))
                .map_or(Emitted::Conflict { event_id: None }, |standing| {
                    standing.answer(row, key)
                }),
        })
        .collect())
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

/// Writes a batch without idempotency keys.
pub(super) async fn write(database: impl PgExecutor<'_>, rows: &[EmitRow]) -> Result<()> {
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
pub(super) async fn set_batch(conn: &mut PgConnection, event: &Event) -> Result<()> {
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

async fn write_keyed(pool: &PgPool, rows: &[EmitRow]) -> Result<()> {
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
