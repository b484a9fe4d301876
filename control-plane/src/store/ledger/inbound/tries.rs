//! Rows that are tried under a claim, and what becomes of those that do not get it.

use super::{ClaimHolder, InboundRow, Original, Receipt, repeated};
use crate::model::{
    claim::ClaimKey,
    inbound::{Part, Verdict},
    source::OnConflict,
};

/// A row that is to be written under a claim.
#[derive(Clone, Copy)]
pub(super) struct Try<'a> {
    /// Its place among the rows.
    pub(super) place: usize,
    pub(super) row: &'a InboundRow,
    pub(super) claim: ClaimKey,
}

/// What became of a row that did not get its claim.
pub(super) enum Settled<'a> {
    Is(Receipt),
    Again(Try<'a>),
}

impl<'a> Try<'a> {
    pub(super) fn first((place, row): (usize, &'a InboundRow)) -> Self {
        Self {
            place,
            row,
            claim: row.request.claim,
        }
    }

    /// Up to when one that holds the claim must have been received to hold it no more.
    pub(super) fn expired_at(self) -> i64 {
        let window_ms = self.row.window_ms.unwrap_or(i64::MAX);
        self.row.request.received_at.saturating_sub(window_ms)
    }

    /// What the row is beside the one that holds its claim.
    pub(super) fn settle(self, standing: ClaimHolder) -> Settled<'a> {
        let request = &self.row.request;
        if standing.id == request.id {
            return Settled::Is(Receipt::New);
        }
        if standing.received_at <= self.expired_at() {
            return Settled::Again(self);
        }
        let is_first = self.claim == request.claim;
        let verdict = repeated(request, &standing.body_hash, standing.channel);
        let original = Original {
            id: standing.id,
            posted_id: Part::from_column(standing.id, standing.batch_id)
                .batch()
                .unwrap_or(standing.id),
            has_same_body: standing.body_hash == request.body_hash,
            answer: standing.answer,
        };
        match (verdict, self.row.on_conflict) {
            (Verdict::Conflict, OnConflict::Emit) if is_first => Settled::Again(Self {
                claim: self.claim.with_body(&request.body_hash),
                ..self
            }),
            (Verdict::Conflict, _) => Settled::Is(Receipt::Conflict(original)),
            _ => Settled::Is(Receipt::Duplicate(original)),
        }
    }
}
