//! The order in which rows are written that want to be accepted: which get their claim, and what becomes of the others.
//!
//! Mostly that is one statement. A row that did not get its claim is looked at beside the one that holds it, and tried again
//! where that one's window is over, or where other bytes under a claim are an event of their own.

use std::collections::HashSet;

use uuid::Uuid;

use super::{
    ClaimHolder, Conn, InboundRow, KeptRow, OneOf, Receipt, Result, postgres, sqlite,
    tries::{Settled, Try},
};
use crate::model::{
    id::InboundId,
    inbound::{Channel, InboundRequest, Part, Verdict},
};

/// Writes rows that want to be accepted, and the records of those that are not.
pub(super) async fn receive(conn: &mut Conn<'_>, rows: &[InboundRow]) -> Result<Vec<Receipt>> {
    let mut receipts = vec![Receipt::New; rows.len()];
    let mut tries = (0..).zip(rows).map(Try::first).collect::<Vec<_>>();
    loop {
        let claimed = claim(conn, &tries).await?;
        if claimed.len() == tries.len() {
            break;
        }
        let claimed = claimed.into_iter().collect::<HashSet<_>>();
        tries.retain(|lost| !claimed.contains(&lost.row.request.id.uuid()));
        let standing = standing(conn, &tries).await?;
        let mut again = Vec::new();
        for (lost, standing) in tries.into_iter().zip(standing) {
            let standing = standing.ok_or_else(|| taken_id(lost.row.request.id))?;
            match lost.settle(standing) {
                Settled::Is(receipt) => receipts[lost.place] = receipt,
                Settled::Again(retried) => again.push(retried),
            }
        }
        if again.is_empty() {
            break;
        }
        tries = again;
    }
    let records = records(rows, &receipts);
    if !records.is_empty() {
        let records = records.iter().collect::<Vec<_>>();
        match conn {
            OneOf::Postgres(conn) => postgres::keep(conn, &records).await?,
            OneOf::Sqlite(conn) => sqlite::keep(conn, &records).await?,
        }
    }
    Ok(receipts)
}

/// Writes the rows that get their claim, with what they bring, and returns their ids.
async fn claim(conn: &mut Conn<'_>, tries: &[Try<'_>]) -> Result<Vec<Uuid>> {
    let windowed = tries.iter().filter(|one| one.row.window_ms.is_some());
    let windowed = windowed.copied().collect::<Vec<_>>();
    match conn {
        OneOf::Postgres(conn) => {
            if !windowed.is_empty() {
                postgres::release(conn, &windowed).await?;
            }
            postgres::claim(conn, tries).await
        }
        OneOf::Sqlite(conn) => {
            for one in windowed {
                sqlite::release(conn, one).await?;
            }
            sqlite::claim(conn, tries).await
        }
    }
}

/// The accepted rows that are these, or hold their claims, in their order.
async fn standing(conn: &mut Conn<'_>, lost: &[Try<'_>]) -> Result<Vec<Option<ClaimHolder>>> {
    match conn {
        OneOf::Postgres(conn) => postgres::standing(conn, lost).await,
        OneOf::Sqlite(conn) => sqlite::standing(conn, lost).await,
    }
}

/// The records of the rows that were not accepted.
fn records(rows: &[InboundRow], receipts: &[Receipt]) -> Vec<KeptRow> {
    // A batch that repeats one has nothing but known items: its own record says so for all of them.
    let repeated = rows.iter().zip(receipts).filter_map(|(row, receipt)| {
        let is_batch = row.request.part == Part::Batch && *receipt != Receipt::New;
        is_batch.then_some(row.request.id)
    });
    let repeated = repeated.collect::<HashSet<_>>();
    let lost = rows.iter().zip(receipts);
    lost.filter_map(|(row, receipt)| {
        let batch = row.request.part.batch();
        let is_told = batch.is_some_and(|batch| repeated.contains(&batch));
        if is_told { None } else { record(row, receipt) }
    })
    .collect()
}

/// The record of a row that lost its claim. None: it did not, or polling saw again what it sees with each pull.
fn record(row: &InboundRow, receipt: &Receipt) -> Option<KeptRow> {
    if row.request.channel == Channel::Poll {
        return None;
    }
    let (verdict, original) = match receipt {
        Receipt::New => return None,
        Receipt::Duplicate(original) => (Verdict::Duplicate, original),
        Receipt::Conflict(original) => (Verdict::Conflict, original),
    };
    let request = InboundRequest {
        verdict,
        original_id: Some(original.id),
        ..row.request.clone()
    };
    let body = (!original.has_same_body).then(|| row.body().clone());
    Some(KeptRow { request, body })
}

/// A claim that nobody holds although its row could not be written: the id is another record's.
fn taken_id(id: InboundId) -> crate::store::Error {
    crate::store::Error::bug(format!("the id of {id} is that of another record"))
}
