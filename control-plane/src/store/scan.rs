//! How far one page of a list looks.
//!
//! The tables of what happens are ordered by time and have no index for most of what lists can be narrowed to: each would
//! cost every event. So a page looks at so many rows and no more, whether they match or not, and says where it stopped.

use uuid::Uuid;

use super::{Result, Store};
use crate::model::id::Shard;

/// How many rows of a table one page looks at.
pub(crate) const SCAN_ROWS_MAX: i64 = 10_000;

/// What one page of a list found.
#[derive(Debug, Clone)]
pub(crate) struct Scanned<T> {
    /// What matches, the newest first.
    pub rows: Vec<T>,
    /// The last id that was looked at, when there is more to look at. None: that was all.
    pub stopped_at: Option<Uuid>,
}

/// The statement that says where a scan stops: at the last of so many rows, from an id on and through another.
macro_rules! floor {
    ($table:literal, $id:literal) => {
        floor!($table, $id, "")
    };
    ($table:literal, $id:literal, $condition:literal) => {
        concat!(
            "select ",
            $id,
            " from ",
            $table,
            " where shard = $1 and ",
            $id,
            " >= $2 and ",
            $id,
            " <= $3 ",
            $condition,
            " order by ",
            $id,
            " desc limit 1 offset $4"
        )
    };
}
pub(super) use floor;

impl Store {
    /// Where a scan from `through` down to `from` stops by one of these statements. None: it comes to its end.
    pub(super) async fn scan_floor(
        &self,
        sql: &'static str,
        shard: Shard,
        (from, through): (Uuid, Uuid),
        rows_max: i64,
    ) -> Result<Option<Uuid>> {
        read!(self, conn => {
            sqlx::query_scalar(sql)
                .bind(shard.column())
                .bind(from)
                .bind(through)
                .bind(rows_max - 1)
                .fetch_optional(conn)
                .await
        })
    }
}

/// The id right before another.
pub(crate) fn last_below(id: Uuid) -> Uuid {
    Uuid::from_u128(id.as_u128().saturating_sub(1))
}
