//! Events that are being written: the schedule knows of them from before their commit until it is known what became of it.

use super::super::Dispatch;
use crate::store::{EmitRow, InboundRow};

/// A row that may hold an event.
pub(crate) trait Emits {
    /// Its event.
    fn emit(&self) -> Option<&EmitRow>;
}

impl Emits for EmitRow {
    fn emit(&self) -> Option<&EmitRow> {
        Some(self)
    }
}

impl Emits for InboundRow {
    fn emit(&self) -> Option<&EmitRow> {
        Self::emit(self)
    }
}

/// Rows that are being written. Dropped before it is known that they are, the lanes that their events would go to read the
/// table anew, because it may hold them.
#[derive(Debug)]
pub(crate) struct Writing<R: Emits> {
    dispatch: Dispatch,
    rows: Vec<R>,
}

impl Dispatch {
    /// Tells the schedule of rows that are about to be written.
    pub(super) fn writing<R: Emits>(&self, rows: Vec<R>) -> Writing<R> {
        self.0.schedule.writing(rows.iter().filter_map(R::emit));
        Writing {
            dispatch: self.clone(),
            rows,
        }
    }
}

impl<R: Emits> Writing<R> {
    /// The rows.
    pub(super) fn rows(&self) -> &[R] {
        &self.rows
    }

    /// They are written. Hands the events that are new to the schedule, and returns the rows.
    pub(super) fn written(mut self, is_new: impl Iterator<Item = bool>) -> Vec<R> {
        let rows = std::mem::take(&mut self.rows);
        let emits = rows.iter().map(R::emit).zip(is_new);
        let emits = emits.filter_map(|(emit, is_new)| Some((emit?, is_new)));
        let engine = &self.dispatch.0;
        engine
            .schedule
            .written(emits, |event| engine.payloads.hold(event));
        rows
    }

    /// The same rows in parts of so many each.
    pub(super) fn split(mut self, counts: impl Iterator<Item = usize>) -> Vec<Self> {
        let mut rows = std::mem::take(&mut self.rows).into_iter();
        let parts = counts.map(|count| Self {
            dispatch: self.dispatch.clone(),
            rows: rows.by_ref().take(count).collect(),
        });
        parts.collect()
    }
}

impl<R: Emits> Drop for Writing<R> {
    fn drop(&mut self) {
        let emits = self.rows.iter().filter_map(R::emit);
        self.dispatch.0.schedule.not_written(emits);
    }
}
