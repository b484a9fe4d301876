//! All SQL of Posthorn, one file per noun.
//!
//! One code path serves both databases: a pool or a transaction is an enum of the two typed ones, and `on!` gives a
//! statement to whichever it is. Placeholders are `$1` on both, instants are milliseconds, ids are UUIDs. Only the
//! three hot statements (`emit`, `inbound`, `outcome`) are written per database. There is no storage trait and no mock.

use std::{path::Path, sync::Arc, time::Duration};

use sqlx::{PgPool, SqlitePool};

/// Runs one expression on whichever database a connection or a transaction is of.
macro_rules! on {
    ($db:expr, $conn:ident => $body:expr) => {
        match $db {
            $crate::store::OneOf::Postgres($conn) => $body,
            $crate::store::OneOf::Sqlite($conn) => $body,
        }
    };
}

/// Executes a statement with its parameters in a transaction, and tells how many rows it changed.
macro_rules! execute {
    ($tx:expr, $sql:expr $(, $parameter:expr)* $(,)?) => {
        on!(&mut $tx.on, tx => {
            let done = sqlx::query($sql)$(.bind($parameter))*.execute(&mut **tx).await;
            done.map(|done| done.rows_affected())
        })
    };
}

/// Runs one expression that reads, on a connection of the store's rank, and ends the [`view::reading::Reading`] with its result.
macro_rules! read {
    ($store:expr, $conn:ident => $body:expr) => {{
        let mut reading = $crate::store::view::reading::Reading::begin($store).await?;
        read_on!(reading, $conn => $body)
    }};
}

/// The same on the connection of a [`view::reading::Reading`] that goes on after it.
macro_rules! read_on {
    ($reading:expr, $conn:ident => $body:expr) => {{
        let within = $reading.within();
        let statement = async { on!($reading.conn(), $conn => $body) };
        let answer = $crate::store::view::reading::answer_within(within, statement).await;
        $reading.answered(answer)
    }};
}

/// Reads the rows of several ids: by one statement on `PostgreSQL`, which is a network away, and one after the other on
/// SQLite, which is in this process. What else the statements ask for comes after the ids.
macro_rules! read_many {
    ($store:expr, $ids:expr, $postgres:expr, $sqlite:expr $(, $also:expr)*) => {{
        let mut reading = $crate::store::view::reading::Reading::begin($store).await?;
        let within = reading.within();
        let answer = match reading.conn() {
            $crate::store::OneOf::Postgres(conn) => {
                let statement = sqlx::query_as($postgres)
                    .bind($ids)
                    $(.bind($also))*
                    .fetch_all(conn);
                $crate::store::view::reading::answer_within(within, statement).await
            }
            $crate::store::OneOf::Sqlite(conn) => {
                let one_by_one = async {
                    let mut rows = Vec::new();
                    for id in $ids {
                        rows.extend(
                            sqlx::query_as($sqlite)
                                .bind(id)
                                $(.bind($also))*
                                .fetch_all(&mut *conn)
                                .await?,
                        );
                    }
                    Ok(rows)
                };
                one_by_one.await
            }
        };
        reading.end(answer)
    }};
}

mod audit;
mod error;
mod keep;
mod ledger;
mod owner;
mod pools;
mod registry;
mod request;
mod tx;
mod view;

pub(crate) use audit::AuditFilter;
pub(crate) use error::{Error, Result, constraint, has_no_partition};
pub(crate) use ledger::attempt::{FailedFilter, FailedPlace};
pub(crate) use ledger::backlog::Backlog;
pub(crate) use ledger::dead_letter::OpenFilter;
pub(crate) use ledger::delivery::{DueDelivery, OpenCounts, OpenLane};
pub(crate) use ledger::emit::{EmitKey, EmitRow, Emitted};
pub(crate) use ledger::event::{EventBrief, EventFilter, EventSummary};
pub(crate) use ledger::inbound::{Brings, InboundRow, KeptRow, Receipt};
pub(crate) use ledger::outcome::OutcomeRow;
pub(crate) use ledger::poll::{DriftRow, PollState};
pub(crate) use owner::Ownership;
pub(crate) use registry::api_key::KeyScope;
pub(crate) use registry::change::Change;
pub(crate) use registry::tenant::TenantDeletion;
pub(crate) use request::{RequestKey, RequestRow};
pub(crate) use tx::{LedgerTx, RegistryTx, Tx};
pub(crate) use view::delivery_view::DeliveryFilter;
pub(crate) use view::inbound_view::InboundFilter;
pub(crate) use view::scan::{Scanned, last_below};

use crate::model::id::Shard;
use keep::heartbeat::WriteHealth;
use pools::{Conn, PgPools, Pools, Rank, SqlitePools, SqliteWriter};

/// How long a statement of the hot path may take. Two in a row take less than a call may, so that its caller hears what is
/// the matter.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(4);
/// How long a statement waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// A thing of PostgreSQL or the same thing of SQLite.
#[derive(Debug, Clone)]
pub(crate) enum OneOf<P, S> {
    /// PostgreSQL's.
    Postgres(P),
    /// SQLite's.
    Sqlite(S),
}

/// The database, as one rank uses it: the engine's, unless it was asked for another one.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    pools: Arc<Pools>,
    rank: Rank,
    write_health: Arc<WriteHealth>,
}

