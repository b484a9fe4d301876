//! Transactions: of the registry, or of the data of one shard, and never of both.
//!
//! Registry and data may come to live in different databases. So what changes both changes the registry first; the data
//! follow, and whoever owns them makes up for what did not.

use std::marker::PhantomData;

use sqlx::{Postgres, Sqlite, Transaction};

use super::{OneOf, Result, Store};
use crate::model::id::Shard;

/// The side of the registry: tenants, event types, objects, keys and secrets.
#[derive(Debug)]
pub(crate) enum Registry {}

/// The side of the data: events, deliveries, attempts and inbound requests.
#[derive(Debug)]
pub(crate) enum Ledger {}

/// A transaction. Dropped without [`Tx::commit`], it is rolled back.
#[derive(Debug)]
pub(crate) struct Tx<S> {
    pub(super) on: OneOf<Transaction<'static, Postgres>, Transaction<'static, Sqlite>>,
    /// Whose data it is of. None: it is of the registry.
    pub(super) shard: Option<Shard>,
    side: PhantomData<S>,
}

/// A transaction of the registry.
pub(crate) type RegistryTx = Tx<Registry>;
/// A transaction of the data of one shard.
pub(crate) type LedgerTx = Tx<Ledger>;

impl Store {
    /// Begins a transaction of the registry. On SQLite it holds the write lock from the start.
    pub(crate) async fn begin(&self) -> Result<RegistryTx> {
        self.begin_on(None).await
    }

    /// Begins a transaction of the data of a shard. On SQLite it holds the write lock from the start.
    pub(crate) async fn begin_in(&self, shard: Shard) -> Result<LedgerTx> {
        self.begin_on(Some(shard)).await
    }

    async fn begin_on<S>(&self, shard: Option<Shard>) -> Result<Tx<S>> {
        let on = match self.writer() {
            OneOf::Postgres(pool) => OneOf::Postgres(pool.begin().await?),
            OneOf::Sqlite(writer) => OneOf::Sqlite(writer.begin().await?),
        };
        Ok(Tx {
            on,
            shard,
            side: PhantomData,
        })
    }
}

impl<S> Tx<S> {
    /// Makes everything that was done durable.
    pub(crate) async fn commit(self) -> Result<()> {
        Ok(on!(self.on, tx => tx.commit().await)?)
    }
}
