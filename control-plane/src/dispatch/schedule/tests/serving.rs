//! Who is woken, and what a consumer's stream gets.

use std::collections::HashSet;

use rand::{SeedableRng as _, rngs::StdRng};
use tokio::sync::Notify;
use uuid::Uuid;

use super::super::{lease::Taker, slot::SUSPECT, *};
use crate::model::{
    id::{ConsumerId, EventId, NodeId},
    lease::{HolderKind, LeaseKey},
    object::ObjectState,
};

const NOW_MS: i64 = 1_764_000_000_000;
const SHARD: Shard = Shard(7);

/// Whether a stream was woken since the last time.
fn was_woken(bell: &Notify) -> bool {
    let notified = std::pin::pin!(bell.notified());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    notified.poll(&mut context).is_ready()
}

fn endpoint(number: u8) -> EndpointId {
    EndpointId::from_uuid(Uuid::from_u128(u128::from(number) + 1))
}

fn stream(number: u8) -> HolderId {
    let id = Uuid::from_u128(u128::from(number) + 100);
    HolderId::Consumer(ConsumerId::from_uuid(id))
}

fn group(handlers: u8) -> Group {
    let mut group = Group::new(Shared::new(9));
    for number in 0..handlers {
        configure(&mut group, number, HolderKind::Consumer);
    }
    group.recovered(&ShardSet::ALL, NOW_MS);
    group
}

fn configure(group: &mut Group, number: u8, served_by: HolderKind) {
    let settings = LaneSettings {
        state: ObjectState::Enabled,
        concurrency: u32::MAX,
        served_by,
    };
    group.configure(SHARD, endpoint(number), settings, NOW_MS);
}

fn serve(group: &mut Group, handlers: u8, number: u8) -> Arc<Notify> {
    let bell = Arc::new(Notify::new());
    let endpoints = (0..handlers).map(endpoint).collect::<Vec<_>>();
    group.serve(SHARD, &endpoints, stream(number), &bell);
    assert!(was_woken(&bell));
    bell
}

fn admit(group: &mut Group, handler: u8, seed: u64) -> DeliveryId {
    let event = EventId::new(NOW_MS, SHARD, &mut StdRng::seed_from_u64(seed));
    let id = event.delivery(1);
    let key = (NOW_MS, id);
    group.admit(endpoint(handler), key, Entry::fresh(None), NOW_MS);
    id
}

fn take_from(
    group: &mut Group,
    endpoints: &[EndpointId],
    (max, suspects): (usize, usize),
    number: u8,
    now_ms: i64,
) -> Vec<Grant> {
    let mut taker = Taker {
        holder: stream(number),
        now_ms,
        granted_at: 0,
        suspects,
    };
    group.take_from(endpoints, 0, max, &mut taker)
}

/// What a node gets.
fn take_as_node(group: &mut Group) -> Vec<Grant> {
    let holder = HolderId::Node(NodeId::from_uuid(Uuid::from_u128(100)));
    let mut taker = Taker {
        holder,
        now_ms: NOW_MS,
        granted_at: 0,
        suspects: usize::MAX,
    };
    let mut grants = Vec::new();
    group.take(10, &mut taker, &mut grants);
    grants
}

fn lose(group: &mut Group, number: u8) {
    let mut lost = Lost::default();
    group.lose(stream(number), &HashSet::new(), NOW_MS, &mut lost);
}

fn take(group: &mut Group, handlers: u8, max: usize, number: u8) -> Vec<Grant> {
    let endpoints = (0..handlers).map(endpoint).collect::<Vec<_>>();
    take_from(group, &endpoints, (max, 1), number, NOW_MS)
}

#[test]
fn no_node_gets_what_consumers_take() {
    let mut group = group(1);
    let id = admit(&mut group, 0, 1);
    assert!(!group.has_ready());
    assert!(take_as_node(&mut group).is_empty());
    let grants = take(&mut group, 1, 10, 1);
    assert_eq!(grants[0].key.delivery_id, id);
    group.lose_older(u64::MAX, NOW_MS, &mut Lost::default());
    assert!(group.is_current(grants[0].key));
}

#[test]
fn a_lane_that_becomes_a_consumers_leaves_the_ring() {
    let mut group = group(0);
    let bell = serve(&mut group, 1, 1);
    admit(&mut group, 0, 1);
    assert!(group.has_ready());
    configure(&mut group, 0, HolderKind::Consumer);
    assert!(take_as_node(&mut group).is_empty());
    assert!(!group.has_ready() && was_woken(&bell));
    assert_eq!(take(&mut group, 1, 10, 1).len(), 1);
}

#[test]
fn who_serves_a_lane_is_rung_when_something_is_due() {
    let mut group = group(2);
    let (one, two) = (serve(&mut group, 2, 1), serve(&mut group, 2, 2));
    assert!(!was_woken(&one) && !was_woken(&two));
    admit(&mut group, 1, 1);
    assert!(was_woken(&one) && was_woken(&two));
    let grant = take(&mut group, 2, 10, 1).remove(0);
    group.report(stream(1), grant.key, NOW_MS);
    let retry = Settled::RetryAt(NOW_MS + 5);
    let LeaseKey {
        delivery_id,
        lease_id,
        ..
    } = grant.key;
    group.settle(delivery_id, lease_id, retry, NOW_MS);
    assert!(!was_woken(&one) && !was_woken(&two));
    group.fire(NOW_MS + 5);
    assert!(was_woken(&one) && was_woken(&two));
}

