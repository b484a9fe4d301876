//! The inbound statements of PostgreSQL: arrays and data-modifying CTEs, so that a batch without repeats is one round trip
//! and one commit.
//!
//! What lost its claim is looked up and written by two more statements, each with a commit of its own: no row relies on
//! another, and nobody is answered before the last of them.

use sqlx::PgPool;
use uuid::Uuid;

use super::{
    InboundRow, KeptRow, Receipt, Result, Standing, bytes_column, head_column, lost, status_column,
    taken_id,
};
use crate::model::{id::InboundId, inbound::InboundRequest};
use crate::store::event::headers_column;

/// Writes a batch of rows that want to be accepted.
pub(super) async fn receive(pool: &PgPool, rows: &[InboundRow]) -> Result<Vec<Receipt>> {
    let claimed = claim(pool, rows).await?;
    let mut receipts = vec![Receipt::New; rows.len()];
    if claimed.len() == rows.len() {
        return Ok(receipts);
    }
    let claimed = claimed
        .into_iter()
        .collect::<std::collections::HashSet<_>>();
    let lost_places = (0..rows.len())
        .filter(|place| !claimed.contains(&rows[*place].request.id.uuid()))
        .collect::<Vec<_>>();
    let standing = standing(pool, rows, &lost_places).await?;
    for (place, standing) in lost_places.into_iter().zip(standing) {
        let row = &rows[place];
        let standing = standing.ok_or_else(|| taken_id(row.request.id))?;
        receipts[place] = standing.receipt(row);
    }
    let records = rows.iter().zip(&receipts);
    let records = records.filter_map(|(row, receipt)| lost(row, receipt));
    let records = records.collect::<Vec<_>>();
    if !records.is_empty() {
        keep(pool, &records.iter().collect::<Vec<_>>()).await?;
    }
    Ok(receipts)
}

/// Writes the rows that get their claim, with their events and deliveries, and returns their ids.
async fn claim(pool: &PgPool, rows: &[InboundRow]) -> Result<Vec<Uuid>> {
    let columns = Columns::new(rows.iter().map(|row| &row.request))?;
    let events = || rows.iter().map(|row| row.emit.event.as_ref());
    let deliveries = || {
        (1_i32..).zip(rows).flat_map(|(parent, row)| {
            row.emit
                .deliveries()
                .map(move |delivery| (parent, delivery))
        })
    };
    // `is true` keeps the planner from making a join of the look-up in `claimed`, which here could only be a nested loop.
    let claimed = sqlx::query_scalar::<_, Uuid>(
        "with input as materialized (
             select *
             from unnest($1::smallint[], $2::uuid[], $3::uuid[], $4::uuid[], $5::smallint[], $6::bytea[], $7::text[],
                         $8::text[], $9::bytea[], $10::integer[], $11::text[], $12::text[], $13::bigint[],
                         $14::smallint[], $15::bytea[], $16::text[], $17::integer[], $18::text[], $19::text[])
                  as i (shard, request_id, tenant_id, source_id, channel, claim, provider_event_id,
                        event_type, body_hash, body_bytes, head, remote_address, received_at,
                        answer_status, payload, content_type, delivery_count, traceparent, headers)
         ), claimed as (
             insert into inbound_request (shard, request_id, tenant_id, source_id, verdict, reason, channel, claim,
                                          provider_event_id, event_type, body_hash, body_bytes, head,
                                          remote_address, received_at, answer_status)
             select shard, request_id, tenant_id, source_id, 1, '', channel, claim, provider_event_id, event_type,
                    body_hash, body_bytes, head, remote_address, received_at, answer_status
             from input
             on conflict do nothing
             returning request_id
         ), written as (
             insert into event (shard, event_id, tenant_id, event_type, payload, content_type, occurred_at,
                                delivery_count, traceparent, source_id, headers)
             select shard, request_id, tenant_id, event_type, payload, content_type, received_at, delivery_count,
                    traceparent, source_id, headers
             from input
             where (request_id in (select request_id from claimed)) is true
             on conflict do nothing
         ), sent as (
             insert into delivery (shard, delivery_id, endpoint_id, tenant_id, next_attempt_at)
             select ($1::smallint[])[d.parent], d.delivery_id, d.endpoint_id, ($3::uuid[])[d.parent],
                    ($13::bigint[])[d.parent]
             from unnest($20::integer[], $21::uuid[], $22::uuid[]) as d (parent, delivery_id, endpoint_id)
             where (($2::uuid[])[d.parent] in (select request_id from claimed)) is true
             on conflict do nothing
         )
         select request_id from claimed",
    )
    .bind(columns.shards)
    .bind(columns.request_ids)
    .bind(columns.tenant_ids)
    .bind(columns.source_ids)
    .bind(columns.channels)
    .bind(columns.claims)
    .bind(columns.provider_event_ids)
    .bind(columns.event_types)
    .bind(columns.body_hashes)
    .bind(columns.body_bytes)
    .bind(columns.heads)
    .bind(columns.remote_addresses)
    .bind(columns.received_ats)
    .bind(columns.answer_statuses)
    .bind(events().map(|event| event.payload.as_ref()).collect::<Vec<_>>())
    .bind(events().map(|event| event.content_type.as_str()).collect::<Vec<_>>())
    .bind(events().map(|event| i32::from(event.delivery_count)).collect::<Vec<_>>())
    .bind(events().map(|event| event.traceparent.as_deref()).collect::<Vec<_>>())
    .bind(events().map(|event| headers_column(&event.headers)).collect::<Vec<_>>())
    .bind(deliveries().map(|(parent, _)| parent).collect::<Vec<_>>())
    .bind(deliveries().map(|(_, (id, _))| id.uuid()).collect::<Vec<_>>())
    .bind(deliveries().map(|(_, (_, endpoint_id))| endpoint_id.uuid()).collect::<Vec<_>>())
    .fetch_all(pool)
    .await?;
    Ok(claimed)
}

