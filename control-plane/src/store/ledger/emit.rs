//! The emit statement: events and their deliveries, a batch at a time.
//!
//! One of the three hot statements, so each database has its own text: arrays and data-modifying CTEs on PostgreSQL, which
//! make the whole batch one round trip and one commit; chunked multi-row inserts in one transaction on SQLite.
//!
//! The batch may be repeated as it is when its commit is uncertain: ids are the caller's, and what is there already is
//! left alone. A batch carries rows of many shards only because they live on one server: no row relies on another.

mod postgres;
pub(in crate::store) mod sqlite;

use std::sync::Arc;

use uuid::Uuid;

use crate::model::{
    event::Event,
    id::{DeliveryId, EndpointId, EventId},
};
use crate::store::{LedgerTx, OneOf, Result, Store};

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
    Conflict {
        /// The event that it stands for. None: both have just gone.
        event_id: Option<EventId>,
    },
}

impl Store {
    /// Writes a batch and makes it durable. The answers are in the order of the rows.
    pub(crate) async fn emit_batch(&self, rows: &[EmitRow]) -> Result<Vec<Emitted>> {
        self.within(self.emit_batch_now(rows)).await
    }

    async fn emit_batch_now(&self, rows: &[EmitRow]) -> Result<Vec<Emitted>> {
        match self.ledger() {
            OneOf::Postgres(pool) => postgres::emit(pool, rows).await,
            OneOf::Sqlite(writer) => sqlite::emit(writer, rows).await,
        }
    }
}

impl LedgerTx {
    /// Writes one event without an idempotency key, and its deliveries.
    pub(crate) async fn event_insert(&mut self, row: &EmitRow) -> Result<()> {
        match &mut self.on {
            OneOf::Postgres(tx) => {
                postgres::write(&mut **tx, std::slice::from_ref(row)).await?;
                postgres::set_batch(tx, &row.event).await
            }
            OneOf::Sqlite(tx) => sqlite::insert(tx, &[row]).await,
        }
    }
}

/// What a key stands for.
struct KeyedEvent {
    event_id: EventId,
    content_hash: Vec<u8>,
    delivery_count: u16,
}

impl KeyedEvent {
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
            Emitted::Conflict {
                event_id: Some(self.event_id),
            }
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
