//! Inbound requests as operators see them: one, or a page of them, and the bodies that are kept.
//!
//! The table has no index on what a list can be narrowed to but time; two narrow kinds of requests have one of their own.
//! Those are asked for by conditions that the index repeats, so that a database can tell that it may use it.

use bytes::Bytes;
use sqlx::{AssertSqlSafe, FromRow};
use uuid::Uuid;

use crate::model::{
    claim::ClaimKey,
    event_type::EventTypeName,
    id::{InboundId, Shard, SourceId, TenantId},
    inbound::{Channel, Head, InboundRequest, Part, Verdict},
};
use crate::store::{
    Error, LedgerTx, OneOf, Result, Store,
    view::reading::Reading,
    view::scan::{SLICE_ROWS_MAX, Scan, Scanned, floor, last_below, scan_floor},
};

/// Which inbound requests to list, newest first.
#[derive(Debug, Clone)]
pub(crate) struct InboundFilter<'a> {
    /// The tenant's shard.
    pub shard: Shard,
    /// The tenant.
    pub tenant_id: TenantId,
    /// Only of this source.
    pub source_id: Option<SourceId>,
    /// Only with this verdict.
    pub verdict: Option<Verdict>,
    /// Only of this type.
    pub event_type: Option<&'a str>,
    /// Only with this id of the provider. Needs a source.
    pub provider_event_id: Option<&'a str>,
    /// Only the items of this batch.
    pub batch_id: Option<InboundId>,
    /// The first id that may be listed.
    pub from: Uuid,
    /// The first id that may not be listed any more.
    pub below: Uuid,
    /// How many.
    pub limit: i64,
}

/// The columns of a request without its body.
const COLUMNS: &str = "request_id, tenant_id, source_id, verdict, reason, channel, claim, batch_id, provider_event_id, \
     event_type, original_id, body_hash, body_bytes, head, remote_address, received_at, answer_status, held";

/// Requests of a kind that has an index of its own.
#[derive(Debug, Clone, Copy)]
struct Kind {
    /// What tells them, as the index says it.
    condition: &'static str,
    /// The index. None: the primary key.
    index: Option<&'static str>,
}

const ANY: Kind = Kind {
    condition: "1 = 1",
    index: None,
};
/// The accepted requests of an id of the provider, by what they claim.
const ACCEPTED: Kind = Kind {
    condition: "verdict = 1 and source_id = $3 and claim between $8 and $10",
    index: Some("inbound_request_claim"),
};
/// Their repeats.
const REPEATS: Kind = Kind {
    condition: "verdict in (2, 3) and source_id = $3 and claim between $8 and $10",
    index: Some("inbound_request_repeat"),
};
/// What goes by age.
const QUARANTINE: Kind = Kind {
    condition: "verdict in (4, 5)",
    index: Some("inbound_request_quarantine"),
};
/// The items of a batch.
const ITEMS: Kind = Kind {
    condition: "batch_id = $11 and request_id <> $11",
    index: Some("inbound_request_batch"),
};

/// Where a page stops among all requests.
pub(in crate::store) const FLOOR: &str = floor!("inbound_request", "request_id");
/// Where it stops among those that go by age.
pub(in crate::store) const QUARANTINE_FLOOR: &str =
    floor!("inbound_request", "request_id", "and verdict in (4, 5)");

impl Kind {
    /// The statement that says where a page stops among requests of this kind. None: they are few.
    fn floor(&self) -> Option<&'static str> {
        match self.index {
            None => Some(FLOOR),
            Some("inbound_request_quarantine") => Some(QUARANTINE_FLOOR),
            Some(_) => None,
        }
    }
}

const BODY: &str = "
    select body from inbound_body where shard = $1 and request_id = $2
    union all
    select payload from event where shard = $1 and event_id = $3
    union all
    select body from inbound_body where shard = $1 and request_id = $3
    limit 1";

/// A row as the database has it.
#[derive(FromRow)]
struct RecordRow {
    request_id: Uuid,
    tenant_id: Uuid,
    source_id: Uuid,
    verdict: i16,
    reason: String,
    channel: i16,
    claim: Vec<u8>,
    batch_id: Option<Uuid>,
    provider_event_id: String,
    event_type: String,
    original_id: Option<Uuid>,
    body_hash: Vec<u8>,
    body_bytes: i32,
    head: String,
    remote_address: String,
    received_at: i64,
    answer_status: i16,
    held: bool,
}

