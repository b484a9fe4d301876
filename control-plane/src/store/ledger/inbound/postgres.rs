//! The inbound statements of PostgreSQL: arrays and data-modifying CTEs, so that a batch without repeats is one round trip
//! and one commit.
//!
//! What lost its claim is looked up and written by two more statements. But where windows are looked at, each has a commit
//! of its own: no row relies on another, and nobody is answered before the last of them.

use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Brings, ClaimHolder, InboundRow, KeptRow, Result, bytes_column, head_column, status_column,
    tries::Try,
};
use crate::model::{claim::ClaimKey, event::Event, id::InboundId, inbound::InboundRequest};
use crate::store::ledger::event::headers_column;

/// Has those that were received too long ago claim nothing but themselves, so that the windows of these rows begin.
pub(super) async fn release(conn: &mut PgConnection, tries: &[Try<'_>]) -> Result<()> {
    let requests = || tries.iter().map(|one| &one.row.request);
    sqlx::query(
        "update inbound_request r set claim = substring(r.claim from 1 for 16) || uuid_send(r.request_id)
         from unnest($1::smallint[], $2::uuid[], $3::bytea[], $4::bigint[]) as i (shard, source_id, claim, expired_at)
         where r.shard = i.shard and r.source_id = i.source_id and r.claim = i.claim and r.verdict = 1
           and r.received_at <= i.expired_at",
    )
    .bind(requests().map(|request| request.id.shard().column()).collect::<Vec<_>>())
    .bind(requests().map(|request| request.source_id.uuid()).collect::<Vec<_>>())
    .bind(tries.iter().map(|one| one.claim.column()).collect::<Vec<_>>())
    .bind(tries.iter().map(|one| one.expired_at()).collect::<Vec<_>>())
    .execute(conn)
    .await?;
    Ok(())
}

/// Writes the rows that get their claim, with what they bring, and returns their ids.
#[expect(clippy::too_many_lines, reason = "most of it is SQL")]
pub(super) async fn claim(conn: &mut PgConnection, tries: &[Try<'_>]) -> Result<Vec<Uuid>> {
    let rows = || tries.iter().map(|one| one.row);
    let columns = Columns::new(tries.iter().map(|one| (&one.row.request, &one.claim)))?;
    let events = || rows().map(event);
    let bodies = || rows().filter_map(batch_body);
    let deliveries = || {
        let emits = (1_i32..).zip(rows().map(InboundRow::emit));
        emits.flat_map(|(parent, emit)| {
            let deliveries = emit.into_iter().flat_map(crate::store::EmitRow::deliveries);
            deliveries.map(move |delivery| (parent, delivery))
        })
    };
    // `is true` keeps the planner from making a join of the look-up in `claimed`, which here could only be a nested loop.
    let claimed = sqlx::query_scalar::<_, Uuid>(
        "with input as materialized (
             select *
             from unnest($1::smallint[], $2::uuid[], $3::uuid[], $4::uuid[], $5::smallint[], $6::bytea[], $7::text[],
                         $8::text[], $9::bytea[], $10::integer[], $11::text[], $12::text[], $13::bigint[],
                         $14::smallint[], $15::uuid[], $16::bytea[], $17::text[], $18::integer[], $19::text[],
                         $20::text[])
                  as i (shard, request_id, tenant_id, source_id, channel, claim, provider_event_id,
                        event_type, body_hash, body_bytes, head, remote_address, received_at,
                        answer_status, batch_id, payload, content_type, delivery_count, traceparent, headers)
         ), claimed as (
             insert into inbound_request (shard, request_id, tenant_id, source_id, verdict, reason, channel, claim,
                                          provider_event_id, event_type, body_hash, body_bytes, head,
                                          remote_address, received_at, answer_status, batch_id)
             select shard, request_id, tenant_id, source_id, 1, '', channel, claim, provider_event_id, event_type,
                    body_hash, body_bytes, head, remote_address, received_at, answer_status, batch_id
             from input
             on conflict do nothing
             returning request_id
         ), written as (
             insert into event (shard, event_id, tenant_id, event_type, payload, content_type, occurred_at,
                                delivery_count, traceparent, source_id, batch_id, headers)
             select shard, request_id, tenant_id, event_type, payload, content_type, received_at, delivery_count,
                    traceparent, source_id, batch_id, headers
             from input
             where (request_id in (select request_id from claimed)) is true and payload is not null
             on conflict do nothing
         ), sent as (
             insert into delivery (shard, delivery_id, endpoint_id, tenant_id, next_attempt_at)
             select ($1::smallint[])[d.parent], d.delivery_id, d.endpoint_id, ($3::uuid[])[d.parent],
                    ($13::bigint[])[d.parent]
             from unnest($21::integer[], $22::uuid[], $23::uuid[]) as d (parent, delivery_id, endpoint_id)
             where (($2::uuid[])[d.parent] in (select request_id from claimed)) is true
             on conflict do nothing
         ), kept as (
             insert into inbound_body (shard, request_id, body)
             select shard, request_id, body
             from unnest($24::smallint[], $25::uuid[], $26::bytea[]) as b (shard, request_id, body)
             where (b.request_id in (select request_id from claimed)) is true
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
    .bind(columns.batch_ids)
    .bind(events().map(|event| Some(event?.payload.as_ref())).collect::<Vec<_>>())
    .bind(events().map(|event| Some(event?.content_type.as_str())).collect::<Vec<_>>())
    .bind(events().map(|event| Some(i32::from(event?.delivery_count))).collect::<Vec<_>>())
    .bind(events().map(|event| event?.traceparent.as_deref()).collect::<Vec<_>>())
    .bind(events().map(|event| headers_column(&event?.headers)).collect::<Vec<_>>())
    .bind(deliveries().map(|(parent, _)| parent).collect::<Vec<_>>())
    .bind(deliveries().map(|(_, (id, _))| id.uuid()).collect::<Vec<_>>())
    .bind(deliveries().map(|(_, (_, endpoint_id))| endpoint_id.uuid()).collect::<Vec<_>>())
    .bind(bodies().map(|(request, _)| request.id.shard().column()).collect::<Vec<_>>())
    .bind(bodies().map(|(request, _)| request.id.uuid()).collect::<Vec<_>>())
    .bind(bodies().map(|(_, body)| body).collect::<Vec<_>>())
    .fetch_all(conn)
    .await?;
    Ok(claimed)
}

fn event(row: &InboundRow) -> Option<&Event> {
    Some(row.emit()?.event.as_ref())
}

fn batch_body(row: &InboundRow) -> Option<(&InboundRequest, &[u8])> {
    match &row.brings {
        Brings::Event(_) => None,
        Brings::Batch(body) => Some((&row.request, body)),
    }
}

/// The accepted rows that are these, or hold their claims, in their order.
pub(super) async fn standing(
    conn: &mut PgConnection,
    lost: &[Try<'_>],
) -> Result<Vec<Option<ClaimHolder>>> {
    let requests = || lost.iter().map(|one| &one.row.request);
    // What holds the claim first, so that a row that is there itself comes after it and counts.
    let found = sqlx::query(
        "with input as materialized (
             select *
             from unnest($1::smallint[], $2::uuid[], $3::uuid[], $4::bytea[]) with ordinality
                  as i (shard, request_id, source_id, claim, place)
         )
         select i.place, r.request_id, r.batch_id, r.body_hash, r.channel, r.received_at, r.answer, false as is_own
         from input i
         join inbound_request r
           on r.shard = i.shard and r.source_id = i.source_id and r.claim = i.claim and r.verdict = 1
         union all
         select i.place, r.request_id, r.batch_id, r.body_hash, r.channel, r.received_at, r.answer, true
         from input i
         join inbound_request r on r.shard = i.shard and r.request_id = i.request_id and r.verdict = 1
         order by is_own",
    )
    .bind(requests().map(|request| request.id.shard().column()).collect::<Vec<_>>())
    .bind(requests().map(|request| request.id.uuid()).collect::<Vec<_>>())
    .bind(requests().map(|request| request.source_id.uuid()).collect::<Vec<_>>())
    .bind(lost.iter().map(|one| one.claim.column()).collect::<Vec<_>>())
    .fetch_all(conn)
    .await?;
    let mut standing = Vec::new();
    standing.resize_with(lost.len(), || None);
    for row in &found {
        let place: i64 = sqlx::Row::try_get(row, "place")?;
        let place = usize::try_from(place - 1).map_err(crate::store::Error::bug)?;
        standing[place] = Some(ClaimHolder::read(row)?);
    }
    Ok(standing)
}

/// Writes records that are no events, with their bodies.
pub(super) async fn keep(conn: &mut PgConnection, rows: &[&KeptRow]) -> Result<()> {
    let columns = Columns::new(rows.iter().map(|row| (&row.request, &row.request.claim)))?;
    let requests = || rows.iter().map(|row| &row.request);
    let bodies = || {
        rows.iter()
            .filter_map(|row| Some((&row.request, row.body.as_ref()?)))
    };
    sqlx::query(
        "with written as (
             insert into inbound_request (shard, request_id, tenant_id, source_id, channel, claim, provider_event_id,
                                          event_type, body_hash, body_bytes, head, remote_address,
                                          received_at, answer_status, batch_id, verdict, reason, original_id)
             select *
             from unnest($1::smallint[], $2::uuid[], $3::uuid[], $4::uuid[], $5::smallint[], $6::bytea[], $7::text[],
                         $8::text[], $9::bytea[], $10::integer[], $11::text[], $12::text[], $13::bigint[],
                         $14::smallint[], $15::uuid[], $16::smallint[], $17::text[], $18::uuid[])
             on conflict do nothing
         )
         insert into inbound_body (shard, request_id, body)
         select * from unnest($19::smallint[], $20::uuid[], $21::bytea[])
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
    .bind(columns.batch_ids)
    .bind(requests().map(|request| request.verdict.column()).collect::<Vec<_>>())
    .bind(requests().map(|request| request.reason.as_str()).collect::<Vec<_>>())
    .bind(requests().map(|request| request.original_id.map(InboundId::uuid)).collect::<Vec<_>>())
    .bind(bodies().map(|(request, _)| request.id.shard().column()).collect::<Vec<_>>())
    .bind(bodies().map(|(request, _)| request.id.uuid()).collect::<Vec<_>>())
    .bind(bodies().map(|(_, body)| body.as_ref()).collect::<Vec<_>>())
    .execute(conn)
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
    batch_ids: Vec<Option<Uuid>>,
}

impl<'a> Columns<'a> {
    fn new(requests: impl Iterator<Item = (&'a InboundRequest, &'a ClaimKey)>) -> Result<Self> {
        let mut columns = Self::default();
        for (request, claim) in requests {
            columns.shards.push(request.id.shard().column());
            columns.request_ids.push(request.id.uuid());
            columns.tenant_ids.push(request.tenant_id.uuid());
            columns.source_ids.push(request.source_id.uuid());
            columns.channels.push(request.channel.column());
            columns.claims.push(claim.column());
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
            columns.batch_ids.push(request.part.column(request.id));
        }
        Ok(columns)
    }
}
