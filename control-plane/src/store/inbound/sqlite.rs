//! The inbound statements of SQLite: chunked multi-row inserts, a batch in one transaction.

use std::collections::HashSet;

use sqlx::{QueryBuilder, Sqlite, SqliteConnection};
use uuid::Uuid;

use super::{
    InboundRow, KeptRow, Receipt, Result, Standing, bytes_column, head_column, lost, status_column,
    taken_id,
};
use crate::{
    model::{id::InboundId, inbound::InboundRequest},
    store::{
        emit::{SQLITE_CHUNK, sqlite_insert_deliveries, sqlite_insert_events},
        pools::SqliteWriter,
    },
};

/// Writes a batch of rows that want to be accepted.
pub(super) async fn receive(writer: SqliteWriter<'_>, rows: &[InboundRow]) -> Result<Vec<Receipt>> {
    let mut tx = writer.begin().await?;
    let mut claimed = HashSet::with_capacity(rows.len());
    for chunk in rows.chunks(SQLITE_CHUNK) {
        claimed.extend(claim(&mut tx, chunk).await?);
    }
    let is_claimed = |row: &&InboundRow| claimed.contains(&row.request.id.uuid());
    let accepted = rows.iter().filter(is_claimed).map(|row| &row.emit);
    let accepted = accepted.collect::<Vec<_>>();
    for chunk in accepted.chunks(SQLITE_CHUNK) {
        sqlite_insert_events(&mut tx, chunk).await?;
    }
    let deliveries = accepted.iter().flat_map(|row| {
        row.deliveries()
            .map(|(delivery, endpoint)| (row.event.as_ref(), delivery, endpoint))
    });
    for chunk in deliveries.collect::<Vec<_>>().chunks(SQLITE_CHUNK) {
        sqlite_insert_deliveries(&mut tx, chunk).await?;
    }
    let mut receipts = Vec::with_capacity(rows.len());
    for row in rows {
        receipts.push(if is_claimed(&row) {
            Receipt::New
        } else {
            standing(&mut tx, row).await?.receipt(row)
        });
    }
    let records = rows.iter().zip(&receipts);
    let records = records.filter_map(|(row, receipt)| lost(row, receipt));
    let records = records.collect::<Vec<_>>();
    keep(&mut tx, &records.iter().collect::<Vec<_>>()).await?;
    tx.commit().await?;
    Ok(receipts)
}

/// Writes the rows that get their claim and returns their ids. Which these are is only asked when some did not, because
/// each row that SQLite returns costs a change of threads.
async fn claim(conn: &mut SqliteConnection, rows: &[InboundRow]) -> Result<Vec<Uuid>> {
    let requests = || rows.iter().map(|row| &row.request);
    let mut query = insert(requests())?;
    query.push(" on conflict do nothing");
    let written = query.build().execute(&mut *conn).await?.rows_affected();
    if usize::try_from(written).is_ok_and(|written| written == rows.len()) {
        return Ok(requests().map(|request| request.id.uuid()).collect());
    }
    let mut query = QueryBuilder::<Sqlite>::new(
        "select request_id from inbound_request where verdict = 1 and (shard, request_id) in (values ",
    );
    let mut ids = query.separated(", ");
    for request in requests() {
        ids.push("(");
        ids.push_bind_unseparated(request.id.shard().column());
        ids.push_unseparated(", ");
        ids.push_bind_unseparated(request.id.uuid());
        ids.push_unseparated(")");
    }
    query.push(")");
    Ok(query.build_query_scalar().fetch_all(conn).await?)
}

/// Who holds the claim of a row that did not get it.
async fn standing(conn: &mut SqliteConnection, row: &InboundRow) -> Result<Standing> {
    let found = sqlx::query(
        "select request_id, body_hash, channel, answer
         from inbound_request
         where shard = $1 and source_id = $2 and claim = $3 and verdict = 1",
    )
    .bind(row.request.id.shard().column())
    .bind(row.request.source_id.uuid())
    .bind(&row.request.claim[..])
    .fetch_optional(conn)
    .await?;
    let found = found.ok_or_else(|| taken_id(row.request.id))?;
    Standing::read(&found)
}

/// Writes records that are no events, with their bodies.
pub(super) async fn keep(conn: &mut SqliteConnection, rows: &[&KeptRow]) -> Result<()> {
    for chunk in rows.chunks(SQLITE_CHUNK) {
        let mut query = insert(chunk.iter().map(|row| &row.request))?;
        query.push(" on conflict do nothing");
        query.build().execute(&mut *conn).await?;
    }
    for row in rows {
        let Some(body) = &row.body else {
            continue;
        };
        sqlx::query(
            "insert into inbound_body (shard, request_id, body) values ($1, $2, $3) on conflict do nothing",
        )
        .bind(row.request.id.shard().column())
        .bind(row.request.id.uuid())
        .bind(body.as_ref())
        .execute(&mut *conn)
        .await?;
    }
    Ok(())
}

/// An insert of records.
fn insert<'a>(requests: impl Iterator<Item = &'a InboundRequest>) -> Result<QueryBuilder<Sqlite>> {
    let rows = requests
        .map(|request| Ok((request, head_column(request)?)))
        .collect::<Result<Vec<_>>>()?;
    let mut query = QueryBuilder::<Sqlite>::new(
        "insert into inbound_request (shard, request_id, tenant_id, source_id, verdict, reason, channel, claim, \
         provider_event_id, event_type, original_id, body_hash, body_bytes, head, remote_address, received_at, \
         answer_status) ",
    );
    query.push_values(rows, |mut values, (request, head)| {
        values
            .push_bind(request.id.shard().column())
            .push_bind(request.id.uuid())
            .push_bind(request.tenant_id.uuid())
            .push_bind(request.source_id.uuid())
            .push_bind(request.verdict.column())
            .push_bind(request.reason.clone())
            .push_bind(request.channel.column())
            .push_bind(request.claim.to_vec())
            .push_bind(request.provider_event_id.clone())
            .push_bind(request.event_type.to_string())
            .push_bind(request.original_id.map(InboundId::uuid))
            .push_bind(request.body_hash.to_vec())
            .push_bind(bytes_column(request.body_bytes))
            .push_bind(head)
            .push_bind(request.remote_address.clone())
            .push_bind(request.received_at)
            .push_bind(status_column(request.answer_status));
    });
    Ok(query)
}
