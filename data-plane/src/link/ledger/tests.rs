//! The ledger: commits, resume lists and the limits of messages.

use std::time::Duration;

use posthorn::node::v1::{HttpAnswer, outcome::Result as Fact};

use super::*;
use crate::clock;

fn rows(ids: std::ops::Range<u64>, excerpt_bytes: usize, began: Instant) -> VecDeque<Row> {
    let row = |lease_id| Row {
        outcome: Outcome {
            lease_id,
            result: Some(Fact::Answer(HttpAnswer {
                excerpt: vec![b'x'; excerpt_bytes].into(),
                ..HttpAnswer::default()
            })),
            ..Outcome::default()
        },
        began,
    };
    ids.map(row).collect()
}

#[test]
fn what_is_committed_is_forgotten_and_the_rest_is_recited_with_its_sequence_and_its_age() {
    let began = clock::now();
    let mut ledger = Ledger::default();
    for ids in [0..2, 2..3, 3..5] {
        ledger.enter(&mut rows(ids, 1, began), began);
    }
    assert_eq!(ledger.commit(1), [0, 1]);
    assert!(ledger.commit(1).is_empty());
    assert_eq!(ledger.rows(), 3);
    let list = ledger.resume_list(began + Duration::from_millis(70));
    let sequences: Vec<u64> = list.hello.iter().map(|batch| batch.sequence).collect();
    assert_eq!(sequences, [2, 3]);
    assert!(
        list.hello
            .iter()
            .flat_map(|batch| &batch.outcomes)
            .all(|row| row.age_ms == 70)
    );
    assert!(list.later.is_empty() && list.held.is_empty());
    assert_eq!(ledger.commit(u64::MAX), [2, 3, 4]);
    assert_eq!(ledger.rows(), 0);
}

#[test]
fn a_message_has_a_limit_of_rows_and_of_bytes() {
    let now = clock::now();
    let mut ledger = Ledger::default();
    let mut small = rows(0..2_000, 1, now);
    assert_eq!(ledger.enter(&mut small, now).outcomes.len(), ROWS_MAX);
    assert_eq!(small.len(), 2_000 - ROWS_MAX);
    let mut large = rows(0..1_000, 4_096, now);
    assert!(ledger.enter(&mut large, now).encoded_len() <= MESSAGE_BYTES_MAX + 8_192);
    assert!(large.len() > 800);
}

#[test]
fn what_is_too_much_for_a_hello_follows_it_and_its_leases_are_named_as_held() {
    let now = clock::now();
    let mut ledger = Ledger::default();
    let mut waiting = rows(0..2_000, 4_096, now);
    while !waiting.is_empty() {
        ledger.enter(&mut waiting, now);
    }
    let list = ledger.resume_list(now);
    let told = |batches: &[Outcomes]| {
        batches
            .iter()
            .map(|batch| batch.outcomes.len())
            .sum::<usize>()
    };
    assert!(told(&list.hello) > 0 && told(&list.later) > 0);
    assert_eq!(told(&list.hello) + told(&list.later), 2_000);
    assert_eq!(told(&list.later), list.held.len());
}
