//! The table through the life of a node: leases that come twice, lost sessions, drains.

use std::time::Duration;

use bytes::Bytes;
use posthorn::node::v1::{HttpAnswer, LeaseReference, outcome::Result as Fact};

use super::*;
use crate::clock;
use crate::link::PROTOCOLS;

fn table(capacity: u32) -> LeaseTable {
    LeaseTable::new(Identity {
        node_id: "node_1".to_owned(),
        name: "test".to_owned(),
        capacity,
        protocols: PROTOCOLS,
        listeners: Vec::new(),
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
        trace: None,
        began: clock::now(),
        took: Duration::from_millis(5),
    }
}

fn messages(table: &mut LeaseTable) -> Vec<Message> {
    std::iter::from_fn(|| table.next_message(clock::now())).collect()
}

/// Opens a session and returns its `Hello` and what follows.
fn open(table: &mut LeaseTable) -> (Hello, Vec<Message>) {
    table.open_session(clock::now());
    let mut messages = messages(table);
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
    let mut table = table(4);
    let (hello, rest) = open(&mut table);
    assert_eq!((hello.protocol, hello.capacity), (2, 4));
    assert!(hello.in_flight.is_empty() && hello.unacknowledged.is_empty());
    assert!(matches!(&rest[..], [Message::Credit(credit)] if credit.deliveries == 4));
    assert!(!table.has_message());
}

#[test]
fn a_lease_that_is_held_is_not_entered_again_until_its_outcome_is_committed() {
    let mut table = table(4);
    open(&mut table);
    assert!(table.enter(&lease(1)).is_some());
    assert!(table.enter(&lease(1)).is_none(), "while it is worked on");
    table.finish(finished(1));
    assert!(table.enter(&lease(1)).is_none(), "before it is reported");
    messages(&mut table);
    assert!(table.enter(&lease(1)).is_none(), "before it is committed");
    table.commit(1);
    assert!(table.enter(&lease(1)).is_some());
}

#[test]
fn ends_that_gathered_are_one_message_and_their_credit_follows() {
    let mut table = table(4);
    open(&mut table);
    for id in 1..=3 {
        table.enter(&lease(id));
        table.finish(finished(id));
    }
    let messages = messages(&mut table);
    let [Message::Outcomes(outcomes), Message::Credit(credit)] = &messages[..] else {
        panic!("{messages:?}");
    };
    assert_eq!((outcomes.sequence, outcomes.outcomes.len()), (1, 3));
    assert_eq!((credit.deliveries, credit.bytes), (3, 30));
    assert_eq!(outcomes.outcomes[0].delivery_id, "dlv_1");
}

#[test]
fn a_new_session_tells_what_runs_and_what_is_not_committed() {
    let mut table = table(8);
    open(&mut table);
    for id in 1..=4 {
        table.enter(&lease(id));
    }
    table.finish(finished(1));
    messages(&mut table);
    table.finish(finished(2));
    messages(&mut table);
    table.commit(1);
    table.finish(finished(3));
    let (hello, rest) = open(&mut table);
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
    let mut table = table(2);
    open(&mut table);
    for id in 1..=5 {
        table.enter(&lease(id));
        table.finish(finished(id));
    }
    let sent = messages(&mut table);
    assert!(matches!(&sent[..], [Message::Outcomes(_)]), "{sent:?}");
    table.commit(1);
    assert!(matches!(
        table.next_message(clock::now()),
        Some(Message::Credit(_))
    ));
}

#[test]
fn a_draining_node_says_so_gives_no_credit_and_settles_when_all_is_committed() {
    let mut table = table(4);
    open(&mut table);
    let running = table.enter(&lease(1)).expect("a new lease");
    assert_eq!(running.begin(), Ok(()));
    let waiting = table.enter(&lease(2)).expect("a new lease");
    table.drain();
    assert_eq!(waiting.begin(), Err(NotStartedReason::Drain));
    let late = table.enter(&lease(3)).expect("a new lease");
    assert_eq!(late.begin(), Err(NotStartedReason::Drain));
    for id in 1..=3 {
        table.finish(finished(id));
    }
    let messages = messages(&mut table);
    assert!(
        matches!(&messages[..], [Message::Drain(_), Message::Outcomes(_)]),
        "{messages:?}"
    );
    assert!(!table.is_settled());
    let (_, rest) = open(&mut table);
    assert!(matches!(&rest[..], [Message::Drain(_)]), "{rest:?}");
    table.commit(1);
    assert!(table.is_settled());
}

#[test]
fn a_revoked_lease_does_not_begin_and_one_that_has_begun_goes_on() {
    let mut table = table(4);
    open(&mut table);
    let waiting = table.enter(&lease(1)).expect("a new lease");
    let begun = table.enter(&lease(2)).expect("a new lease");
    assert_eq!(begun.begin(), Ok(()));
    table.revoke(&[1, 2, 99]);
    assert_eq!(waiting.begin(), Err(NotStartedReason::Revoked));
    assert_eq!(table.working(), 2);
}