impl Store {
    /// Opens the database that `url` names, `sqlite:PATH` or `postgres://...`, and brings its schema up to date.
    pub(crate) async fn open(url: &str) -> Result<Self> {
        let pools = if let Some(path) = url.strip_prefix("sqlite:") {
            let path = Path::new(path.trim_start_matches("//"));
            OneOf::Sqlite(SqlitePools::open(path).await?)
        } else {
            OneOf::Postgres(PgPools::open(url).await?)
        };
        let store = Self {
            pools: Arc::new(pools),
            rank: Rank::Engine,
            write_health: Arc::default(),
        };
        store.migrate().await?;
        Ok(store)
    }

    /// The same database for what has to work when nothing else does: readiness, keys and their revocation.
    pub(crate) fn vital(&self) -> Self {
        self.of_rank(Rank::Vital)
    }

    /// The same database for calls: their reads end with their caller and have a limit in time.
    pub(crate) fn for_callers(&self) -> Self {
        self.of_rank(Rank::Caller)
    }

    fn of_rank(&self, rank: Rank) -> Self {
        Self {
            pools: Arc::clone(&self.pools),
            rank,
            write_health: Arc::clone(&self.write_health),
        }
    }

    async fn migrate(&self) -> Result<()> {
        match self.writer() {
            OneOf::Postgres(pool) => sqlx::migrate!("../migrations/postgres").run(pool).await?,
            OneOf::Sqlite(writer) => {
                let mut conn = writer.acquire().await?;
                sqlx::migrate!("../migrations/sqlite")
                    .run(&mut *conn)
                    .await?;
            }
        }
        Ok(())
    }

    /// A connection that may write, for a single statement.
    async fn acquire(&self) -> Result<Conn> {
        Ok(match self.writer() {
            OneOf::Postgres(pool) => OneOf::Postgres(pool.acquire().await?),
            OneOf::Sqlite(writer) => OneOf::Sqlite(writer.acquire().await?),
        })
    }

    fn writer(&self) -> OneOf<&PgPool, SqliteWriter<'_>> {
        match &*self.pools {
            OneOf::Postgres(pools) => OneOf::Postgres(pools.writer(self.rank)),
            OneOf::Sqlite(pools) => OneOf::Sqlite(pools.writer(self.rank)),
        }
    }

    fn reader(&self) -> OneOf<&PgPool, &SqlitePool> {
        match &*self.pools {
            OneOf::Postgres(pools) => OneOf::Postgres(pools.reader(self.rank)),
            OneOf::Sqlite(pools) => OneOf::Sqlite(pools.reader(self.rank)),
        }
    }

    /// The connections of the hot statements.
    fn ledger(&self) -> OneOf<&PgPool, SqliteWriter<'_>> {
        match &*self.pools {
            OneOf::Postgres(pools) => OneOf::Postgres(&pools.ledger),
            OneOf::Sqlite(pools) => OneOf::Sqlite(pools.writer(Rank::Engine)),
        }
    }

    /// One of them, for a single statement.
    async fn ledger_acquire(&self) -> Result<Conn> {
        Ok(match self.ledger() {
            OneOf::Postgres(pool) => OneOf::Postgres(pool.acquire().await?),
            OneOf::Sqlite(writer) => OneOf::Sqlite(writer.acquire().await?),
        })
    }

    /// Whether it is an embedded one.
    fn is_sqlite(&self) -> bool {
        matches!(&*self.pools, OneOf::Sqlite(_))
    }

    /// Whether the database answers.
    pub(crate) async fn ping(&self) -> Result<()> {
        read!(self, conn => sqlx::query("select 1").execute(conn).await.map(drop))
    }

    /// Copies SQLite's log into its database as far as that holds up nobody. Nothing on PostgreSQL.
    pub(crate) async fn checkpoint(&self) -> Result<()> {
        if let OneOf::Sqlite(pool) = self.reader() {
            sqlx::query("pragma wal_checkpoint(passive)")
                .fetch_optional(pool)
                .await?;
        }
        Ok(())
    }

    /// Runs a statement of the hot path with a limit in time, so that a connection that hangs counts as a database that is
    /// away, and notes when the database did not take it.
    async fn within<T>(&self, statement: impl Future<Output = Result<T>>) -> Result<T> {
        let answered = tokio::time::timeout(STATEMENT_TIMEOUT, statement).await;
        let answered = answered.unwrap_or_else(|_| Err(Error::timed_out()));
        answered.inspect_err(|error| self.write_health.note(error))
    }

    /// Closes every connection, waiting for those in use.
    pub(crate) async fn close(&self) {
        on!(&*self.pools, pools => pools.close().await);
    }
}

/// Reads the number of a shard.
fn shard(column: i16) -> Result<Shard> {
    Shard::from_column(column).ok_or_else(|| Error::bug(format!("shard {column}")))
}

#[cfg(test)]
mod tests;

#[cfg(test)]
impl Store {
    /// Runs a statement that no code of ours has.
    pub(crate) async fn execute(&self, sql: &'static str) {
        let mut conn = self.acquire().await.unwrap();
        on!(&mut conn, conn => sqlx::raw_sql(sql).execute(&mut **conn).await.map(drop)).unwrap();
    }
}