/// Who holds the claims of the rows at `places`, in their order.
async fn standing(
    pool: &PgPool,
    rows: &[InboundRow],
    places: &[usize],
) -> Result<Vec<Option<Standing>>> {
    let requests = || places.iter().map(|place| &rows[*place].request);
    let found = sqlx::query(
        "select i.place, r.request_id, r.body_hash, r.channel, r.answer
         from unnest($1::smallint[], $2::uuid[], $3::bytea[]) with ordinality as i (shard, source_id, claim, place)
         join inbound_request r
           on r.shard = i.shard and r.source_id = i.source_id and r.claim = i.claim and r.verdict = 1",
    )
    .bind(requests().map(|request| request.id.shard().column()).collect::<Vec<_>>())
    .bind(requests().map(|request| request.source_id.uuid()).collect::<Vec<_>>())
    .bind(requests().map(|request| request.claim.as_slice()).collect::<Vec<_>>())
    .fetch_all(pool)
    .await?;
    let mut standing = Vec::new();
    standing.resize_with(places.len(), || None);
    for row in &found {
        let place: i64 = sqlx::Row::try_get(row, "place")?;
        let place = usize::try_from(place - 1).map_err(crate::store::Error::bug)?;
        standing[place] = Some(Standing::read(row)?);
    }
    Ok(standing)
}

/// Writes records that are no events, with their bodies.
pub(super) async fn keep(pool: &PgPool, rows: &[&KeptRow]) -> Result<()> {
    let columns = Columns::new(rows.iter().map(|row| &row.request))?;
    let requests = || rows.iter().map(|row| &row.request);
    let bodies = || {
        rows.iter()
            .filter_map(|row| Some((&row.request, row.body.as_ref()?)))
    };
    sqlx::query(
        "with written as (
             insert into inbound_request (shard, request_id, tenant_id, source_id, channel, claim, provider_event_id,
                                          event_type, body_hash, body_bytes, head, remote_address,
                                          received_at, answer_status, verdict, reason, original_id)
             select *
             from unnest($1::smallint[], $2::uuid[], $3::uuid[], $4::uuid[], $5::smallint[], $6::bytea[], $7::text[],
                         $8::text[], $9::bytea[], $10::integer[], $11::text[], $12::text[], $13::bigint[],
                         $14::smallint[], $15::smallint[], $16::text[], $17::uuid[])
             on conflict do nothing
         )
         insert into inbound_body (shard, request_id, body)
         select * from unnest($18::smallint[], $19::uuid[], $20::bytea[])
         on conflict do nothing",
    )
    .bind(columns.shards)
    .bind(columns.request_ids)
    .bind(columns.tenant_ids)
    .bind(columns.source_ids)
    .bind(columns.channels)
    .bind(columns.claims)
    .bind(columns.provider_event_ids)
    .bind(columns.event_types)
    .bind(columns.body_hashes)
    .bind(columns.body_bytes)
    .bind(columns.heads)
    .bind(columns.remote_addresses)
    .bind(columns.received_ats)
    .bind(columns.answer_statuses)
    .bind(requests().map(|request| request.verdict.column()).collect::<Vec<_>>())
    .bind(requests().map(|request| request.reason.as_str()).collect::<Vec<_>>())
    .bind(requests().map(|request| request.original_id.map(InboundId::uuid)).collect::<Vec<_>>())
    .bind(bodies().map(|(request, _)| request.id.shard().column()).collect::<Vec<_>>())
    .bind(bodies().map(|(request, _)| request.id.uuid()).collect::<Vec<_>>())
    .bind(bodies().map(|(_, body)| body.as_ref()).collect::<Vec<_>>())
    .execute(pool)
    .await?;
    Ok(())
}

/// The columns that every record has, one array each.
#[derive(Default)]
struct Columns<'a> {
    shards: Vec<i16>,
    request_ids: Vec<Uuid>,
    tenant_ids: Vec<Uuid>,
    source_ids: Vec<Uuid>,
    channels: Vec<i16>,
    claims: Vec<&'a [u8]>,
    provider_event_ids: Vec<&'a str>,
    event_types: Vec<&'a str>,
    body_hashes: Vec<&'a [u8]>,
    body_bytes: Vec<i32>,
    heads: Vec<String>,
    remote_addresses: Vec<&'a str>,
    received_ats: Vec<i64>,
    answer_statuses: Vec<i16>,
}

impl<'a> Columns<'a> {
    fn new(requests: impl Iterator<Item = &'a InboundRequest>) -> Result<Self> {
        let mut columns = Self::default();
        for request in requests {
            columns.shards.push(request.id.shard().column());
            columns.request_ids.push(request.id.uuid());
            columns.tenant_ids.push(request.tenant_id.uuid());
            columns.source_ids.push(request.source_id.uuid());
            columns.channels.push(request.channel.column());
            columns.claims.push(&request.claim);
            columns.provider_event_ids.push(&request.provider_event_id);
            columns.event_types.push(request.event_type.as_str());
            columns.body_hashes.push(&request.body_hash);
            columns.body_bytes.push(bytes_column(request.body_bytes));
            columns.heads.push(head_column(request)?);
            columns.remote_addresses.push(&request.remote_address);
            columns.received_ats.push(request.received_at);
            columns
                .answer_statuses
                .push(status_column(request.answer_status));
        }
        Ok(columns)
    }
}
