//! Ownership: one control plane at a time schedules the deliveries of a database.
//!
//! On PostgreSQL a session-level advisory lock on a connection of its own, which the server gives back as soon as the
//! holder dies, and some ten seconds after its host is gone; on SQLite a lock on a file beside the database. Neither guards any row: if two owners ever overlapped
//! for a moment, conditional writes would keep the data right and receivers would see a repeat.

use std::{fs::File, path::Path, time::Duration};

use sqlx::{Connection as _, PgConnection, PgPool};

use super::{Error, OneOf, Result, Store};
use crate::outage;

/// The number of the advisory lock: "posthorn" in ASCII.
const LOCK: i64 = 0x706f_7374_686f_726e;
/// How often the owner looks whether it still holds the lock.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// How long the connection may take to answer.
const CHECK_WITHIN: Duration = Duration::from_secs(5);

/// Proof that this process may schedule. Given back on drop.
#[derive(Debug)]
pub(crate) struct Ownership(OneOf<Box<PgConnection>, File>);

impl Store {
    /// Takes ownership. None: another process has it.
    pub(crate) async fn owner_acquire(&self) -> Result<Option<Ownership>> {
        match self.writer() {
            OneOf::Postgres(pool) => Ok(lock_postgres(pool)
                .await?
                .map(|conn| Ownership(OneOf::Postgres(conn)))),
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
        loop {
            tokio::time::sleep(CHECK_INTERVAL).await;
            let OneOf::Postgres(conn) = &mut ownership.0 else {
                continue;
            };
            let answered = tokio::time::timeout(CHECK_WITHIN, conn.ping()).await;
            if matches!(answered, Ok(Ok(()))) {
                continue;
            }
            tracing::warn!("the connection that holds ownership broke; taking it again");
            // A connection that is being made while the network is down is given up for another try.
            match tokio::time::timeout(CHECK_WITHIN, self.owner_acquire()).await {
                Ok(Ok(Some(again))) => ownership = again,
                Ok(Ok(None)) => return,
                Ok(Err(error)) => outage::log(&error, "could not take ownership again yet"),
                Err(_) => tracing::warn!("could not take ownership again yet: no answer"),
            }
        }
    }
}

async fn lock_postgres(pool: &PgPool) -> Result<Option<Box<PgConnection>>> {
    let mut conn = PgConnection::connect_with(&pool.connect_options()).await?;
    let (locked,) = sqlx::query_as::<_, (bool,)>("select pg_try_advisory_lock($1)")
        .bind(LOCK)
        .fetch_one(&mut conn)
        .await?;
    Ok(locked.then(|| Box::new(conn)))
}

fn lock_file(path: &Path) -> Result<Option<File>> {
    let file = File::create(path).map_err(Error::bug)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(std::fs::TryLockError::WouldBlock) => Ok(None),
        Err(std::fs::TryLockError::Error(error)) => Err(Error::bug(error)),
    }
}
