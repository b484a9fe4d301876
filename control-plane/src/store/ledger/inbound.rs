//! Inbound requests: writing what was received, a batch at a time.
//!
//! The third hot statement. A request is accepted when its row gets its claim (the unique index over source and claim);
//! its event and deliveries are written with it or not at all. A row that loses the claim is a duplicate or a conflict of
//! the one that holds it, be that older or in the same batch, and is written as such before anybody is answered.
//!
//! A request that is taken apart is several rows: itself, with its body, and each of its items, with the item's event.
//!
//! The batch may be repeated as it is when its commit is uncertain: ids are the caller's, what is there is left alone, and
//! a row that was accepted is new, as it was said the first time. `receive` is the order of the statements, which stand in
//! `postgres` and `sqlite`. What operators read is in `inbound_view`.

mod postgres;
mod receive;
mod sqlite;
mod tries;

use bytes::Bytes;
use sqlx::{Connection as _, FromRow, PgConnection, SqliteConnection};
use uuid::Uuid;

use crate::model::{
    id::{InboundId, SourceId},
    inbound::{Channel, InboundRequest, Verdict},
    source::{Answer, OnConflict},
};
use crate::store::{EmitRow, LedgerTx, OneOf, Result, Store};

/// A request that verified, or an item of one, to be accepted unless it was before.
#[derive(Debug, Clone)]
pub(crate) struct InboundRow {
    /// Its record, as it is when it is accepted.
    pub request: InboundRequest,
    /// What is written with it.
    pub brings: Brings,
    /// For how long its claim holds, in milliseconds. None: for as long as there are records.
    pub window_ms: Option<i64>,
    /// What becomes of it when other bytes have its claim.
    pub on_conflict: OnConflict,
}

/// What an accepted request is.
#[derive(Debug, Clone)]
pub(crate) enum Brings {
    /// An event with its deliveries; it has the record's id, and the body is its payload.
    Event(EmitRow),
    /// A batch: its body. The events are its items'.
    Batch(Bytes),
}

impl InboundRow {
    /// The event that it is when it is accepted.
    pub(crate) fn emit(&self) -> Option<&EmitRow> {
        match &self.brings {
            Brings::Event(emit) => Some(emit),
            Brings::Batch(_) => None,
        }
    }

    fn body(&self) -> &Bytes {
        match &self.brings {
            Brings::Event(emit) => &emit.event.payload,
            Brings::Batch(body) => body,
        }
    }
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
    /// As the provider posted it: itself, or the batch that it was an item of.
    pub posted_id: InboundId,
    /// Whether it has the same bytes. A list shows an event in other words.
    pub has_same_body: bool,
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
                OneOf::Postgres(pool) => {
                    let mut conn = pool.acquire().await?;
                    if rows.iter().all(|row| row.window_ms.is_none()) {
                        // Each statement commits by itself: no row relies on another but those of one request, which are
                        // written by one statement.
                        return receive::receive(&mut OneOf::Postgres(&mut conn), rows).await;
                    }
                    let mut tx = conn.begin().await?;
                    let received = receive::receive(&mut OneOf::Postgres(&mut tx), rows).await?;
                    tx.commit().await?;
                    Ok(received)
                }
                OneOf::Sqlite(writer) => {
                    let mut tx = writer.begin().await?;
                    let received = receive::receive(&mut OneOf::Sqlite(&mut tx), rows).await?;
                    tx.commit().await?;
                    Ok(received)
                }
            }
        })
        .await
    }

    /// Writes records that are no events. Those that are there are left alone.
    pub(crate) async fn inbound_keep(&self, rows: &[KeptRow]) -> Result<()> {
        let rows = rows.iter().collect::<Vec<_>>();
        self.within(async {
            match self.ledger() {
                OneOf::Postgres(pool) => postgres::keep(&mut *pool.acquire().await?, &rows).await,
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
        let text = serde_json::to_string(answer).map_err(crate::store::Error::bug)?;
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

impl LedgerTx {
    /// Writes rows that want to be accepted, as a batch does. The answers are in the order of the rows.
    pub(crate) async fn inbound_receive(&mut self, rows: &[InboundRow]) -> Result<Vec<Receipt>> {
        match &mut self.on {
            OneOf::Postgres(tx) => receive::receive(&mut OneOf::Postgres(&mut *tx), rows).await,
            OneOf::Sqlite(tx) => receive::receive(&mut OneOf::Sqlite(&mut *tx), rows).await,
        }
    }
}

/// A connection, within a transaction or not.
type Conn<'c> = OneOf<&'c mut PgConnection, &'c mut SqliteConnection>;

/// The accepted row that holds a claim.
struct ClaimHolder {
    id: InboundId,
    batch_id: Option<Uuid>,
    body_hash: Vec<u8>,
    channel: i16,
    received_at: i64,
    answer: Option<Answer>,
}

impl ClaimHolder {
    fn read<R: sqlx::Row>(row: &R) -> Result<Self>
    where
        for<'a> &'a str: sqlx::ColumnIndex<R>,
        for<'a> Uuid: sqlx::Decode<'a, R::Database> + sqlx::Type<R::Database>,
        for<'a> Vec<u8>: sqlx::Decode<'a, R::Database> + sqlx::Type<R::Database>,
        for<'a> String: sqlx::Decode<'a, R::Database> + sqlx::Type<R::Database>,
        for<'a> i16: sqlx::Decode<'a, R::Database> + sqlx::Type<R::Database>,
        for<'a> i64: sqlx::Decode<'a, R::Database> + sqlx::Type<R::Database>,
    {
        let answer = row.try_get::<Option<String>, _>("answer")?;
        Ok(Self {
            id: InboundId::from_uuid(row.try_get("request_id")?),
            batch_id: row.try_get("batch_id")?,
            body_hash: row.try_get("body_hash")?,
            channel: row.try_get("channel")?,
            received_at: row.try_get("received_at")?,
            answer: answer.as_deref().map(read_answer).transpose()?,
        })
    }
}

/// What a request is, duplicate or conflict, that claims what another one has, by the hash of that one's body and the
/// channel that it came by. A list shows an event in other words than the webhook brought it in: that is no conflict.
fn repeated(request: &InboundRequest, body_hash: &[u8], channel: i16) -> Verdict {
    let channels = [channel, request.channel.column()];
    if request.body_hash == body_hash || channels.contains(&Channel::Poll.column()) {
        Verdict::Duplicate
    } else {
        Verdict::Conflict
    }
}

fn read_answer(column: &str) -> Result<Answer> {
    serde_json::from_str(column).map_err(crate::store::Error::bug)
}

fn head_column(request: &InboundRequest) -> Result<String> {
    serde_json::to_string(&request.head).map_err(crate::store::Error::bug)
}

fn status_column(status: u16) -> i16 {
    i16::try_from(status).unwrap_or(i16::MAX)
}

fn bytes_column(bytes: u32) -> i32 {
    i32::try_from(bytes).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests;
