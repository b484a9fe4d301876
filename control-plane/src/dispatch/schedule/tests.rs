//! A group of lanes against a model of the table: whatever happens in whatever order, no delivery is leased twice at one
//! time, none is lost, and no endpoint exceeds its concurrency.

mod serving;
mod world;

use std::collections::{BTreeMap, HashMap, HashSet};

use rand::{SeedableRng as _, rngs::StdRng};
use uuid::Uuid;

use super::{group::WINDOW_MAX, lease::Taker, leases::LOST_MAX, *};
use crate::model::{
    id::{EventId, NodeId},
    lease::{HolderKind, LeaseKey},
    object::ObjectState,
};

const NOW_MS: i64 = 1_764_000_000_000;
const SHARD: Shard = Shard(7);
const CONCURRENCY: u32 = 4;

fn endpoint(number: u8) -> EndpointId {
    EndpointId::from_uuid(Uuid::from_u128(u128::from(number) + 1))
}

fn node(number: u8) -> HolderId {
    HolderId::Node(NodeId::from_uuid(Uuid::from_u128(u128::from(number) + 1)))
}

fn delivery(number: u64) -> DeliveryId {
    let event = EventId::new(NOW_MS, SHARD, &mut StdRng::seed_from_u64(number));
    event.delivery(1)
}

fn settings(state: ObjectState) -> LaneSettings {
    LaneSettings {
        state,
        concurrency: CONCURRENCY,
        served_by: HolderKind::Node,
    }
}

/// A group without lanes.
fn empty() -> Group {
    Group::new(Shared::new(9))
}

fn group(endpoints: u8) -> Group {
    let mut group = empty();
    for number in 0..endpoints {
        group.configure(
            SHARD,
            endpoint(number),
            settings(ObjectState::Enabled),
            NOW_MS,
        );
    }
    group.recovered(&ShardSet::ALL, NOW_MS);
    group
}

fn admit(group: &mut Group, endpoint_number: u8, number: u64) -> DeliveryId {
    let id = delivery(number);
    group.admit(
        endpoint(endpoint_number),
        (NOW_MS, id),
        Entry::fresh(None),
        NOW_MS,
    );
    id
}

/// Another lease of the same attempt.
fn after(key: LeaseKey) -> LeaseKey {
    LeaseKey {
        lease_id: key.lease_id + 1,
        ..key
    }
}

fn take(group: &mut Group, max: usize, node_number: u8) -> Vec<Grant> {
    take_at(group, max, node(node_number), NOW_MS)
}

fn take_at(group: &mut Group, max: usize, holder: HolderId, now_ms: i64) -> Vec<Grant> {
    let mut grants = Vec::new();
    let mut taker = taker(holder, usize::MAX, now_ms);
    group.take(max, &mut taker, &mut grants);
    grants
}

fn taker(holder: HolderId, suspects: usize, now_ms: i64) -> Taker {
    Taker {
        holder,
        now_ms,
        granted_at: 0,
        suspects,
    }
}

fn lose(group: &mut Group, holder: HolderId, still_held: &[u64]) -> Lost {
    let still_held = still_held.iter().copied().collect();
    let mut lost = Lost::default();
    group.lose(holder, &still_held, NOW_MS, &mut lost);
    lost
}

fn loaded(group: &Group) -> Loaded {
    let mut loaded = Loaded {
        waiting: group.shared.loaded(),
        ..Loaded::default()
    };
    group.add_to(&mut loaded);
    loaded
}

#[test]
fn an_endpoint_gets_no_more_leases_than_its_concurrency() {
    let mut group = group(2);
    for number in 0..20 {
        admit(&mut group, 0, number);
    }
    admit(&mut group, 1, 100);
    let grants = take(&mut group, 100, 0);
    let to_first = grants
        .iter()
        .filter(|grant| grant.endpoint_id == endpoint(0))
        .count();
    assert_eq!(to_first, CONCURRENCY as usize);
    assert_eq!(grants.len(), CONCURRENCY as usize + 1);
    assert!(take(&mut group, 100, 0).is_empty());
}

