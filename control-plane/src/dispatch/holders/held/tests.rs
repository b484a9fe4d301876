//! Credit, deadlines and late words, by tables of what happens to one stream.

use super::*;
use crate::model::id::{DeliveryId, EndpointId};

const NOW: u64 = 1_000_000;

const CAPACITY: u32 = 1_024;

fn key(number: u64) -> LeaseKey {
    LeaseKey {
        lease_id: number,
        delivery_id: DeliveryId::from_uuid(uuid::Uuid::from_u128(number.into())),
        attempt: 3,
    }
}

fn grant(number: u64) -> Grant {
    Grant {
        key: key(number),
        endpoint_id: EndpointId::from_uuid(uuid::Uuid::nil()),
        is_suspect: false,
        event: None,
    }
}

/// Takes and sends a lease, to be held for so long.
fn send(held: &mut Held, number: u64, within_ms: u64) {
    held.take(&grant(number), None);
    assert_eq!(held.send(number, 0, Some(within_ms), NOW), Sent::Yes);
}

/// A stream that holds the handouts 1 to `count`, sent now with 30 s each.
fn holding(count: u64) -> Held {
    let mut held = Held::new(CAPACITY, false);
    held.add_credit(CAPACITY, 0);
    for number in 1..=count {
        send(&mut held, number, 30_000);
    }
    held
}

#[test]
fn no_more_is_taken_than_credit_allows_and_never_more_than_1024() {
    let mut held = Held::new(CAPACITY, false);
    assert_eq!(held.room(), 0);
    held.add_credit(3, 0);
    assert_eq!(held.room(), 3);
    held.take(&grant(1), None);
    assert_eq!(held.room(), 2);
    held.add_credit(u32::MAX, 0);
    assert_eq!(held.room(), 1_023);
    let mut held = holding(1_024);
    held.add_credit(10, 0);
    assert_eq!(held.room(), 0);
    held.end(7, NOW);
    assert_eq!(held.room(), 1);
}

#[test]
fn a_word_ends_a_handout_once() {
    let mut held = holding(1);
    assert_eq!(held.end(1, NOW + 250), Some(Ended::Held(key(1), 250)));
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
    let silent = |number| Expired::Silent(key(number), 30_001, 30_000);
    assert_eq!(expired, [silent(1), silent(2)]);
    assert_eq!(held.next_deadline(), None);
    let late = held.end(1, NOW + 31_000);
    assert_eq!(late, Some(Ended::Logged(key(1), 31_000)));
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
    assert_eq!(expired, [Expired::Silent(key(1), HOLD_MAX_MS, HOLD_MAX_MS)]);
    held.extend(1, 1_000, NOW);
    assert_eq!(held.next_deadline(), None);
}

#[test]
fn what_was_never_sent_goes_back_with_its_credit() {
    let mut held = Held::new(CAPACITY, false);
    held.add_credit(2, 0);
    held.take(&grant(1), None);
    held.take(&grant(2), Some(NOW + 10_000));
    assert_eq!((held.room(), held.unsent().len()), (0, 2));
    assert_eq!(held.end(1, NOW), None);
    assert_eq!(held.give_up(1), Some((key(1), false)));
    assert_eq!(held.room(), 1);
    let expired = held.expire(NOW + 10_000);
    assert_eq!(expired, [Expired::Unsent(key(2))]);
    assert_eq!(held.room(), 2);
    assert_eq!(held.send(2, 0, Some(30_000), NOW), Sent::Gone);
}

#[test]
fn one_suspect_is_held_at_a_time() {
    let mut held = holding(1);
    let suspect = Grant {
        is_suspect: true,
        ..grant(2)
    };
    assert_eq!(held.suspects(), 1);
    held.take(&suspect, None);
    assert_eq!(held.suspects(), 0);
    held.send(2, 0, Some(1_000), NOW);
    held.end(1, NOW);
    assert_eq!(held.suspects(), 0);
    held.end(2, NOW);
    assert_eq!(held.suspects(), 1);
}

#[test]
fn a_revoked_handout_is_heard_of_once() {
    let mut held = holding(1);
    assert_eq!(held.give_up(1), Some((key(1), true)));
    assert_eq!(held.give_up(1), None);
    assert_eq!(held.end(1, NOW + 5), Some(Ended::Revoked(key(1), 5)));
}

#[test]
fn late_handouts_are_remembered_up_to_a_limit() {
    let mut held = Held::new(CAPACITY, false);
    for number in 1..=(LATE_MAX as u64 + 1) {
        held.add_credit(1, 0);
        send(&mut held, number, 1_000);
        held.expire(NOW + 1_000);
    }
    assert_eq!(held.end(1, NOW + 2_000), None);
    assert!(held.end(2, NOW + 2_000).is_some());
}

#[test]
fn bodies_need_credit_in_bytes_where_they_are_counted() {
    let mut held = Held::new(8, true);
    held.add_credit(3, 0);
    assert_eq!(held.room(), 0, "no byte may be sent");
    held.add_credit(0, 100);
    assert_eq!(held.room(), 3);
    for number in 1..=2 {
        held.take(&grant(number), None);
    }
    // The last body may overdraw.
    assert_eq!(held.send(1, 250, None, NOW), Sent::Yes);
    assert_eq!(held.send(2, 1, None, NOW), Sent::NoCredit);
    held.add_credit(0, 250);
    assert_eq!(held.send(2, 1, None, NOW), Sent::Yes);
    assert_eq!(held.next_deadline(), None, "they have no end of their own");
}

#[test]
fn what_drains_takes_no_more_and_what_was_brought_along_is_held() {
    let mut held = Held::new(8, true);
    held.adopt(key(1));
    held.add_credit(8, 100);
    assert_eq!(held.room(), 7);
    held.drain();
    assert_eq!(held.room(), 0);
    assert!(held.end(1, 0).is_some());
    assert_eq!(held.end(1, 0), None, "it is reported once");
}
