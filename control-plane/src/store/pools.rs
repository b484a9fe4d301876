//! The connections of the store: who shares them, and who never waits behind whom.
//!
//! A [`Rank`] says on whose behalf the store is used. On PostgreSQL each rank has pools of its own. SQLite has one writer
//! for all: those of a rank queue among themselves, and only the first of each rank waits for the writer. So the engine and
//! the callers' changes have turns alternately however many queue, and the vital writer waits for at most one of each.

use std::{
    fs::OpenOptions, os::unix::fs::OpenOptionsExt as _, path::Path, str::FromStr as _,
    time::Duration,
};

use sqlx::{
    ConnectOptions as _, Connection, Database, PgConnection, PgPool, Postgres, Sqlite, SqlitePool,
    Transaction,
    pool::{PoolConnection, PoolOptions},
    postgres::PgConnectOptions,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use tokio::{
    sync::{Mutex, MutexGuard},
    time::timeout,
};

use super::{ACQUIRE_TIMEOUT, Error, OneOf, Result};

/// How long a connection that is given back to its pool may take to show that it still works. Without a limit, those that a
/// network has swallowed would be missing from the pool for minutes after it is mended.
const RELEASE_WITHIN: Duration = Duration::from_secs(2);
/// For how long a connection that has shown that it works is taken without being asked again.
const TRUSTED_FOR: Duration = Duration::from_secs(1);
/// How long the connection may take that is to show why there is none.
const AGAIN_WITHIN: Duration = Duration::from_secs(2);
/// How many connections to PostgreSQL each kind of use has at most; with the one that holds ownership they are 17.
const VITAL_CONNECTIONS_MAX: u32 = 2;
/// The engine and the background tasks.
const ENGINE_CONNECTIONS_MAX: u32 = 4;
/// Callers' reads.
const READ_CONNECTIONS_MAX: u32 = 3;
/// Callers' changes.
const CHANGE_CONNECTIONS_MAX: u32 = 3;
/// The hot statements.
const LEDGER_CONNECTIONS_MAX: u32 = 4;
/// How many readers SQLite has beside its one writer, for each rank.
const SQLITE_VITAL_READERS_MAX: u32 = 1;
/// Those of the engine and the background tasks.
const SQLITE_ENGINE_READERS_MAX: u32 = 4;
/// Those of callers.
const SQLITE_CALLER_READERS_MAX: u32 = 4;

/// The hot statements look every row up by its primary key. Told so, the planner neither plans them anew for each batch
/// nor falls for a sequential scan while the tables are small.
const LEDGER_PLANNER: [(&str, &str); 4] = [
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
];
/// How long a read on behalf of a caller may take on the server: [`super::view::reading::READ_WITHIN`].
const STATEMENT_TIMEOUT: (&str, &str) = ("statement_timeout", "5s");
/// How long a change waits for another one that has locked its row.
const LOCK_TIMEOUT: [(&str, &str); 1] = [("lock_timeout", "5s")];
/// How the server notices that a client's host is gone: it then gives back what the client's connections hold.
const KEEPALIVES: [(&str, &str); 4] = [
    ("tcp_keepalives_idle", "5"),
    ("tcp_keepalives_interval", "2"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "10000"),
];
/// How the server notices amid a statement that nobody waits for its answer any more.
const ENDS_WITH_CLIENT: [(&str, &str); 1] = [("client_connection_check_interval", "1s")];
/// How much SQLite's writer keeps of the database in memory, in KiB (negative, as the pragma wants it): the upper part of
/// the index of claims, whose keys come in no order.
const SQLITE_WRITER_CACHE_KIB: &str = "-32768";
/// After how many pages a commit copies SQLite's log into the database, what [`super::Store::checkpoint`] has left of it:
/// then the log begins anew.
const SQLITE_WAL_PAGES: &str = "8000";

/// On whose behalf the store is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rank {
    /// What has to work when nothing else does: readiness, keys and their revocation.
    Vital,
    /// The engine, the registry and the background tasks.
    Engine,
    /// Calls.
    Caller,
}

