//! All SQL of Posthorn, one file per noun.
//!
//! One code path serves both databases: a pool or a transaction is an enum of the two typed ones, and `on!` gives a
//! statement to whichever it is. Placeholders are `$1` on both, instants are milliseconds, ids are UUIDs. Only the two
//! hot statements (`emit`, `outcome`) are written per database. There is no storage trait and no mock.

use std::{
    fs::OpenOptions, io::ErrorKind, os::unix::fs::OpenOptionsExt as _, path::Path,
    str::FromStr as _, time::Duration,
};

use sqlx::{
    PgPool, Postgres, Sqlite, SqlitePool, Transaction,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

/// Runs one expression on whichever database a [`Pool`] or a [`Tx`] is.
macro_rules! on {
    ($db:expr, $conn:ident => $body:expr) => {
        match $db {
            $crate::store::OneOf::Postgres($conn) => $body,
            $crate::store::OneOf::Sqlite($conn) => $body,
        }
    };
}

mod action;
mod api_key;
mod attempt;
mod change;
mod dead_letter;
mod delivery;
mod delivery_view;
mod durability;
mod emit;
mod endpoint;
mod error;
mod event;
mod event_type;
mod inbound;
mod inbound_action;
mod inbound_retire;
mod inbound_view;
mod outcome;
mod owner;
mod partition;
mod poll;
mod request;
mod secret;
mod source;
mod source_secret;
mod tenant;

pub(crate) use api_key::KeyScope;
pub(crate) use change::Change;
pub(crate) use dead_letter::OpenFilter;
pub(crate) use delivery::{DueDelivery, OpenCounts};
pub(crate) use delivery_view::DeliveryFilter;
pub(crate) use emit::{EmitKey, EmitRow, Emitted};
pub(crate) use error::{Error, Result, constraint, has_no_partition};
pub(crate) use event::{EventFilter, EventSummary};
pub(crate) use inbound::{Brings, InboundRow, KeptRow, Receipt};
pub(crate) use inbound_view::InboundFilter;
pub(crate) use outcome::{Consequence, OutcomeRow};
pub(crate) use owner::Ownership;
pub(crate) use poll::{DriftRow, PollState};
pub(crate) use request::{RequestKey, RequestRow};
pub(crate) use tenant::TenantDeletion;

/// How many connections one control plane keeps to PostgreSQL.
const POSTGRES_CONNECTIONS_MAX: u32 = 12;
/// How many of them carry the hot statements.
const LEDGER_CONNECTIONS_MAX: u32 = 4;
/// The hot statements look every row up by its primary key. Told so, the planner neither plans them anew for each batch
/// nor falls for a sequential scan while the tables are small.
const LEDGER_PLANNER: [(&str, &str); 4] = [
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
];
/// How much SQLite's writer keeps of the database in memory, in KiB (negative, as the pragma wants it): the upper part of
/// the index of claims, whose keys come in no order.
const SQLITE_WRITER_CACHE_KIB: &str = "-32768";
/// After how many pages a commit copies SQLite's log into the database, what [`Store::checkpoint`] has left of it: then
/// the log begins anew.
const SQLITE_WAL_PAGES: &str = "8000";
/// How many readers SQLite has beside its one writer.
const SQLITE_READERS_MAX: u32 = 4;
/// How long a statement of the hot path may take.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);
/// How the server notices that a client's host is gone: it then gives back what the client's connections hold.
const KEEPALIVES: [(&str, &str); 4] = [
    ("tcp_keepalives_idle", "5"),
    ("tcp_keepalives_interval", "2"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "10000"),
];
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

/// A pool of connections.
pub(crate) type Pool = OneOf<PgPool, SqlitePool>;
/// A transaction. Dropped without [`Tx::commit`], it is rolled back.
pub(crate) type Tx = OneOf<Transaction<'static, Postgres>, Transaction<'static, Sqlite>>;

/// The database.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    writer: Pool,
    reader: Pool,
    ledger: Pool,
}

impl Store {
    /// Opens the database that `url` names, `sqlite:PATH` or `postgres://...`, and brings its schema up to date.
    pub(crate) async fn open(url: &str) -> Result<Self> {
        let store = if let Some(path) = url.strip_prefix("sqlite:") {
            Self::open_sqlite(Path::new(path.trim_start_matches("//"))).await?
        } else {
            Self::open_postgres(url).await?
        };
        store.migrate().await?;
        Ok(store)
    }