#[test]
fn what_a_turn_leaves_is_rung_for_again() {
    let mut group = group(1);
    let (one, two) = (serve(&mut group, 1, 1), serve(&mut group, 1, 2));
    for seed in 0..3 {
        admit(&mut group, 0, seed);
    }
    assert!(was_woken(&one) && was_woken(&two));
    assert_eq!(take(&mut group, 1, 1, 1).len(), 1);
    assert!(was_woken(&two));
    assert_eq!(take(&mut group, 1, 10, 2).len(), 2);
    assert!(take(&mut group, 1, 10, 1).is_empty());
}

#[test]
fn handlers_of_one_stream_take_turns() {
    let mut group = group(2);
    for seed in 0..40 {
        admit(&mut group, 0, seed);
    }
    for seed in 100..103 {
        admit(&mut group, 1, seed);
    }
    let grants = take(&mut group, 2, 16, 1);
    let of_second = |grant: &&Grant| grant.endpoint_id == endpoint(1);
    assert_eq!(grants.len(), 16);
    assert_eq!(grants.iter().filter(of_second).count(), 3);
}

#[test]
fn a_stream_that_leaves_rings_the_others() {
    let mut group = group(1);
    let (one, two) = (serve(&mut group, 1, 1), serve(&mut group, 1, 2));
    admit(&mut group, 0, 1);
    assert!(was_woken(&one) && was_woken(&two));
    group.leave(&[endpoint(0)], stream(1));
    assert!(!was_woken(&one) && was_woken(&two));
    assert_eq!(take(&mut group, 1, 10, 2).len(), 1);
}

#[test]
fn a_suspect_is_handed_out_one_at_a_time() {
    let mut group = group(1);
    let bell = serve(&mut group, 1, 1);
    let mut ids = (0..3).map(|seed| admit(&mut group, 0, seed));
    let mut ids = [(); 3].map(|()| ids.next().unwrap());
    ids.sort_unstable();
    for _ in 0..SUSPECT {
        assert_eq!(take(&mut group, 1, 10, 1).len(), 3);
        lose(&mut group, 1);
    }
    assert!(was_woken(&bell));
    let first = take(&mut group, 1, 10, 1);
    assert_eq!(first.len(), 1);
    assert!(first[0].is_suspect && first[0].key.delivery_id == ids[0]);
    let endpoints = [endpoint(0)];
    let nothing = take_from(&mut group, &endpoints, (10, 0), 1, NOW_MS);
    assert!(nothing.is_empty());
    // It waits for its own suspect and is not rung for what it may not take.
    let _ = was_woken(&bell);
    take_from(&mut group, &endpoints, (10, 0), 1, NOW_MS);
    assert!(!was_woken(&bell));
    // Another stream may take one of them.
    assert_eq!(take(&mut group, 1, 10, 2)[0].key.delivery_id, ids[1]);
}

#[test]
fn what_is_due_behind_suspects_does_not_wait_for_them() {
    let mut group = group(1);
    let bell = serve(&mut group, 1, 1);
    for seed in 0..3 {
        admit(&mut group, 0, seed);
    }
    for _ in 0..SUSPECT {
        assert_eq!(take(&mut group, 1, 10, 1).len(), 3);
        lose(&mut group, 1);
    }
    assert!(take(&mut group, 1, 10, 1)[0].is_suspect);
    let endpoints = [endpoint(0)];
    let take = |group: &mut Group, now_ms| {
        let grants = take_from(group, &endpoints, (10, 0), 1, now_ms);
        let ids = grants.iter().map(|grant| grant.key.delivery_id);
        ids.collect::<Vec<_>>()
    };
    assert!(take(&mut group, NOW_MS).is_empty());
    let _ = was_woken(&bell);
    // One that is due now, while the lane rests.
    let now = EventId::new(NOW_MS + 1, SHARD, &mut StdRng::seed_from_u64(10)).delivery(1);
    group.admit(endpoint(0), (NOW_MS, now), Entry::fresh(None), NOW_MS);
    assert!(was_woken(&bell));
    assert_eq!(take(&mut group, NOW_MS), [now]);
    assert!(take(&mut group, NOW_MS).is_empty());
    // One that is due later.
    let _ = was_woken(&bell);
    let later = EventId::new(NOW_MS + 2, SHARD, &mut StdRng::seed_from_u64(11)).delivery(1);
    group.admit(endpoint(0), (NOW_MS + 5, later), Entry::fresh(None), NOW_MS);
    assert!(!was_woken(&bell) && take(&mut group, NOW_MS).is_empty());
    assert_eq!(group.fire(NOW_MS), Some(NOW_MS + 5));
    group.fire(NOW_MS + 5);
    assert!(was_woken(&bell));
    assert_eq!(take(&mut group, NOW_MS + 5), [later]);
}

#[test]
fn the_leases_of_a_deleted_endpoint_are_told_to_their_holders() {
    let mut group = group(2);
    let id = admit(&mut group, 0, 1);
    admit(&mut group, 1, 2);
    let grants = take(&mut group, 2, 10, 1);
    let own = grants
        .iter()
        .find(|grant| grant.key.delivery_id == id)
        .unwrap();
    group.remove(endpoint(0));
    let told = group.abandon_all(endpoint(0));
    assert_eq!(told, [(own.key.lease_id, stream(1))]);
    assert!(!group.is_current(own.key));
    group.release(stream(1), own.key, NOW_MS);
    assert!(take(&mut group, 1, 10, 1).is_empty());
}
