//! Inbound requests: writing what was received, a batch at a time.
//!
//! The third hot statement. A request is accepted when its row gets the claim (the unique index over source and claim);
//! its event and deliveries are written with it or not at all. A row that loses the claim is a duplicate or a conflict of
//! the one that holds it, be that older or in the same batch, and is written as such before anybody is answered.
//!
//! The batch may be repeated as it is when its commit is uncertain: ids are the caller's, what is there is left alone, and
//! a row that finds itself holding the claim is new, as it was said the first time. What operators read is in
//! `inbound_view`.

mod postgres;
mod sqlite;

use bytes::Bytes;
use sqlx::FromRow;
use uuid::Uuid;

use super::{EmitRow, OneOf, Result, Store};
use crate::model::{
    id::{InboundId, SourceId},
    inbound::{Channel, InboundRequest, Verdict},
    source::Answer,
};

/// A request that verified, to be accepted unless it was before.
#[derive(Debug, Clone)]
pub(crate) struct InboundRow {
    /// Its record, as it is when it is accepted.
    pub request: InboundRequest,
    /// The event that it becomes, with its deliveries; it has the record's id, and the body is its payload.
    pub emit: EmitRow,
}

/// What became of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Receipt {
    /// It was accepted.
    New,
    /// The same body was accepted before.
    Duplicate(Original),
    /// Another body was accepted before.
    Conflict(Original),
}

/// The accepted request that another one repeats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Original {
    /// Which.
    pub id: InboundId,
    /// What a consumer computed as its answer.
    pub answer: Option<Answer>,
}

/// A record that is kept without an event.
#[derive(Debug, Clone)]
pub(crate) struct KeptRow {
    /// The record.
    pub request: InboundRequest,
    /// Its body. None: the event of the original has the same.
    pub body: Option<Bytes>,
}

/// How much of a source's rejected and quarantined requests is kept.
#[derive(Debug, Clone, Copy, FromRow)]
pub(crate) struct KeptCount {
    source_id: Uuid,
    /// How many records.
    pub records: i64,
    /// How long their bodies are together.
    pub bytes: i64,
}

impl KeptCount {
    /// The source.
    pub(crate) fn source_id(&self) -> SourceId {
        SourceId::from_uuid(self.source_id)
    }
}

impl Store {
    /// Writes a batch and makes it durable. The answers are in the order of the rows.
    pub(crate) async fn inbound_batch(&self, rows: &[InboundRow]) -> Result<Vec<Receipt>> {
        self.within(async {
            match self.ledger() {
                OneOf::Postgres(pool) => postgres::receive(pool, rows).await,
                OneOf::Sqlite(writer) => sqlite::receive(writer, rows).await,
            }
        })
        .await
    }

    /// Writes records that are no events. Those that are there are left alone.
    pub(crate) async fn inbound_keep(&self, rows: &[KeptRow]) -> Result<()> {
        let rows = rows.iter().collect::<Vec<_>>();
        self.within(async {
            match self.ledger() {
                OneOf::Postgres(pool) => postgres::keep(pool, &rows).await,
                OneOf::Sqlite(writer) => {
                    let mut tx = writer.begin().await?;
                    sqlite::keep(&mut tx, &rows).await?;
                    Ok(tx.commit().await?)
                }
            }
        })
        .await
    }

    /// Writes the answer that a consumer computed for an accepted request. False: it has one already, or is none.
    pub(crate) async fn inbound_answer(&self, id: InboundId, answer: &Answer) -> Result<bool> {
        let text = serde_json::to_string(answer).map_err(super::Error::bug)?;
        self.within(async {
            let mut conn = self.ledger_acquire().await?;
            let written = on!(&mut conn, conn => {
                sqlx::query(
                    "update inbound_request set answer = $3, answer_status = $4
                     where shard = $1 and request_id = $2 and verdict = 1 and answer is null",
                )
                .bind(id.shard().column())
                .bind(id.uuid())
                .bind(text)
                .bind(status_column(answer.status))
                .execute(&mut **conn)
                .await?
                .rows_affected()
            });
            Ok(written == 1)
        })
        .await
    }

