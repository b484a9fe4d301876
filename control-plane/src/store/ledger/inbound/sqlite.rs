//! The inbound statements of SQLite: chunked multi-row inserts. A batch is one transaction.

use std::collections::HashSet;

use sqlx::{QueryBuilder, Sqlite, SqliteConnection};
use uuid::Uuid;

use super::{
    Brings, ClaimHolder, KeptRow, Result, bytes_column, head_column, status_column, tries::Try,
};
use crate::{
    model::{claim::ClaimKey, id::InboundId, inbound::InboundRequest},
    store::ledger::emit::sqlite::{self as events, CHUNK},
};

/// Has those that were received too long ago claim nothing but themselves, so that the window of this row begins.
pub(super) async fn release(conn: &mut SqliteConnection, one: Try<'_>) -> Result<()> {
    sqlx::query(
        "update inbound_request set claim = cast(substr(claim, 1, 16) || request_id as blob)
         where shard = $1 and source_id = $2 and claim = $3 and verdict = 1 and received_at <= $4",
    )
    .bind(one.row.request.id.shard().column())
    .bind(one.row.request.source_id.uuid())
    .bind(one.claim.column())
    .bind(one.expired_at())
    .execute(conn)
    .await?;
    Ok(())
}

/// Writes the rows that get their claim, with what they bring, and returns their ids.
pub(super) async fn claim(conn: &mut SqliteConnection, tries: &[Try<'_>]) -> Result<Vec<Uuid>> {
    let mut claimed = Vec::with_capacity(tries.len());
    for chunk in tries.chunks(CHUNK) {
        claimed.extend(claim_chunk(conn, chunk).await?);
    }
    let ids = claimed.iter().copied().collect::<HashSet<_>>();
    let rows = tries.iter().map(|one| one.row);
    let accepted = rows.filter(|row| ids.contains(&row.request.id.uuid()));
    let (mut emits, mut bodies) = (Vec::with_capacity(claimed.len()), Vec::new());
    for row in accepted {
        match &row.brings {
            Brings::Event(emit) => emits.push(emit),
            Brings::Batch(body) => bodies.push((row.request.id, body)),
        }
    }
    events::insert(conn, &emits).await?;
    for (id, body) in bodies {
        keep_body(conn, id, body).await?;
    }
    Ok(claimed)
}

/// Which rows got their claim is only asked when some did not, because each row that SQLite returns costs a change of
/// threads.
async fn claim_chunk(conn: &mut SqliteConnection, tries: &[Try<'_>]) -> Result<Vec<Uuid>> {
    let requests = || tries.iter().map(|one| &one.row.request);
    let mut query = insert(tries.iter().map(|one| (&one.row.request, one.claim)))?;
    query.push(" on conflict do nothing");
    let written = query.build().execute(&mut *conn).await?.rows_affected();
    if usize::try_from(written).is_ok_and(|written| written == tries.len()) {
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

/// Who holds the claims of rows that did not get them, in their order.
pub(super) async fn standing(
    conn: &mut SqliteConnection,
    lost: &[Try<'_>],
) -> Result<Vec<Option<ClaimHolder>>> {
    let mut standing = Vec::with_capacity(lost.len());
    for one in lost {
        let found = sqlx::query(
            "select request_id, batch_id, body_hash, channel, received_at, answer
             from inbound_request
             where shard = $1 and source_id = $2 and claim = $3 and verdict = 1",
        )
        .bind(one.row.request.id.shard().column())
        .bind(one.row.request.source_id.uuid())
        .bind(one.claim.column())
        .fetch_optional(&mut *conn)
        .await?;
        standing.push(found.as_ref().map(ClaimHolder::read).transpose()?);
    }
    Ok(standing)
}

/// Writes records that are no events, with their bodies.
pub(super) async fn keep(conn: &mut SqliteConnection, rows: &[&KeptRow]) -> Result<()> {
    for chunk in rows.chunks(CHUNK) {
        let requests = chunk.iter().map(|row| &row.request);
        let mut query = insert(requests.map(|request| (request, request.claim)))?;
        query.push(" on conflict do nothing");
        query.build().execute(&mut *conn).await?;
    }
    for row in rows {
        if let Some(body) = &row.body {
            keep_body(conn, row.request.id, body).await?;
        }
    }
    Ok(())
}

async fn keep_body(conn: &mut SqliteConnection, id: InboundId, body: &[u8]) -> Result<()> {
    sqlx::query(
        "insert into inbound_body (shard, request_id, body) values ($1, $2, $3) on conflict do nothing",
    )
    .bind(id.shard().column())
    .bind(id.uuid())
    .bind(body)
    .execute(conn)
    .await?;
    Ok(())
}

/// An insert of records with what they claim.
fn insert<'a>(
    requests: impl Iterator<Item = (&'a InboundRequest, ClaimKey)>,
) -> Result<QueryBuilder<Sqlite>> {
    let rows = requests
        .map(|(request, claim)| Ok((request, claim, head_column(request)?)))
        .collect::<Result<Vec<_>>>()?;
    let mut query = QueryBuilder::<Sqlite>::new(
        "insert into inbound_request (shard, request_id, tenant_id, source_id, verdict, reason, channel, claim, \
         batch_id, provider_event_id, event_type, original_id, body_hash, body_bytes, head, remote_address, \
         received_at, answer_status) ",
    );
    query.push_values(rows, |mut values, (request, claim, head)| {
        values
            .push_bind(request.id.shard().column())
            .push_bind(request.id.uuid())
            .push_bind(request.tenant_id.uuid())
            .push_bind(request.source_id.uuid())
            .push_bind(request.verdict.column())
            .push_bind(request.reason.clone())
            .push_bind(request.channel.column())
            .push_bind(claim.column().to_vec())
            .push_bind(request.part.column(request.id))
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
