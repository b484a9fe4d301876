//! Credit, deadlines and late words, by tables of what happens to one stream.

use super::*;
use crate::model::id::EndpointId;

const NOW: u64 = 1_000_000;

fn grant(number: u64) -> Grant {
    Grant {
        lease_id: number,
        delivery_id: delivery(number),
        endpoint_id: EndpointId::from_uuid(uuid::Uuid::nil()),
        attempt_count: 2,
        is_suspect: false,
        event: None,
    }
}

fn delivery(number: u64) -> DeliveryId {
    DeliveryId::from_uuid(uuid::Uuid::from_u128(number.into()))
}

fn lease(number: u64, duration_ms: u64) -> HandledLease {
    handled(number, delivery(number), 3, duration_ms)
}

fn given_up(number: u64, was_sent: bool) -> GivenUp {
    GivenUp {
        delivery_id: delivery(number),
        was_sent,
    }
}

/// A stream that holds the handouts 1 to `count`, sent now with 30 s each.
fn holding(count: u64) -> Held {
    let mut held = Held::default();
    held.add_credit(HELD_MAX);
    for number in 1..=count {
        held.take(&grant(number), NOW);
        assert!(held.send(number, 30_000, NOW));
    }
    held
}

#[test]
fn no_more_is_taken_than_credit_allows_and_never_more_than_1024() {
    let mut held = Held::default();
    assert_eq!(held.room(), 0);
    held.add_credit(3);
    assert_eq!(held.room(), 3);
    held.take(&grant(1), NOW);
    assert_eq!(held.room(), 2);
    held.add_credit(u32::MAX);
    assert_eq!(held.room(), 1_023);
    let mut held = holding(1_024);
    held.add_credit(10);
    assert_eq!(held.room(), 0);
    held.end(7, NOW);
    assert_eq!(held.room(), 1);
}

#[test]
fn a_word_ends_a_handout_once() {
    let mut held = holding(1);
    assert_eq!(held.end(1, NOW + 250), Some(Ended::Held(lease(1, 250))));
    assert_eq!(held.end(1, NOW + 260), None);
    assert_eq!(held.end(2, NOW), None);
    assert!(held.expire(u64::MAX / 2).is_empty());
}

#[test]
fn silence_ends_a_handout_and_a_late_word_is_known_as_such() {
    let mut held = holding(2);
    assert_eq!(held.next_deadline(), Some(NOW + 30_000));
    assert!(held.expire(NOW + 29_999).is_empty());
    let expired = held.expire(NOW + 30_001);
    let silent = |number| Expired::Silent(lease(number, 30_001), 30_000);
    assert_eq!(expired, [silent(1), silent(2)]);
    assert_eq!(held.next_deadline(), None);
    let late = held.end(1, NOW + 31_000);
    assert_eq!(late, Some(Ended::Logged(lease(1, 31_000))));
    assert_eq!(held.end(1, NOW + 31_000), None);
}

#[test]
fn an_extension_moves_the_deadline_but_not_beyond_12_hours() {
    let mut held = holding(1);
    held.extend(1, 3_600_000, NOW + 10_000);
    assert_eq!(held.next_deadline(), Some(NOW + 3_610_000));
    held.extend(1, 1_000, NOW + 20_000);
    assert_eq!(held.next_deadline(), Some(NOW + 21_000));
    let almost = NOW + HOLD_MAX_MS - 1_000;
    held.extend(1, 3_600_000, almost);
    assert_eq!(held.next_deadline(), Some(NOW + HOLD_MAX_MS));
    let expired = held.expire(NOW + HOLD_MAX_MS);
    assert_eq!(
        expired,
        [Expired::Silent(lease(1, HOLD_MAX_MS), HOLD_MAX_MS)]
    );
    held.extend(1, 1_000, NOW);
    assert_eq!(held.next_deadline(), None);
}

#[test]
fn what_was_never_sent_goes_back_with_its_credit() {
    let mut held = Held::default();
    held.add_credit(2);
    held.take(&grant(1), NOW);
    held.take(&grant(2), NOW);
    assert_eq!((held.room(), held.unsent().len()), (0, 2));
    assert_eq!(held.end(1, NOW), None);
    assert_eq!(held.give_up(1), Some(given_up(1, false)));
    assert_eq!(held.room(), 1);
    let expired = held.expire(NOW + UNSENT_MAX_MS);
    assert_eq!(expired, [Expired::Unsent(2, delivery(2))]);
    assert_eq!(held.room(), 2);
    assert!(!held.send(2, 30_000, NOW));
}

#[test]
fn one_suspect_is_held_at_a_time() {
    let mut held = holding(1);
    let suspect = Grant {
        is_suspect: true,
        ..grant(2)
    };
    assert_eq!(held.suspects(), 1);
    held.take(&suspect, NOW);
    assert_eq!(held.suspects(), 0);
    held.send(2, 1_000, NOW);
    held.end(1, NOW);
    assert_eq!(held.suspects(), 0);
    held.end(2, NOW);
    assert_eq!(held.suspects(), 1);
}

#[test]
fn a_revoked_handout_is_heard_of_once() {
    let mut held = holding(1);
    assert_eq!(held.give_up(1), Some(given_up(1, true)));
    assert_eq!(held.give_up(1), None);
    assert_eq!(held.end(1, NOW + 5), Some(Ended::Revoked(lease(1, 5))));
}

#[test]
fn late_handouts_are_remembered_up_to_a_limit() {
    let mut held = Held::default();
    for number in 1..=(LATE_MAX as u64 + 1) {
        held.add_credit(1);
        held.take(&grant(number), NOW);
        held.send(number, 1_000, NOW);
        held.expire(NOW + 1_000);
    }
    assert_eq!(held.end(1, NOW + 2_000), None);
    assert!(held.end(2, NOW + 2_000).is_some());
}