    /// The answer that a consumer computed for an accepted request.
    pub(crate) async fn inbound_answered(&self, id: InboundId) -> Result<Option<Answer>> {
        let text = read!(self, conn => {
            sqlx::query_scalar::<_, Option<String>>(
                "select answer from inbound_request where shard = $1 and request_id = $2 and verdict = 1",
            )
            .bind(id.shard().column())
            .bind(id.uuid())
            .fetch_optional(conn)
            .await
        })?;
        text.flatten().as_deref().map(read_answer).transpose()
    }

    /// How much of each source's rejected and quarantined requests is kept, those under a legal hold aside.
    pub(crate) async fn inbound_kept(&self) -> Result<Vec<KeptCount>> {
        Ok(read!(self, conn => {
            sqlx::query_as::<_, KeptCount>(
                "select source_id, count(*) as records, cast(coalesce(sum(body_bytes), 0) as bigint) as bytes
                 from inbound_request
                 where verdict in (4, 5) and not held
                 group by source_id",
            )
            .fetch_all(conn)
            .await
        })?)
    }
}

/// The row that holds a claim.
struct Standing {
    original: Original,
    body_hash: Vec<u8>,
    channel: i16,
}

impl Standing {
    fn read<R: sqlx::Row>(row: &R) -> Result<Self>
    where
        for<'a> &'a str: sqlx::ColumnIndex<R>,
        for<'a> Uuid: sqlx::Decode<'a, R::Database> + sqlx::Type<R::Database>,
        for<'a> Vec<u8>: sqlx::Decode<'a, R::Database> + sqlx::Type<R::Database>,
        for<'a> String: sqlx::Decode<'a, R::Database> + sqlx::Type<R::Database>,
        for<'a> i16: sqlx::Decode<'a, R::Database> + sqlx::Type<R::Database>,
    {
        let answer = row.try_get::<Option<String>, _>("answer")?;
        let answer = answer.as_deref().map(read_answer).transpose();
        Ok(Self {
            original: Original {
                id: InboundId::from_uuid(row.try_get("request_id")?),
                answer: answer?,
            },
            body_hash: row.try_get("body_hash")?,
            channel: row.try_get("channel")?,
        })
    }

    /// What a row is that did not get the claim.
    fn receipt(self, row: &InboundRow) -> Receipt {
        if self.original.id == row.request.id {
            return Receipt::New;
        }
        match repeated(&row.request, &self.body_hash, self.channel) {
            Verdict::Conflict => Receipt::Conflict(self.original),
            _ => Receipt::Duplicate(self.original),
        }
    }
}

/// What a request is, duplicate or conflict, that claims what another one has, by the hash of that one's body and the
/// channel that it came by. A list shows an event in other words than the webhook brought it in: that is no conflict.
pub(super) fn repeated(request: &InboundRequest, body_hash: &[u8], channel: i16) -> Verdict {
    let channels = [channel, request.channel.column()];
    if request.body_hash == body_hash || channels.contains(&Channel::Poll.column()) {
        Verdict::Duplicate
    } else {
        Verdict::Conflict
    }
}

/// The record of a row that lost its claim. None: it did not, or polling saw again what it sees with each pull.
fn lost(row: &InboundRow, receipt: &Receipt) -> Option<KeptRow> {
    if row.request.channel == Channel::Poll {
        return None;
    }
    let (verdict, original, body) = match receipt {
        Receipt::New => return None,
        Receipt::Duplicate(original) => (Verdict::Duplicate, original, None),
        Receipt::Conflict(original) => {
            let body = row.emit.event.payload.clone();
            (Verdict::Conflict, original, Some(body))
        }
    };
    let request = InboundRequest {
        verdict,
        original_id: Some(original.id),
        ..row.request.clone()
    };
    Some(KeptRow { request, body })
}

/// A claim that nobody holds although its row could not be written: the id is another record's.
fn taken_id(id: InboundId) -> super::Error {
    super::Error::bug(format!("the id of {id} is that of another record"))
}

fn read_answer(column: &str) -> Result<Answer> {
    serde_json::from_str(column).map_err(super::Error::bug)
}

fn head_column(request: &InboundRequest) -> Result<String> {
    serde_json::to_string(&request.head).map_err(super::Error::bug)
}

fn status_column(status: u16) -> i16 {
    i16::try_from(status).unwrap_or(i16::MAX)
}

fn bytes_column(bytes: u32) -> i32 {
    i32::try_from(bytes).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests;