/// A connection of a pool.
pub(super) type Conn = OneOf<PoolConnection<Postgres>, PoolConnection<Sqlite>>;
/// The pools of a database.
pub(super) type Pools = OneOf<PgPools, SqlitePools>;

/// The pools of PostgreSQL.
#[derive(Debug)]
pub(super) struct PgPools {
    vital: PgPool,
    engine: PgPool,
    reads: PgPool,
    changes: PgPool,
    pub(super) ledger: PgPool,
}

/// The pools of SQLite.
#[derive(Debug)]
pub(super) struct SqlitePools {
    writer: SqlitePool,
    /// Held by the one of the engine that waits for the writer.
    engine_turn: Mutex<()>,
    /// Held by the one change that waits for the writer.
    change_turn: Mutex<()>,
    vital: SqlitePool,
    engine: SqlitePool,
    reads: SqlitePool,
}

/// The way to SQLite's one writer.
#[derive(Debug, Clone, Copy)]
pub(super) struct SqliteWriter<'a> {
    pool: &'a SqlitePool,
    turn: Option<&'a Mutex<()>>,
}

impl PgPools {
    /// Connects to the database of that URL.
    pub(super) async fn open(url: &str) -> Result<Self> {
        // Set per connection, because a role's or a database's default may say otherwise.
        let options = PgConnectOptions::from_str(url)?
            .application_name("posthorn-control-plane")
            .options([
                ("synchronous_commit", "on"),
                ("client_min_messages", "warning"),
            ])
            .options(KEEPALIVES)
            .options(ENDS_WITH_CLIENT);
        let changing = options.clone().options(LOCK_TIMEOUT);
        let reading = options.clone().options([STATEMENT_TIMEOUT]);
        let engine = far_pool(ENGINE_CONNECTIONS_MAX).connect_with(options.clone());
        let engine = match engine.await {
            Ok(engine) => engine,
            Err(error) => return Err(unreached(&options, error).await),
        };
        Ok(Self {
            engine,
            vital: far_pool(VITAL_CONNECTIONS_MAX).connect_lazy_with(changing.clone()),
            reads: far_pool(READ_CONNECTIONS_MAX).connect_lazy_with(reading),
            changes: far_pool(CHANGE_CONNECTIONS_MAX).connect_lazy_with(changing),
            ledger: far_pool(LEDGER_CONNECTIONS_MAX)
                .connect_lazy_with(options.options(LEDGER_PLANNER)),
        })
    }

    pub(super) fn reader(&self, rank: Rank) -> &PgPool {
        match rank {
            Rank::Vital => &self.vital,
            Rank::Engine => &self.engine,
            Rank::Caller => &self.reads,
        }
    }

    pub(super) fn writer(&self, rank: Rank) -> &PgPool {
        match rank {
            Rank::Vital => &self.vital,
            Rank::Engine => &self.engine,
            Rank::Caller => &self.changes,
        }
    }

    /// Closes every connection, waiting for those in use.
    pub(super) async fn close(&self) {
        for pool in [
            &self.reads,
            &self.changes,
            &self.ledger,
            &self.engine,
            &self.vital,
        ] {
            pool.close().await;
        }
    }
}

/// Why no connection was made, and to where. A pool that tried until its time was up does not say why, so one more connection
/// is tried without it.
async fn unreached(options: &PgConnectOptions, error: sqlx::Error) -> Error {
    let again = match error {
        sqlx::Error::PoolTimedOut => timeout(AGAIN_WITHIN, options.connect()).await,
        _ => Ok(Err(error)),
    };
    let cause = match again {
        Ok(Err(cause)) => cause,
        Ok(Ok(_)) | Err(_) => sqlx::Error::PoolTimedOut,
    };
    let place = match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    };
    Error::Unreached { place, cause }
}

