//! One read of the database, which ends with whoever waits for it.
//!
//! A future that is dropped does not stop the statement that it waits for. So a read that was not brought to its end leaves
//! nothing behind: on SQLite the statement is interrupted; on PostgreSQL the pool waits 2 s for its end, and then closes the
//! connection, which the server notices within another second. It is not closed at once: nearly every statement ends sooner
//! than somebody else could make another connection, so that a caller who comes and goes would slow all others. What
//! callers read has a limit in time too.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use sqlx::{PgConnection, SqliteConnection};
use tokio::time::{Instant, timeout};

use crate::clock;
use crate::store::{
    Error, OneOf, Result, Store,
    pools::{Conn, Rank},
};

/// How long a read on behalf of a caller may take.
pub(crate) const READ_WITHIN: Duration = Duration::from_secs(5);
/// How long PostgreSQL may take to answer any read. What callers read ends on the server before that; the rest is for a
/// network that swallows answers.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// How much longer than on the server it may take here.
const ANSWER_SLACK: Duration = Duration::from_secs(1);
/// After how many steps of its machine SQLite looks whether a read may go on: some hundredths of a millisecond.
const STEPS: i32 = 2_000;

/// A read under way: a connection of the pool of its rank.
pub(in crate::store) struct Reading {
    conn: Conn,
    leash: Option<Arc<Leash>>,
    rank: Rank,
    has_ended: bool,
}

/// How far SQLite may go with a read.
struct Leash {
    ends_at: Instant,
    state: AtomicU8,
}

const RUNNING: u8 = 0;
const ENDED: u8 = 1;
const DROPPED: u8 = 2;

impl Leash {
    fn new(now: Instant) -> Self {
        Self {
            ends_at: now + READ_WITHIN,
            state: AtomicU8::new(RUNNING),
        }
    }

    /// Whether a statement may go on at `now`. One after the read's end is none of ours.
    fn allows(&self, now: Instant) -> bool {
        match self.state.load(Ordering::Relaxed) {
            RUNNING => now < self.ends_at,
            ENDED => true,
            _ => false,
        }
    }
}

impl Reading {
    /// Takes a connection.
    pub(in crate::store) async fn begin(store: &Store) -> Result<Self> {
        let rank = store.rank;
        let mut conn = match store.reader() {
            OneOf::Postgres(pool) => OneOf::Postgres(pool.acquire().await?),
            OneOf::Sqlite(pool) => OneOf::Sqlite(pool.acquire().await?),
        };
        let leash = match &mut conn {
            OneOf::Sqlite(conn) if rank == Rank::Caller => Some(put_on(conn).await?),
            _ => None,
        };
        Ok(Self {
            conn,
            leash,
            rank,
            has_ended: false,
        })
    }

    /// The connection, for one statement.
    pub(in crate::store) fn conn(&mut self) -> OneOf<&mut PgConnection, &mut SqliteConnection> {
        self.has_ended = false;
        match &mut self.conn {
            OneOf::Postgres(conn) => OneOf::Postgres(conn),
            OneOf::Sqlite(conn) => OneOf::Sqlite(conn),
        }
    }

    /// How long it may take at the most. None: nothing can come between us and the database.
    pub(in crate::store) fn within(&self) -> Option<Duration> {
        match (&self.conn, self.rank) {
            (OneOf::Sqlite(_), _) => None,
            (OneOf::Postgres(_), Rank::Caller) => Some(READ_WITHIN + ANSWER_SLACK),
            (OneOf::Postgres(_), _) => Some(ANSWER_WITHIN),
        }
    }

    /// Ends the read.
    pub(in crate::store) fn end<T>(mut self, answer: sqlx::Result<T>) -> Result<T> {
        self.answered(answer)
    }

    /// Notes the answer to a statement. After one of the database, good or bad, there is nothing left to interrupt.
    pub(in crate::store) fn answered<T>(&mut self, answer: sqlx::Result<T>) -> Result<T> {
        self.has_ended = matches!(answer, Ok(_) | Err(sqlx::Error::Database(_)));
        answer.map_err(|error| match Error::from(error) {
            error if self.rank == Rank::Caller && error.is_interruption() => Error::Slow,
            error => error,
        })
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        if let Some(leash) = &self.leash {
            let state = if self.has_ended { ENDED } else { DROPPED };
            leash.state.store(state, Ordering::Relaxed);
        }
    }
}

/// Waits for the answer to a statement, at most so long.
pub(in crate::store) async fn answer_within<T>(
    within: Option<Duration>,
    statement: impl Future<Output = sqlx::Result<T>>,
) -> sqlx::Result<T> {
    match within {
        None => statement.await,
        Some(within) => {
            let answered = timeout(within, statement).await;
            answered.unwrap_or(Err(sqlx::Error::PoolTimedOut))
        }
    }
}

/// Lets SQLite ask again and again whether it may go on.
async fn put_on(conn: &mut SqliteConnection) -> Result<Arc<Leash>> {
    let leash = Arc::new(Leash::new(clock::monotonic()));
    let asked = Arc::clone(&leash);
    let mut handle = conn.lock_handle().await?;
    handle.set_progress_handler(STEPS, move || asked.allows(clock::monotonic()));
    Ok(leash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leash_holds_until_the_read_has_ended() {
        let now = clock::monotonic();
        let leash = Leash::new(now);
        assert!(leash.allows(now));
        assert!(!leash.allows(now + READ_WITHIN));
        leash.state.store(ENDED, Ordering::Relaxed);
        assert!(leash.allows(now + READ_WITHIN));
        leash.state.store(DROPPED, Ordering::Relaxed);
        assert!(!leash.allows(now));
    }
}
