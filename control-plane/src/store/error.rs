//! What a database can answer besides rows.

use std::io;

/// The result of a database call.
pub(crate) type Result<T> = std::result::Result<T, Error>;

/// Why a database call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database is away, full or overloaded. Whether the statement took effect is unknown.
    #[error("the database is unavailable")]
    Unavailable(#[source] sqlx::Error),
    /// No connection could be made when the program started.
    #[error("no connection to PostgreSQL at {place}")]
    Unreached {
        /// The host and port, or the socket.
        place: String,
        /// Why.
        #[source]
        cause: sqlx::Error,
    },
    /// A caller's read took too long.
    #[error("a read took longer than 5 s")]
    Slow,
    /// A statement that should have worked did not.
    #[error("a statement failed")]
    Bug(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// A row that no statement of ours can have written, or a value that cannot be written.
    pub fn bug(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Bug(cause.into())
    }
}

impl Error {
    /// The database did not answer in time.
    pub(crate) fn timed_out() -> Self {
        Self::Unavailable(sqlx::Error::Io(io::ErrorKind::TimedOut.into()))
    }

    /// What is the matter, for whoever cannot do anything about it.
    pub(crate) fn words(&self) -> String {
        let words = match self {
            Self::Unavailable(sqlx::Error::Database(error)) => match error.code().as_deref() {
                Some(code) if is_full(code) => "its disk is full",
                Some(code) if is_read_only(code) => "it is read-only",
                Some(code) if code.starts_with("57") || code.starts_with("08") => {
                    "it does not answer"
                }
                _ => "it takes no writes now",
            },
            Self::Unavailable(_) | Self::Unreached { .. } => "it does not answer",
            Self::Slow => "it takes too long",
            Self::Bug(_) => "a statement failed",
        };
        words.to_owned()
    }

    /// Whether a statement was ended before it was through: SQLSTATE 57014; SQLite's INTERRUPT 9.
    pub(super) fn is_interruption(&self) -> bool {
        let Self::Unavailable(sqlx::Error::Database(error)) = self else {
            return false;
        };
        error
            .code()
            .is_some_and(|code| code == "57014" || code == "9")
    }

    /// Whether a row's own values are at fault, so that the same statement may work without it: SQLSTATE classes 22 (data)
    /// and 23 (constraint); SQLite's TOOBIG 18, CONSTRAINT 19, MISMATCH 20.
    pub(crate) fn is_fault_of_a_row(&self) -> bool {
        let Self::Bug(cause) = self else {
            return false;
        };
        let Some(sqlx::Error::Database(error)) = cause.downcast_ref() else {
            return false;
        };
        error.code().is_some_and(|code| {
            if code.len() == 5 {
                return code.starts_with("22") || code.starts_with("23");
            }
            primary(&code).is_some_and(|code| matches!(code, 18..=20))
        })
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        if is_passing(&error) {
            Self::Unavailable(error)
        } else {
            Self::Bug(Box::new(error))
        }
    }
}

impl From<sqlx::migrate::MigrateError> for Error {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        Self::Bug(Box::new(error))
    }
}

/// The name of the unique constraint that a statement violated. SQLite names the columns instead: `table.column, ...`.
pub(crate) fn constraint(error: &sqlx::Error) -> Option<&str> {
    let error = error.as_database_error()?;
    error
        .is_unique_violation()
        .then(|| error.constraint().unwrap_or_else(|| error.message()))
}

/// Whether a statement found no partition for its row, or broke a check otherwise (SQLSTATE `check_violation`).
pub(crate) fn has_no_partition(cause: &(dyn std::error::Error + 'static)) -> bool {
    let database = cause.downcast_ref::<sqlx::Error>();
    let code = database.and_then(|error| error.as_database_error()?.code());
    code.is_some_and(|code| code == "23514")
}

/// SQLSTATE 53100; SQLite's FULL 13.
fn is_full(code: &str) -> bool {
    code == "53100" || primary(code) == Some(13)
}

/// SQLSTATE 25006; SQLite's READONLY 8.
fn is_read_only(code: &str) -> bool {
    code == "25006" || primary(code) == Some(8)
}

/// The low byte of a code of SQLite, which says of what kind an error is. None: the code is an SQLSTATE.
fn primary(code: &str) -> Option<u32> {
    let code = (code.len() < 5).then(|| code.parse::<u32>().ok())??;
    Some(code & 0xff)
}

fn is_passing(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(error) => error.kind() != io::ErrorKind::InvalidInput,
        // The last two: the database has ended a transaction by itself.
        sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed
        | sqlx::Error::InvalidSavePointStatement => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| is_passing_code(&code)),
        _ => false,
    }
}

/// SQLSTATE classes 08 (connection), 40 (rollback), 53 (resources, disk full), 57 (intervention), 58 (system), 55P03
/// (lock timeout), 25006 (read only); SQLite BUSY 5, LOCKED 6, NOMEM 7, READONLY 8, INTERRUPT 9, IOERR 10, FULL 13,
/// CANTOPEN 14, PROTOCOL 15 in their low byte.
fn is_passing_code(code: &str) -> bool {
    if code.len() == 5 {
        let class = &code[..2];
        return matches!(class, "08" | "40" | "53" | "57" | "58")
            || matches!(code, "55P03" | "25006");
    }
    primary(code).is_some_and(|code| matches!(code, 5..=10 | 13..=15))
}
