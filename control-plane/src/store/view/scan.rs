//! How far one page of a list looks.
//!
//! The tables of what happens are ordered by time and have no index for most of what lists can be narrowed to: each would
//! cost every event. So a page looks at so many rows and no more, whether they match or not, and says where it stopped. It
//! looks slice by slice: a statement that goes through all of them keeps a core for as long as everybody else waits. All slices
//! are read over one connection.

use uuid::Uuid;

use crate::model::id::Shard;
use crate::store::{Result, view::reading::Reading};

/// How many rows of a table one page looks at.
pub(crate) const SCAN_ROWS_MAX: i64 = 10_000;
/// How many of them one statement looks at.
pub(crate) const SLICE_ROWS_MAX: i64 = 1_000;

/// What one page of a list found.
#[derive(Debug, Clone)]
pub(crate) struct Scanned<T> {
    /// What matches, the newest first.
    pub rows: Vec<T>,
    /// The last id that was looked at, when there is more to look at. None: that was all.
    pub stopped_at: Option<Uuid>,
}

/// A page that is being looked for.
#[derive(Debug)]
pub(in crate::store) struct Scan<T> {
    rows: Vec<T>,
    stopped_at: Option<Uuid>,
    limit: i64,
    slices: i64,
}

/// What one slice of a page is to look for.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Slice {
    /// The last id that was looked at. None: this is the first slice.
    pub(in crate::store) after: Option<Uuid>,
    /// How many rows the page still lacks.
    pub(in crate::store) limit: i64,
}

impl<T> Scan<T> {
    /// For a page of so many rows.
    pub(in crate::store) fn new(limit: i64) -> Self {
        Self {
            rows: Vec::new(),
            stopped_at: None,
            limit,
            slices: 0,
        }
    }

    /// The next slice. None: the page is full, or has looked at as much as it may or as there is.
    pub(in crate::store) fn next(&self) -> Option<Slice> {
        let is_first = self.slices == 0;
        let found = i64::try_from(self.rows.len()).unwrap_or(i64::MAX);
        let is_over = found >= self.limit || self.slices * SLICE_ROWS_MAX >= SCAN_ROWS_MAX;
        let goes_on = is_first || (self.stopped_at.is_some() && !is_over);
        goes_on.then(|| Slice {
            after: self.stopped_at,
            limit: self.limit - found,
        })
    }

    /// A slice was looked at.
    pub(in crate::store) fn add(&mut self, slice: Scanned<T>) {
        self.rows.extend(slice.rows);
        self.stopped_at = slice.stopped_at;
        self.slices += 1;
    }

    /// What was found.
    pub(in crate::store) fn end(self) -> Scanned<T> {
        Scanned {
            rows: self.rows,
            stopped_at: self.stopped_at,
        }
    }
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
pub(in crate::store) use floor;

/// Where a scan from `through` down to `from` stops by one of these statements. None: it comes to its end.
pub(in crate::store) async fn scan_floor(
    reading: &mut Reading,
    sql: &'static str,
    shard: Shard,
    (from, through): (Uuid, Uuid),
    rows_max: i64,
) -> Result<Option<Uuid>> {
    read_on!(reading, conn => {
        sqlx::query_scalar(sql)
            .bind(shard.column())
            .bind(from)
            .bind(through)
            .bind(rows_max - 1)
            .fetch_optional(conn)
            .await
    })
}

/// The id right before another.
pub(crate) fn last_below(id: Uuid) -> Uuid {
    Uuid::from_u128(id.as_u128().saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page of 3 from a table whose slices hold so many matches, and how many slices it took.
    fn page(matches: &[usize]) -> (Scanned<u32>, usize) {
        let mut scan = Scan::new(3);
        let mut looked = 0;
        while let Some(slice) = scan.next() {
            let found = matches[looked].min(usize::try_from(slice.limit).unwrap());
            looked += 1;
            let rows = vec![0; found];
            let stopped_at = (looked < matches.len()).then(|| Uuid::from_u128(looked as u128));
            assert_eq!(slice.after.is_none(), looked == 1);
            scan.add(Scanned { rows, stopped_at });
        }
        (scan.end(), looked)
    }

    #[test]
    fn a_page_looks_on_until_it_is_full_or_everything_or_enough_was_looked_at() {
        let enough = usize::try_from(SCAN_ROWS_MAX / SLICE_ROWS_MAX).unwrap();
        for (matches, found, looked, goes_on) in [
            (vec![0], 0, 1, false),
            (vec![5, 1], 3, 1, true),
            (vec![1, 0, 2, 1], 3, 3, true),
            (vec![1, 0, 1], 2, 3, false),
            (vec![0; 20], 0, enough, true),
        ] {
            let (page, slices) = page(&matches);
            let is = (page.rows.len(), slices, page.stopped_at.is_some());
            assert_eq!(is, (found, looked, goes_on), "{matches:?}");
        }
    }
}