#[test]
fn a_report_frees_the_slot_before_it_is_settled() {
    let mut group = group(1);
    for number in 0..5 {
        admit(&mut group, 0, number);
    }
    let first = take(&mut group, 100, 0).remove(0);
    let reported = group.report(node(0), first.key, NOW_MS);
    assert!(matches!(reported, Reported::Current(_)));
    assert_eq!(take(&mut group, 100, 0).len(), 1);
    assert!(group.is_leased(first.key.delivery_id));
    group.settle(
        first.key.delivery_id,
        first.key.lease_id,
        Settled::Ended,
        NOW_MS,
    );
    assert!(!group.is_leased(first.key.delivery_id));
}

#[test]
fn a_report_is_taken_once_and_only_from_the_holder_of_the_current_lease() {
    let mut group = group(1);
    admit(&mut group, 0, 1);
    let grant = take(&mut group, 1, 0).remove(0);
    assert_eq!(
        group.report(node(1), grant.key, NOW_MS),
        Reported::OtherHolder
    );
    assert_eq!(
        group.report(node(0), after(grant.key), NOW_MS),
        Reported::Lost
    );
    assert!(matches!(
        group.report(node(0), grant.key, NOW_MS),
        Reported::Current(_)
    ));
    assert_eq!(group.report(node(0), grant.key, NOW_MS), Reported::Repeated);
}

#[test]
fn a_failed_delivery_comes_back_when_its_time_comes() {
    let mut group = group(1);
    let id = admit(&mut group, 0, 1);
    let grant = take(&mut group, 1, 0).remove(0);
    group.report(node(0), grant.key, NOW_MS);
    group.settle(
        id,
        grant.key.lease_id,
        Settled::RetryAt(NOW_MS + 1_000),
        NOW_MS,
    );
    assert!(take(&mut group, 1, 0).is_empty());
    assert_eq!(group.fire(NOW_MS), Some(NOW_MS + 1_000));
    assert_eq!(group.fire(NOW_MS + 1_000), None);
    let again = take_at(&mut group, 1, node(0), NOW_MS + 1_000).remove(0);
    assert_eq!((again.key.delivery_id, again.key.attempt), (id, 2));
}

#[test]
fn a_lost_lease_goes_to_another_node_and_the_fifth_is_the_last() {
    let mut group = group(1);
    let id = admit(&mut group, 0, 1);
    for round in 1..=LOST_MAX {
        let grant = take(&mut group, 1, round).remove(0);
        assert_eq!(grant.key.attempt, 1);
        let too_often = lose(&mut group, node(round), &[]).too_often;
        let is_last = round == LOST_MAX;
        assert_eq!(
            too_often.first().map(|(lost, _)| lost.delivery_id),
            is_last.then_some(id)
        );
        assert_eq!(
            group.report(node(round), after(grant.key), NOW_MS),
            Reported::Lost
        );
    }
    assert!(take(&mut group, 1, 0).is_empty());
}

#[test]
fn a_node_keeps_the_leases_that_it_still_names() {
    let mut group = group(1);
    admit(&mut group, 0, 1);
    admit(&mut group, 0, 2);
    let grants = take(&mut group, 2, 0);
    lose(&mut group, node(0), &[grants[0].key.lease_id]);
    assert!(group.is_leased(grants[0].key.delivery_id));
    assert!(!group.is_leased(grants[1].key.delivery_id));
}

#[test]
fn nothing_old_is_read_while_nodes_may_still_hold_it_but_new_events_flow() {
    let mut group = empty();
    group.configure(SHARD, endpoint(0), settings(ObjectState::Enabled), NOW_MS);
    group.mark_stale(SHARD, endpoint(0), NOW_MS);
    assert_eq!(group.next_page(), None);
    admit(&mut group, 0, 1);
    assert_eq!(take(&mut group, 1, 0).len(), 1);
    group.recovered(&ShardSet::ALL, NOW_MS);
    assert!(group.next_page().is_some());
}

