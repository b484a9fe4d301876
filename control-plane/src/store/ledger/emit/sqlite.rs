//! The emit statement on SQLite: chunked inserts of several rows in one transaction.

use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::{EmitKey, EmitRow, Emitted, KeyedEvent};
use crate::{
    model::{
        event::Event,
        id::{DeliveryId, EndpointId, InboundId, SourceId},
    },
    store::{Result, ledger::event::headers_column, pools::SqliteWriter},
};

/// How many rows one insert carries: few distinct statements, and below SQLite's limit of 32,766 parameters.
pub(in crate::store) const CHUNK: usize = 64;

/// Writes a batch. The answers are in the order of the rows.
pub(super) async fn emit(writer: SqliteWriter<'_>, rows: &[EmitRow]) -> Result<Vec<Emitted>> {
    let mut tx = writer.begin().await?;
    let mut emitted = Vec::with_capacity(rows.len());
    for row in rows {
        emitted.push(match &row.key {
            None => Emitted::New,
            Some(key) => claim(&mut tx, row, key).await?,
        });
    }
    let accepted = rows
        .iter()
        .zip(&emitted)
        .filter(|(_, emitted)| **emitted == Emitted::New)
        .map(|(row, _)| row)
        .collect::<Vec<_>>();
    insert(&mut tx, &accepted).await?;
    tx.commit().await?;
    Ok(emitted)
}

/// Writes events and their deliveries.
pub(in crate::store) async fn insert(conn: &mut SqliteConnection, rows: &[&EmitRow]) -> Result<()> {
    for chunk in rows.chunks(CHUNK) {
        insert_events(conn, chunk).await?;
    }
    let deliveries = rows
        .iter()
        .flat_map(|row| {
            row.deliveries()
                .map(|(delivery, endpoint)| (row.event.as_ref(), delivery, endpoint))
        })
        .collect::<Vec<_>>();
    for chunk in deliveries.chunks(CHUNK) {
        insert_deliveries(conn, chunk).await?;
    }
    Ok(())
}

async fn claim(conn: &mut SqliteConnection, row: &EmitRow, key: &EmitKey) -> Result<Emitted> {
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
    Ok(KeyedEvent::read(&found)?.answer(row, key))
}

async fn insert_events(conn: &mut SqliteConnection, rows: &[&EmitRow]) -> Result<()> {
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

async fn insert_deliveries(
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