impl SqlitePools {
    /// Opens the file, or makes it.
    pub(super) async fn open(path: &Path) -> Result<Self> {
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
        let writing = options
            .clone()
            .pragma("cache_size", SQLITE_WRITER_CACHE_KIB)
            .pragma("wal_autocheckpoint", SQLITE_WAL_PAGES);
        Ok(Self {
            writer: local_pool(1).connect_with(writing).await?,
            engine_turn: Mutex::new(()),
            change_turn: Mutex::new(()),
            vital: local_pool(SQLITE_VITAL_READERS_MAX).connect_lazy_with(options.clone()),
            engine: local_pool(SQLITE_ENGINE_READERS_MAX).connect_lazy_with(options.clone()),
            reads: local_pool(SQLITE_CALLER_READERS_MAX).connect_lazy_with(options),
        })
    }

    pub(super) fn reader(&self, rank: Rank) -> &SqlitePool {
        match rank {
            Rank::Vital => &self.vital,
            Rank::Engine => &self.engine,
            Rank::Caller => &self.reads,
        }
    }

    pub(super) fn writer(&self, rank: Rank) -> SqliteWriter<'_> {
        let turn = match rank {
            Rank::Vital => None,
            Rank::Engine => Some(&self.engine_turn),
            Rank::Caller => Some(&self.change_turn),
        };
        SqliteWriter {
            pool: &self.writer,
            turn,
        }
    }

    /// Closes every connection, waiting for those in use. The writer is the last: then it copies the log.
    pub(super) async fn close(&self) {
        for pool in [&self.reads, &self.engine, &self.vital, &self.writer] {
            pool.close().await;
        }
    }
}

impl SqliteWriter<'_> {
    /// Begins a transaction, which holds the write lock from the start.
    pub(super) async fn begin(self) -> sqlx::Result<Transaction<'static, Sqlite>> {
        let _turn = self.turn().await?;
        self.pool.begin_with("begin immediate").await
    }

    /// The writer itself, for a single statement.
    pub(super) async fn acquire(self) -> sqlx::Result<PoolConnection<Sqlite>> {
        let _turn = self.turn().await?;
        self.pool.acquire().await
    }

    /// The pool, for what it was opened with.
    pub(super) fn pool(&self) -> &SqlitePool {
        self.pool
    }

    /// Waits until nobody of this rank is before us.
    async fn turn(&self) -> sqlx::Result<Option<MutexGuard<'_, ()>>> {
        let Some(turn) = self.turn else {
            return Ok(None);
        };
        let turn = timeout(ACQUIRE_TIMEOUT, turn.lock()).await;
        turn.map(Some).map_err(|_| sqlx::Error::PoolTimedOut)
    }
}

/// A pool that hands no connection out which [is spent](is_spent), and does not ask the others whether they still work.
fn pool<DB: Database>(connections_max: u32) -> PoolOptions<DB> {
    PoolOptions::new()
        .max_connections(connections_max)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
}

/// One for connections that cannot break while they are idle, because nobody is at their other end.
fn local_pool<DB: Database>(connections_max: u32) -> PoolOptions<DB> {
    pool(connections_max).before_acquire(|conn: &mut DB::Connection, _| {
        let is_spent = is_spent(conn);
        Box::pin(async move { Ok(!is_spent) })
    })
}

/// One for connections over a network. They show that they work whenever they are given back; so one that was given back
/// a moment ago is not asked again.
fn far_pool(connections_max: u32) -> PoolOptions<Postgres> {
    pool(connections_max)
        .before_acquire(|conn: &mut PgConnection, idle| {
            let ping_due = idle.idle_for > TRUSTED_FOR;
            Box::pin(async move {
                if is_spent(conn) {
                    return Ok(false);
                }
                if ping_due {
                    conn.ping().await?;
                }
                Ok(true)
            })
        })
        .after_release(|conn: &mut PgConnection, _| {
            Box::pin(async move {
                let answered = timeout(RELEASE_WITHIN, conn.ping()).await;
                answered
                    .unwrap_or(Err(sqlx::Error::PoolTimedOut))
                    .map(|()| true)
            })
        })
}

/// Whether a connection still counts a transaction: the database has ended that by itself, as after a full disk or an I/O
/// error, and the rollback after it failed. Such a connection could never begin another one.
fn is_spent(conn: &impl Connection) -> bool {
    conn.is_in_transaction()
}

#[cfg(test)]
mod tests;