#[test]
fn an_adopted_lease_keeps_its_delivery_from_being_read_again() {
    let mut group = empty();
    group.configure(SHARD, endpoint(0), settings(ObjectState::Enabled), NOW_MS);
    group.mark_stale(SHARD, endpoint(0), NOW_MS);
    let row = DueDelivery {
        id: delivery(1),
        due_at: NOW_MS,
        attempt_count: 2,
        attempt_base: 0,
    };
    let adopted = LeaseKey {
        lease_id: 77,
        delivery_id: row.id,
        attempt: 3,
    };
    group.adopt(77, node(0), &row, endpoint(0), 0);
    group.recovered(&ShardSet::ALL, NOW_MS);
    let page = group.next_page().unwrap();
    group.page_read(&page, Some(&[row]), NOW_MS);
    assert!(take(&mut group, 1, 1).is_empty());
    let Reported::Current(granted) = group.report(node(0), adopted, NOW_MS) else {
        panic!("the adopted lease is not current");
    };
    assert_eq!(granted.attempt_count, 2);
}

#[test]
fn a_page_that_was_read_before_an_outcome_does_not_bring_the_delivery_back() {
    let mut group = group(1);
    let id = admit(&mut group, 0, 1);
    let grant = take(&mut group, 1, 0).remove(0);
    group.mark_stale(SHARD, endpoint(0), NOW_MS);
    let page = group.next_page().unwrap();
    // The page is read while the row is still there; then the delivery ends; then the page arrives.
    group.report(node(0), grant.key, NOW_MS);
    group.settle(id, grant.key.lease_id, Settled::Ended, NOW_MS);
    let row = DueDelivery {
        id,
        due_at: NOW_MS,
        attempt_count: 0,
        attempt_base: 0,
    };
    group.page_read(&page, Some(&[row]), NOW_MS);
    assert!(take(&mut group, 1, 0).is_empty());
}

#[test]
fn a_delivery_that_a_page_brought_before_its_emit_was_answered_is_not_leased_twice() {
    let mut group = group(1);
    let id = delivery(1);
    group.writing(id.event());
    group.mark_stale(SHARD, endpoint(0), NOW_MS);
    let page = group.next_page().unwrap();
    let row = DueDelivery {
        id,
        due_at: NOW_MS,
        attempt_count: 0,
        attempt_base: 0,
    };
    group.page_read(&page, Some(&[row]), NOW_MS);
    assert!(take(&mut group, 8, 0).is_empty());
    group.written(id.event());
    group.admit(endpoint(0), (NOW_MS, id), Entry::fresh(None), NOW_MS);
    assert_eq!(take(&mut group, 8, 0).len(), 1);
    group.admit(endpoint(0), (NOW_MS, id), Entry::fresh(None), NOW_MS);
    assert!(take(&mut group, 8, 0).is_empty());
}

#[test]
fn a_delivery_that_was_cancelled_while_leased_goes_out_no_more() {
    let mut group = group(1);
    let id = admit(&mut group, 0, 1);
    let grant = take(&mut group, 1, 0).remove(0);
    assert_eq!(group.abandon(id), Some((grant.key.lease_id, node(0))));
    assert!(!group.is_current(grant.key));
    group.release(node(0), grant.key, NOW_MS);
    assert!(take(&mut group, 1, 1).is_empty());
    assert_eq!(loaded(&group).leased, 0);
}

#[test]
fn only_ids_that_were_granted_here_are_own_leases() {
    let mut group = group(1);
    admit(&mut group, 0, 1);
    let grant = take(&mut group, 1, 0).remove(0);
    let ids = &group.shared.lease_ids;
    assert!(ids.are_own(grant.key.lease_id));
    assert!(!ids.are_own(grant.key.lease_id + 1));
    assert!(!ids.are_own(0));
}

#[test]
fn a_paused_endpoint_rests_until_it_is_enabled() {
    let mut group = group(1);
    group.configure(SHARD, endpoint(0), settings(ObjectState::Paused), NOW_MS);
    admit(&mut group, 0, 1);
    assert!(take(&mut group, 1, 0).is_empty());
    group.configure(SHARD, endpoint(0), settings(ObjectState::Enabled), NOW_MS);
    assert_eq!(take(&mut group, 1, 0).len(), 1);
}