impl Store {
    /// One inbound request of a tenant.
    pub(crate) async fn inbound_get(
        &self,
        tenant_id: TenantId,
        id: InboundId,
    ) -> Result<Option<InboundRequest>> {
        let sql = get_sql("");
        let row = read!(self, conn => {
            sqlx::query_as::<_, RecordRow>(AssertSqlSafe(sql))
                .bind(id.shard().column())
                .bind(id.uuid())
                .bind(tenant_id.uuid())
                .fetch_optional(conn)
                .await
        })?;
        row.map(RecordRow::into_request).transpose()
    }

    /// A tenant's inbound requests, newest first.
    pub(crate) async fn inbound_list(
        &self,
        filter: &InboundFilter<'_>,
    ) -> Result<Scanned<InboundRequest>> {
        let mut reading = Reading::begin(self).await?;
        let mut scan = Scan::new(filter.limit);
        while let Some(slice) = scan.next() {
            let looked_at = InboundFilter {
                below: slice.after.unwrap_or(filter.below),
                limit: slice.limit,
                ..filter.clone()
            };
            scan.add(self.inbound_slice(&mut reading, &looked_at).await?);
        }
        Ok(scan.end())
    }

    async fn inbound_slice(
        &self,
        reading: &mut Reading,
        filter: &InboundFilter<'_>,
    ) -> Result<Scanned<InboundRequest>> {
        let mut stopped_at = None;
        let ids = (filter.from, last_below(filter.below));
        for floor in kinds(filter).iter().filter_map(Kind::floor) {
            let floor = scan_floor(reading, floor, filter.shard, ids, SLICE_ROWS_MAX);
            stopped_at = stopped_at.max(floor.await?);
        }
        // SQLite has no statistics and prefers the primary key; PostgreSQL knows better.
        let sql = list_sql(filter, self.is_sqlite());
        let claims = filter.provider_event_id.map(ClaimKey::range);
        let (first, last) = claims.unzip();
        let column = |claim: Option<ClaimKey>| claim.map(|claim| claim.column().to_vec());
        let rows = read_on!(reading, conn => {
            sqlx::query_as::<_, RecordRow>(AssertSqlSafe(sql))
                .bind(filter.shard.column())
                .bind(filter.tenant_id.uuid())
                .bind(filter.source_id.map(SourceId::uuid))
                .bind(filter.verdict.map(Verdict::column))
                .bind(filter.event_type)
                .bind(stopped_at.unwrap_or(filter.from))
                .bind(filter.below)
                .bind(column(first))
                .bind(filter.provider_event_id)
                .bind(column(last))
                .bind(filter.batch_id.map(InboundId::uuid))
                .bind(filter.limit)
                .fetch_all(conn)
                .await
        })?;
        let rows = rows.into_iter().map(RecordRow::into_request);
        Ok(Scanned {
            rows: rows.collect::<Result<_>>()?,
            stopped_at,
        })
    }

    /// The body of a request, wherever it is kept. None: it is gone.
    pub(crate) async fn inbound_body(&self, request: &InboundRequest) -> Result<Option<Bytes>> {
        let row: Option<(Vec<u8>,)> = read!(self, conn => {
            sqlx::query_as(BODY)
                .bind(request.id.shard().column())
                .bind(request.id.uuid())
                .bind(elsewhere(request).map(InboundId::uuid))
                .fetch_optional(conn)
                .await
        })?;
        Ok(row.map(|(body,)| body.into()))
    }
}

impl LedgerTx {
    /// One inbound request of a tenant, held against changes until the transaction ends.
    pub(crate) async fn inbound_lock(
        &mut self,
        tenant_id: TenantId,
        id: InboundId,
    ) -> Result<Option<InboundRequest>> {
        let sql = get_sql(match &mut self.on {
            OneOf::Postgres(_) => "for update",
            OneOf::Sqlite(_) => "",
        });
        let row = on!(&mut self.on, tx => {
            sqlx::query_as::<_, RecordRow>(AssertSqlSafe(sql))
                .bind(id.shard().column())
                .bind(id.uuid())
                .bind(tenant_id.uuid())
                .fetch_optional(&mut **tx)
                .await
        })?;
        row.map(RecordRow::into_request).transpose()
    }

