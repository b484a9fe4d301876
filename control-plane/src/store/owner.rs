//! Ownership: one control plane at a time schedules the deliveries of a database.
//!
//! On PostgreSQL a session-level advisory lock on a connection of its own, which the server gives back as soon as the
//! holder dies, and some ten seconds after its host is gone; on SQLite a lock on a file beside the database. Neither guards
//! any row: if two owners ever overlapped for a moment, conditional writes would keep the data right and receivers would see
//! a repeat.

use std::{fs::File, path::Path, time::Duration};

use sqlx::{Connection as _, PgConnection, PgPool};
use tokio::time::timeout;

use super::{Error, OneOf, Result, Store};
use crate::outage;

/// The number of the advisory lock: "posthorn" in ASCII.
const LOCK: i64 = 0x706f_7374_686f_726e;
/// How often the owner looks whether it still holds the lock.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The session that asks.
const SESSION: &str = "
    select pid, (extract(epoch from backend_start) * 1000000)::bigint as began_at
    from pg_stat_activity
    where pid = pg_backend_pid()";
/// Ends a session, if it is the one that holds the lock.
const END_HOLDER: &str = "
    select pg_terminate_backend(a.pid)
    from pg_stat_activity a
    join pg_locks l on l.pid = a.pid
    where l.locktype = 'advisory' and l.granted and l.objsubid = 1
      and l.database = (select oid from pg_database where datname = current_database())
      and (l.classid::bigint << 32 | l.objid::bigint) = $1
      and a.pid = $2 and (extract(epoch from a.backend_start) * 1000000)::bigint = $3";

/// How long the connection may take to answer.
const CHECK_WITHIN: Duration = Duration::from_secs(5);

/// Proof that this process may schedule. Given back on drop.
#[derive(Debug)]
pub(crate) struct Ownership(OneOf<Box<Holder>, File>);

/// The connection that holds the lock.
#[derive(Debug)]
struct Holder {
    conn: PgConnection,
    session: Session,
}

/// A session as the server knows it: its process, and when that began, in microseconds.
#[derive(Debug, Clone, Copy, sqlx::FromRow)]
struct Session {
    pid: i32,
    began_at: i64,
}

/// What became of an attempt to take the lock.
enum Locked {
    /// It is ours.
    Ours(Box<Holder>),
    /// A session of ours has it whose connection is broken; the server was told to end it.
    StillOurs,
    /// Somebody else has it.
    Others,
}

impl Store {
    /// The number of this owner: higher than that of every one before it.
    pub(crate) async fn next_epoch(&self) -> Result<u32> {
        const SQL: &str = "update epoch set number = number + 1 returning number";
        let mut conn = self.acquire().await?;
        let number: i64 = on!(&mut conn, conn => {
            sqlx::query_scalar(SQL).fetch_one(&mut **conn).await
        })?;
        u32::try_from(number).map_err(Error::bug)
    }

    /// Takes ownership. None: another process has it.
    pub(crate) async fn owner_acquire(&self) -> Result<Option<Ownership>> {
        match self.writer() {
            OneOf::Postgres(pool) => Ok(match lock_postgres(pool, None).await? {
                Locked::Ours(holder) => Some(Ownership(OneOf::Postgres(holder))),
                Locked::StillOurs | Locked::Others => None,
            }),
            OneOf::Sqlite(writer) => {
                let path = writer
                    .pool()
                    .connect_options()
                    .get_filename()
                    .with_extension("lock");
                Ok(lock_file(&path)?.map(|file| Ownership(OneOf::Sqlite(file))))
            }
        }
    }

    /// Watches over ownership and takes it again when the connection that held it breaks. Returns when another process
    /// got it first: then this one must stop.
    pub(crate) async fn owner_hold(&self, mut ownership: Ownership) {
        let (OneOf::Postgres(holder), OneOf::Postgres(pool)) = (&mut ownership.0, self.writer())
        else {
            return std::future::pending().await;
        };
        loop {
            tokio::time::sleep(CHECK_INTERVAL).await;
            let answered = timeout(CHECK_WITHIN, holder.conn.ping()).await;
            if matches!(answered, Ok(Ok(()))) {
                continue;
            }
            tracing::warn!("the connection that holds ownership broke; taking it again");
            // A connection that is being made while the network is down is given up for another try.
            let locking = lock_postgres(pool, Some(holder.session));
            match timeout(CHECK_WITHIN, locking).await {
                Ok(Ok(Locked::Ours(again))) => *holder = again,
                Ok(Ok(Locked::StillOurs)) => {}
                Ok(Ok(Locked::Others)) => return,
                Ok(Err(error)) => outage::log(&error, "could not take ownership again yet"),
                Err(_) => tracing::warn!("could not take ownership again yet: no answer"),
            }
        }
    }
}

/// Takes the lock over a new connection. `former` is the session that held it, which the server may not know to be broken:
/// a network that swallows what is sent tells neither side.
async fn lock_postgres(pool: &PgPool, former: Option<Session>) -> Result<Locked> {
    let mut conn = PgConnection::connect_with(&pool.connect_options()).await?;
    let (locked,) = sqlx::query_as::<_, (bool,)>("select pg_try_advisory_lock($1)")
        .bind(LOCK)
        .fetch_one(&mut conn)
        .await?;
    if locked {
        let session = sqlx::query_as(SESSION).fetch_one(&mut conn).await?;
        return Ok(Locked::Ours(Box::new(Holder { conn, session })));
    }
    let Some(former) = former else {
        return Ok(Locked::Others);
    };
    let ended = sqlx::query(END_HOLDER)
        .bind(LOCK)
        .bind(former.pid)
        .bind(former.began_at)
        .execute(&mut conn)
        .await?;
    let is_ours = ended.rows_affected() > 0;
    Ok(if is_ours {
        Locked::StillOurs
    } else {
        Locked::Others
    })
}

fn lock_file(path: &Path) -> Result<Option<File>> {
    let file = File::create(path).map_err(Error::bug)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(std::fs::TryLockError::WouldBlock) => Ok(None),
        Err(std::fs::TryLockError::Error(error)) => Err(Error::bug(error)),
    }
}