    async fn open_sqlite(path: &Path) -> Result<Self> {
        // Made here, so that only its owner can read it; the files that SQLite puts beside it follow suit.
        OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(path)
            .map_err(sqlx::Error::Io)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(ACQUIRE_TIMEOUT);
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_with(
                options
                    .clone()
                    .pragma("cache_size", SQLITE_WRITER_CACHE_KIB)
                    .pragma("wal_autocheckpoint", SQLITE_WAL_PAGES),
            )
            .await?;
        let reader = SqlitePoolOptions::new()
            .max_connections(SQLITE_READERS_MAX)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_lazy_with(options);
        Ok(Self {
            ledger: OneOf::Sqlite(writer.clone()),
            writer: OneOf::Sqlite(writer),
            reader: OneOf::Sqlite(reader),
        })
    }

    async fn open_postgres(url: &str) -> Result<Self> {
        // Set per connection, because a role's or a database's default may say otherwise.
        let options = PgConnectOptions::from_str(url)?
            .application_name("posthorn-control-plane")
            .options([
                ("synchronous_commit", "on"),
                ("client_min_messages", "warning"),
            ])
            .options(KEEPALIVES);
        let pool = PgPoolOptions::new()
            .max_connections(POSTGRES_CONNECTIONS_MAX)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_with(options.clone())
            .await?;
        let ledger = PgPoolOptions::new()
            .max_connections(LEDGER_CONNECTIONS_MAX)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_lazy_with(options.options(LEDGER_PLANNER));
        Ok(Self {
            writer: OneOf::Postgres(pool.clone()),
            reader: OneOf::Postgres(pool),
            ledger: OneOf::Postgres(ledger),
        })
    }

    async fn migrate(&self) -> Result<()> {
        match &self.writer {
            OneOf::Postgres(pool) => sqlx::migrate!("../migrations/postgres").run(pool).await?,
            OneOf::Sqlite(pool) => sqlx::migrate!("../migrations/sqlite").run(pool).await?,
        }
        Ok(())
    }

    /// Begins a transaction that may write. On SQLite it holds the write lock from the start.
    pub(crate) async fn begin(&self) -> Result<Tx> {
        Ok(match &self.writer {
            OneOf::Postgres(pool) => OneOf::Postgres(pool.begin().await?),
            OneOf::Sqlite(pool) => OneOf::Sqlite(pool.begin_with("begin immediate").await?),
        })
    }

    fn writer(&self) -> &Pool {
        &self.writer
    }

    fn reader(&self) -> &Pool {
        &self.reader
    }

    /// The connections of the two hot statements.
    fn ledger(&self) -> &Pool {
        &self.ledger
    }

    /// Whether the database answers.
    pub(crate) async fn ping(&self) -> Result<()> {
        on!(&self.reader, pool => sqlx::query("select 1").execute(pool).await.map(drop))?;
        Ok(())
    }

    /// Copies SQLite's log into its database as far as that holds up nobody. Nothing on PostgreSQL.
    pub(crate) async fn checkpoint(&self) -> Result<()> {
        if let OneOf::Sqlite(pool) = &self.reader {
            sqlx::query("pragma wal_checkpoint(passive)")
                .fetch_optional(pool)
                .await?;
        }
        Ok(())
    }

    /// Closes every connection, waiting for those in use.
    pub(crate) async fn close(&self) {
        on!(&self.reader, pool => pool.close().await);
        on!(&self.ledger, pool => pool.close().await);
        on!(&self.writer, pool => pool.close().await);
    }
}

/// Gives a statement of the hot path a limit, so that a connection that hangs counts as a database that is away.
async fn within<T>(statement: impl Future<Output = Result<T>>) -> Result<T> {
    let timed_out = |_| Error::Unavailable(sqlx::Error::Io(ErrorKind::TimedOut.into()));
    let answered = tokio::time::timeout(STATEMENT_TIMEOUT, statement).await;
    answered.map_err(timed_out)?
}

impl Tx {
    /// Makes everything that was done durable.
    pub(crate) async fn commit(self) -> Result<()> {
        Ok(on!(self, tx => tx.commit().await)?)
    }
}
