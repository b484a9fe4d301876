//! What became of a conditional write to the registry.

use crate::store::{Result, constraint};

/// The outcome of a statement that a name, a version or a missing row can stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) enum Change {
    /// The row is written.
    Done,
    /// Another row has the name.
    NameTaken,
    /// There is no row of that id and version.
    Missing,
}

impl Change {
    /// Reads the number of rows that a statement wrote, or the constraint that stopped it. On `PostgreSQL` a transaction
    /// that met a constraint can only be rolled back.
    pub(in crate::store) fn from_rows(rows: std::result::Result<u64, sqlx::Error>) -> Result<Self> {
        match rows {
            Ok(0) => Ok(Self::Missing),
            Ok(_) => Ok(Self::Done),
            Err(error) if constraint(&error).is_some_and(|name| name.contains("name")) => {
                Ok(Self::NameTaken)
            }
            Err(error) if is_foreign_key(&error) => Ok(Self::Missing),
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether a row that others refer to was to go, or one that is referred to is not there.
pub(in crate::store) fn is_foreign_key(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(sqlx::error::DatabaseError::is_foreign_key_violation)
}
