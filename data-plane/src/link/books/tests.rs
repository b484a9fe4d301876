//! The books through the life of a node: leases that come twice, lost sessions, drains.

use std::time::Duration;

use bytes::Bytes;
use posthorn::node::v1::{HttpAnswer, LeaseReference, outcome::Result as Fact};

use super::*;
use crate::clock;
use crate::link::PROTOCOLS;

fn books(capacity: u32) -> Books {
    Books::new(Identity {
        node_id: "node_1".to_owned(),
        name: "test".to_owned(),
        capacity,
        protocols: PROTOCOLS,
    })
}

fn lease(lease_id: u64) -> Lease {
    Lease {
        lease_id,
        delivery_id: format!("dlv_{lease_id}"),
        endpoint_id: "ep_1".to_owned(),
        attempt: 1,
        body: vec![0; 10].into(),
        proof: proof(lease_id),
        ..Lease::default()
    }
}

fn proof(lease_id: u64) -> Bytes {
    Bytes::from(format!("proof of {lease_id}"))
}

fn finished(lease_id: u64) -> Finished {
    Finished {
        lease_id,
        fact: Fact::Answer(HttpAnswer::default()),
        began: clock::now(),
        took: Duration::from_millis(5),
    }
}

fn messages(books: &mut Books) -> Vec<Message> {
    std::iter::from_fn(|| books.next_message(clock::now())).collect()
}

/// Opens a session and returns its `Hello` and what follows.
fn open(books: &mut Books) -> (Hello, Vec<Message>) {
    books.open_session(clock::now());
    let mut messages = messages(books);
    match messages.remove(0) {
        Message::Hello(hello) => (hello, messages),
        other => panic!("{other:?} before hello"),
    }
}

fn lease_ids(references: &[LeaseReference]) -> Vec<u64> {
    let mut ids: Vec<u64> = references
        .iter()
        .map(|reference| reference.lease_id)
        .collect();
    ids.sort_unstable();
    ids
}

#[test]
fn the_first_session_begins_with_hello_and_the_whole_credit() {
    let mut books = books(4);
    let (hello, rest) = open(&mut books);
    assert_eq!((hello.protocol, hello.capacity), (2, 4));
    assert!(hello.in_flight.is_empty() && hello.unacknowledged.is_empty());
    assert!(matches!(&rest[..], [Message::Credit(credit)] if credit.deliveries == 4));
    assert!(!books.has_message());
}

#[test]
fn a_lease_that_is_held_is_not_entered_again_until_its_outcome_is_committed() {
    let mut books = books(4);
    open(&mut books);
    assert!(books.enter(&lease(1)).is_some());
    assert!(books.enter(&lease(1)).is_none(), "while it is worked on");
    books.finish(finished(1));
    assert!(books.enter(&lease(1)).is_none(), "before it is reported");
    messages(&mut books);
    assert!(books.enter(&lease(1)).is_none(), "before it is committed");
    books.commit(1);
    assert!(books.enter(&lease(1)).is_some());
}

#[test]
fn ends_that_gathered_are_one_message_and_their_credit_follows() {
    let mut books = books(4);
    open(&mut books);
    for id in 1..=3 {
        books.enter(&lease(id));
        books.finish(finished(id));
    }
    let messages = messages(&mut books);
    let [Message::Outcomes(outcomes), Message::Credit(credit)] = &messages[..] else {
        panic!("{messages:?}");
    };
    assert_eq!((outcomes.sequence, outcomes.outcomes.len()), (1, 3));
    assert_eq!((credit.deliveries, credit.bytes), (3, 30));
    assert_eq!(outcomes.outcomes[0].delivery_id, "dlv_1");
}

#[test]
fn a_new_session_tells_what_runs_and_what_is_not_committed() {
    let mut books = books(8);
    open(&mut books);
    for id in 1..=4 {
        books.enter(&lease(id));
    }
    books.finish(finished(1));
    messages(&mut books);
    books.finish(finished(2));
    messages(&mut books);
    books.commit(1);
    books.finish(finished(3));
    let (hello, rest) = open(&mut books);
    // 3 has ended and is in no message yet, 4 is worked on.
    assert_eq!(lease_ids(&hello.in_flight), [3, 4]);
    for held in &hello.in_flight {
        assert_eq!(held.proof, proof(held.lease_id));
    }
    assert_eq!(hello.unacknowledged.len(), 1);
    assert_eq!(hello.unacknowledged[0].sequence, 2);
    assert_eq!(hello.unacknowledged[0].outcomes[0].proof, proof(2));
    let [Message::Credit(credit), Message::Outcomes(outcomes)] = &rest[..] else {
        panic!("{rest:?}");
    };
    assert_eq!(credit.deliveries, 7);
    assert_eq!((outcomes.sequence, outcomes.outcomes[0].lease_id), (3, 3));
}

#[test]
fn without_commits_a_node_takes_no_more_work_than_twice_its_capacity() {
    let mut books = books(2);
    open(&mut books);
    for id in 1..=5 {
        books.enter(&lease(id));
        books.finish(finished(id));
    }
    let sent = messages(&mut books);
    assert!(matches!(&sent[..], [Message::Outcomes(_)]), "{sent:?}");
    books.commit(1);
    assert!(matches!(
        books.next_message(clock::now()),
        Some(Message::Credit(_))
    ));
}

#[test]
fn a_draining_node_says_so_gives_no_credit_and_settles_when_all_is_committed() {
    let mut books = books(4);
    open(&mut books);
    let running = books.enter(&lease(1)).expect("a new lease");
    assert_eq!(running.begin(), Ok(()));
    let waiting = books.enter(&lease(2)).expect("a new lease");
    books.drain();
    assert_eq!(waiting.begin(), Err(NotStartedReason::Drain));
    let late = books.enter(&lease(3)).expect("a new lease");
    assert_eq!(late.begin(), Err(NotStartedReason::Drain));
    for id in 1..=3 {
        books.finish(finished(id));
    }
    let messages = messages(&mut books);
    assert!(
        matches!(&messages[..], [Message::Drain(_), Message::Outcomes(_)]),
        "{messages:?}"
    );
    assert!(!books.is_settled());
    let (_, rest) = open(&mut books);
    assert!(matches!(&rest[..], [Message::Drain(_)]), "{rest:?}");
    books.commit(1);
    assert!(books.is_settled());
}

#[test]
fn a_revoked_lease_does_not_begin_and_one_that_has_begun_goes_on() {
    let mut books = books(4);
    open(&mut books);
    let waiting = books.enter(&lease(1)).expect("a new lease");
    let begun = books.enter(&lease(2)).expect("a new lease");
    assert_eq!(begun.begin(), Ok(()));
    books.revoke(&[1, 2, 99]);
    assert_eq!(waiting.begin(), Err(NotStartedReason::Revoked));
    assert_eq!(books.working(), 2);
}