    /// The body of a request, wherever it is kept. None: it is gone.
    pub(crate) async fn inbound_body(&mut self, request: &InboundRequest) -> Result<Option<Bytes>> {
        let row: Option<(Vec<u8>,)> = on!(&mut self.on, tx => {
            sqlx::query_as(BODY)
                .bind(request.id.shard().column())
                .bind(request.id.uuid())
                .bind(elsewhere(request).map(InboundId::uuid))
                .fetch_optional(&mut **tx)
                .await
        })?;
        Ok(row.map(|(body,)| body.into()))
    }
}

/// The request whose event, or whose kept body, has the same bytes: itself, or the one that it repeats.
fn elsewhere(request: &InboundRequest) -> Option<InboundId> {
    match request.verdict {
        Verdict::Accepted => Some(request.id),
        Verdict::Duplicate => request.original_id,
        Verdict::Conflict | Verdict::Rejected | Verdict::Quarantined => None,
    }
}

fn get_sql(lock: &str) -> String {
    format!(
        "select {COLUMNS}
         from inbound_request
         where shard = $1 and request_id = $2 and tenant_id = $3
         {lock}"
    )
}

/// One select for each kind of request that may match, so that each can use its index.
pub(in crate::store) fn list_sql(filter: &InboundFilter<'_>, names_indexes: bool) -> String {
    let select = |kind: &Kind| {
        let condition = kind.condition;
        let index = kind.index.filter(|_| names_indexes);
        let index = index.map_or_else(String::new, |name| format!("indexed by {name}"));
        format!(
            "select * from (
                 select {COLUMNS}
                 from inbound_request {index}
                 where shard = $1 and tenant_id = $2 and ($3 is null or source_id = $3)
                   and ($4 is null or verdict = $4) and ($5 is null or event_type = $5)
                   and request_id >= $6 and request_id < $7
                   and ($8 is null or claim between $8 and $10 and provider_event_id = $9)
                   and ($11 is null or batch_id = $11) and {condition}
                 order by request_id desc
                 limit $12
             ) as found"
        )
    };
    let selects = kinds(filter).iter().map(select);
    let selects = selects.collect::<Vec<_>>().join(" union all ");
    format!("select * from ({selects}) as listed order by request_id desc limit $12")
}

fn kinds(filter: &InboundFilter<'_>) -> &'static [Kind] {
    if filter.batch_id.is_some() {
        return &[ITEMS];
    }
    match (filter.provider_event_id.is_some(), filter.verdict) {
        (_, Some(Verdict::Rejected | Verdict::Quarantined)) => &[QUARANTINE],
        (false, _) => &[ANY],
        (true, Some(Verdict::Accepted)) => &[ACCEPTED],
        (true, Some(Verdict::Duplicate | Verdict::Conflict)) => &[REPEATS],
        (true, None) => &[ACCEPTED, REPEATS, QUARANTINE],
    }
}

impl RecordRow {
    fn into_request(self) -> Result<InboundRequest> {
        let unknown = |what: &str, value: i16| Error::bug(format!("{what} {value}"));
        let id = InboundId::from_uuid(self.request_id);
        Ok(InboundRequest {
            id,
            part: Part::from_column(id, self.batch_id),
            tenant_id: TenantId::from_uuid(self.tenant_id),
            source_id: SourceId::from_uuid(self.source_id),
            verdict: Verdict::from_column(self.verdict)
                .ok_or_else(|| unknown("verdict", self.verdict))?,
            reason: self.reason,
            channel: Channel::from_column(self.channel)
                .ok_or_else(|| unknown("channel", self.channel))?,
            claim: ClaimKey::from_column(&self.claim)
                .ok_or_else(|| Error::bug("a claim of another length"))?,
            provider_event_id: self.provider_event_id,
            event_type: EventTypeName::parse(&self.event_type).map_err(Error::bug)?,
            original_id: self.original_id.map(InboundId::from_uuid),
            body_hash: digest(&self.body_hash)?,
            body_bytes: u32::try_from(self.body_bytes).map_err(Error::bug)?,
            head: serde_json::from_str::<Head>(&self.head).map_err(Error::bug)?,
            remote_address: self.remote_address,
            received_at: self.received_at,
            answer_status: u16::try_from(self.answer_status).map_err(Error::bug)?,
            held: self.held,
        })
    }
}

fn digest(column: &[u8]) -> Result<[u8; 32]> {
    column.try_into().map_err(Error::bug)
}
