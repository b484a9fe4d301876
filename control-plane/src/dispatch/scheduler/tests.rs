//! The scheduler against a model of the table: whatever happens in whatever order, no delivery is leased twice at one
//! time, none is lost, and no endpoint exceeds its concurrency.

use std::collections::{BTreeMap, HashMap, HashSet};

use proptest::prelude::*;
use rand::{SeedableRng as _, rngs::StdRng};
use uuid::Uuid;

use super::{leases::LOST_MAX, *};
use crate::model::id::{EventId, NodeId};

const NOW_MS: i64 = 1_764_000_000_000;
const SHARD: Shard = Shard(7);
const CONCURRENCY: u32 = 4;

fn endpoint(number: u8) -> EndpointId {
    EndpointId::from_uuid(Uuid::from_u128(u128::from(number) + 1))
}

fn node(number: u8) -> NodeId {
    NodeId::from_uuid(Uuid::from_u128(u128::from(number) + 1))
}

fn delivery(number: u64) -> DeliveryId {
    let event = EventId::new(NOW_MS, SHARD, &mut StdRng::seed_from_u64(number));
    event.delivery(1)
}

fn settings(state: ObjectState) -> LaneSettings {
    LaneSettings {
        state,
        concurrency: CONCURRENCY,
        served_by: ServedBy::Nodes,
    }
}

fn scheduler(endpoints: u8) -> Scheduler {
    let mut scheduler = Scheduler::new(9);
    for number in 0..endpoints {
        scheduler.configure(
            SHARD,
            endpoint(number),
            settings(ObjectState::Enabled),
            NOW_MS,
        );
    }
    scheduler.recovered(&ShardSet::ALL, NOW_MS);
    scheduler
}

fn admit(scheduler: &mut Scheduler, endpoint_number: u8, number: u64) -> DeliveryId {
    let id = delivery(number);
    scheduler.admit(
        endpoint(endpoint_number),
        (NOW_MS, id),
        Entry::fresh(None),
        NOW_MS,
    );
    id
}

fn take(scheduler: &mut Scheduler, max: usize, node_number: u8) -> Vec<Grant> {
    scheduler.take(max, node(node_number), NOW_MS, 0)
}

#[test]
fn an_endpoint_gets_no_more_leases_than_its_concurrency() {
    let mut scheduler = scheduler(2);
    for number in 0..20 {
        admit(&mut scheduler, 0, number);
    }
    admit(&mut scheduler, 1, 100);
    let grants = take(&mut scheduler, 100, 0);
    let to_first = grants
        .iter()
        .filter(|grant| grant.endpoint_id == endpoint(0))
        .count();
    assert_eq!(to_first, CONCURRENCY as usize);
    assert_eq!(grants.len(), CONCURRENCY as usize + 1);
    assert!(take(&mut scheduler, 100, 0).is_empty());
}

#[test]
fn a_report_frees_the_slot_before_it_is_settled() {
    let mut scheduler = scheduler(1);
    for number in 0..5 {
        admit(&mut scheduler, 0, number);
    }
    let first = take(&mut scheduler, 100, 0).remove(0);
    let reported = scheduler.report(node(0), first.delivery_id, first.lease_id, NOW_MS);
    assert!(matches!(reported, Reported::Current(_)));
    assert_eq!(take(&mut scheduler, 100, 0).len(), 1);
    assert!(scheduler.is_leased(first.delivery_id));
    scheduler.settle(first.delivery_id, first.lease_id, Settled::Ended, NOW_MS);
    assert!(!scheduler.is_leased(first.delivery_id));
}

#[test]
fn a_report_is_taken_once_and_only_from_the_holder_of_the_current_lease() {
    let mut scheduler = scheduler(1);
    let id = admit(&mut scheduler, 0, 1);
    let grant = take(&mut scheduler, 1, 0).remove(0);
    assert_eq!(
        scheduler.report(node(1), id, grant.lease_id, NOW_MS),
        Reported::OtherNode
    );
    assert_eq!(
        scheduler.report(node(0), id, grant.lease_id + 1, NOW_MS),
        Reported::Lost
    );
    assert!(matches!(
        scheduler.report(node(0), id, grant.lease_id, NOW_MS),
        Reported::Current(_)
    ));
    assert_eq!(
        scheduler.report(node(0), id, grant.lease_id, NOW_MS),
        Reported::Repeated
    );
}

#[test]
fn a_failed_delivery_comes_back_when_its_time_comes() {
    let mut scheduler = scheduler(1);
    let id = admit(&mut scheduler, 0, 1);
    let grant = take(&mut scheduler, 1, 0).remove(0);
    scheduler.report(node(0), id, grant.lease_id, NOW_MS);
    scheduler.settle(id, grant.lease_id, Settled::RetryAt(NOW_MS + 1_000), NOW_MS);
    assert!(take(&mut scheduler, 1, 0).is_empty());
    assert_eq!(scheduler.fire(NOW_MS), Some(NOW_MS + 1_000));
    assert_eq!(scheduler.fire(NOW_MS + 1_000), None);
    let again = scheduler.take(1, node(0), NOW_MS + 1_000, 0).remove(0);
    assert_eq!((again.delivery_id, again.attempt_count), (id, 1));
}

#[test]
fn a_lost_lease_goes_to_another_node_and_the_fifth_is_the_last() {
    let mut scheduler = scheduler(1);
    let id = admit(&mut scheduler, 0, 1);
    for round in 1..=LOST_MAX {
        let grant = take(&mut scheduler, 1, round).remove(0);
        assert_eq!(grant.attempt_count, 0);
        let buried = scheduler
            .lose((node(round), ServedBy::Nodes), &HashSet::new(), NOW_MS)
            .too_often;
        let is_last = round == LOST_MAX;
        assert_eq!(
            buried.first().map(|lost| lost.delivery_id),
            is_last.then_some(id)
        );
        assert_eq!(
            scheduler.report(node(round), id, grant.lease_id + 1, NOW_MS),
            Reported::Lost
        );
    }
    assert!(take(&mut scheduler, 1, 0).is_empty());
}

#[test]
fn a_node_keeps_the_leases_that_it_still_names() {
    let mut scheduler = scheduler(1);
    admit(&mut scheduler, 0, 1);
    admit(&mut scheduler, 0, 2);
    let grants = take(&mut scheduler, 2, 0);
    scheduler.lose(
        (node(0), ServedBy::Nodes),
        &HashSet::from([grants[0].lease_id]),
        NOW_MS,
    );
    assert!(scheduler.is_leased(grants[0].delivery_id));
    assert!(!scheduler.is_leased(grants[1].delivery_id));
}

#[test]
fn nothing_old_is_read_while_nodes_may_still_hold_it_but_new_events_flow() {
    let mut scheduler = Scheduler::new(9);
    scheduler.configure(SHARD, endpoint(0), settings(ObjectState::Enabled), NOW_MS);
    scheduler.suspect(SHARD, endpoint(0), NOW_MS);
    assert_eq!(scheduler.next_page(), None);
    admit(&mut scheduler, 0, 1);
    assert_eq!(take(&mut scheduler, 1, 0).len(), 1);
    scheduler.recovered(&ShardSet::ALL, NOW_MS);
    assert!(scheduler.next_page().is_some());
}

#[test]
fn an_adopted_lease_keeps_its_delivery_from_being_read_again() {
    let mut scheduler = Scheduler::new(9);
    scheduler.configure(SHARD, endpoint(0), settings(ObjectState::Enabled), NOW_MS);
    scheduler.suspect(SHARD, endpoint(0), NOW_MS);
    let row = DueDelivery {
        id: delivery(1),
        due_at: NOW_MS,
        attempt_count: 2,
        attempt_base: 0,
    };
    scheduler.adopt(77, node(0), &row, endpoint(0), 0);
    scheduler.recovered(&ShardSet::ALL, NOW_MS);
    let page = scheduler.next_page().unwrap();
    scheduler.page_read(&page, Some(&[row]), NOW_MS);
    assert!(take(&mut scheduler, 1, 1).is_empty());
    let Reported::Current(granted) = scheduler.report(node(0), row.id, 77, NOW_MS) else {
        panic!("the adopted lease is not current");
    };
    assert_eq!(granted.attempt_count, 2);
}

#[test]
fn a_page_that_was_read_before_an_outcome_does_not_bring_the_delivery_back() {
    let mut scheduler = scheduler(1);
    let id = admit(&mut scheduler, 0, 1);
    let grant = take(&mut scheduler, 1, 0).remove(0);
    scheduler.suspect(SHARD, endpoint(0), NOW_MS);
    let page = scheduler.next_page().unwrap();
    // The page is read while the row is still there; then the delivery ends; then the page arrives.
    scheduler.report(node(0), id, grant.lease_id, NOW_MS);
    scheduler.settle(id, grant.lease_id, Settled::Ended, NOW_MS);
    let row = DueDelivery {
        id,
        due_at: NOW_MS,
        attempt_count: 0,
        attempt_base: 0,
    };
    scheduler.page_read(&page, Some(&[row]), NOW_MS);
    assert!(take(&mut scheduler, 1, 0).is_empty());
}

#[test]
fn a_delivery_that_a_page_brought_before_its_emit_was_answered_is_not_leased_twice() {
    let mut scheduler = scheduler(1);
    let id = delivery(1);
    scheduler.writing([id.event()].into_iter());
    scheduler.suspect(SHARD, endpoint(0), NOW_MS);
    let page = scheduler.next_page().unwrap();
    let row = DueDelivery {
        id,
        due_at: NOW_MS,
        attempt_count: 0,
        attempt_base: 0,
    };
    scheduler.page_read(&page, Some(&[row]), NOW_MS);
    assert!(take(&mut scheduler, 8, 0).is_empty());
    scheduler.written([id.event()].into_iter());
    scheduler.admit(endpoint(0), (NOW_MS, id), Entry::fresh(None), NOW_MS);
    assert_eq!(take(&mut scheduler, 8, 0).len(), 1);
    scheduler.admit(endpoint(0), (NOW_MS, id), Entry::fresh(None), NOW_MS);
    assert!(take(&mut scheduler, 8, 0).is_empty());
}

#[test]
fn a_delivery_that_was_cancelled_while_leased_goes_out_no_more() {
    let mut scheduler = scheduler(1);
    let id = admit(&mut scheduler, 0, 1);
    let grant = take(&mut scheduler, 1, 0).remove(0);
    assert_eq!(scheduler.abandon(id), Some((grant.lease_id, node(0))));
    assert!(!scheduler.is_current(id, grant.lease_id));
    assert!(scheduler.release(node(0), id, grant.lease_id, NOW_MS));
    assert!(take(&mut scheduler, 1, 1).is_empty());
    assert_eq!(scheduler.loaded().leased, 0);
}

#[test]
fn only_ids_that_were_granted_here_are_own_leases() {
    let mut scheduler = scheduler(1);
    admit(&mut scheduler, 0, 1);
    let grant = take(&mut scheduler, 1, 0).remove(0);
    assert!(scheduler.is_own_lease(grant.lease_id));
    assert!(!scheduler.is_own_lease(grant.lease_id + 1));
    assert!(!scheduler.is_own_lease(0));
}

#[test]
fn a_paused_endpoint_rests_until_it_is_enabled() {
    let mut scheduler = scheduler(1);
    scheduler.configure(SHARD, endpoint(0), settings(ObjectState::Paused), NOW_MS);
    admit(&mut scheduler, 0, 1);
    assert!(take(&mut scheduler, 1, 0).is_empty());
    scheduler.configure(SHARD, endpoint(0), settings(ObjectState::Enabled), NOW_MS);
    assert_eq!(take(&mut scheduler, 1, 0).len(), 1);
}

/// What is open, as the table would have it.
#[derive(Default)]
struct Table(BTreeMap<(i64, DeliveryId), (EndpointId, u32)>);

impl Table {
    fn page(&self, page: &PageWanted) -> Vec<DueDelivery> {
        let waiting = self
            .0
            .range(page.from..)
            .filter(|(_, (endpoint_id, _))| *endpoint_id == page.endpoint_id);
        let rows = waiting.map(|((due_at, id), (_, attempt_count))| DueDelivery {
            id: *id,
            due_at: *due_at,
            attempt_count: *attempt_count,
            attempt_base: 0,
        });
        rows.take(page.limit).collect()
    }
}

#[derive(Debug, Clone)]
enum Step {
    Emit(u8),
    Take(u8, usize),
    Succeed,
    Fail,
    Lose(u8),
    BeginPage,
    EndPage,
    Pause(u8),
    Resume(u8),
    Suspect(u8),
    Wait,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..3_u8).prop_map(Step::Emit),
        6 => (0..2_u8, 1..20_usize).prop_map(|(node, max)| Step::Take(node, max)),
        6 => Just(Step::Succeed),
        3 => Just(Step::Fail),
        1 => (0..2_u8).prop_map(Step::Lose),
        2 => Just(Step::BeginPage),
        2 => Just(Step::EndPage),
        1 => (0..3_u8).prop_map(Step::Pause),
        1 => (0..3_u8).prop_map(Step::Resume),
        1 => (0..3_u8).prop_map(Step::Suspect),
        2 => Just(Step::Wait),
    ]
}

/// The scheduler and everything around it.
struct World {
    scheduler: Scheduler,
    table: Table,
    held: HashMap<DeliveryId, (Grant, NodeId, (i64, DeliveryId))>,
    page: Option<(PageWanted, Vec<DueDelivery>)>,
    now_ms: i64,
    emitted: u64,
    ended: HashSet<DeliveryId>,
}

impl World {
    fn new() -> Self {
        Self {
            scheduler: scheduler(3),
            table: Table::default(),
            held: HashMap::new(),
            page: None,
            now_ms: NOW_MS,
            emitted: 0,
            ended: HashSet::new(),
        }
    }

    fn apply(&mut self, step: &Step) {
        match step {
            Step::Emit(number) => self.emit(*number),
            Step::Take(number, max) => self.take(node(*number), *max),
            Step::Succeed => self.report(None),
            Step::Fail => self.report(Some(self.now_ms + 500)),
            Step::Lose(number) => self.lose(node(*number)),
            Step::BeginPage => self.begin_page(),
            Step::EndPage => self.end_page(),
            Step::Pause(number) => self.configure(*number, ObjectState::Paused),
            Step::Resume(number) => self.configure(*number, ObjectState::Enabled),
            Step::Suspect(number) => self
                .scheduler
                .suspect(SHARD, endpoint(*number), self.now_ms),
            Step::Wait => {
                self.now_ms += 300;
                self.scheduler.fire(self.now_ms);
            }
        }
    }

    fn emit(&mut self, number: u8) {
        self.emitted += 1;
        let key = (self.now_ms, delivery(self.emitted));
        self.table.0.insert(key, (endpoint(number), 0));
        self.scheduler
            .admit(endpoint(number), key, Entry::fresh(None), self.now_ms);
    }

    fn take(&mut self, node_id: NodeId, max: usize) {
        for grant in self.scheduler.take(max, node_id, self.now_ms, 0) {
            assert!(
                !self.ended.contains(&grant.delivery_id),
                "an ended delivery was leased"
            );
            let row = self
                .table
                .0
                .iter()
                .find(|((_, id), _)| *id == grant.delivery_id);
            let (key, (_, attempt_count)) = row.expect("only open deliveries are leased");
            assert_eq!(*attempt_count, grant.attempt_count);
            let key = *key;
            let twice = self.held.insert(grant.delivery_id, (grant, node_id, key));
            assert!(twice.is_none(), "a delivery was leased twice");
        }
        for number in 0..3 {
            let running = self
                .held
                .values()
                .filter(|(grant, ..)| grant.endpoint_id == endpoint(number));
            assert!(running.count() <= CONCURRENCY as usize);
        }
    }

    fn report(&mut self, retry_at: Option<i64>) {
        let Some(id) = self.held.keys().min().copied() else {
            return;
        };
        let (grant, node_id, key) = self.held.remove(&id).expect("it is held");
        let reported = self
            .scheduler
            .report(node_id, id, grant.lease_id, self.now_ms);
        assert!(matches!(reported, Reported::Current(_)));
        self.table.0.remove(&key);
        let settled = match retry_at {
            None => {
                self.ended.insert(id);
                Settled::Ended
            }
            Some(at) => {
                self.table
                    .0
                    .insert((at, id), (grant.endpoint_id, grant.attempt_count + 1));
                Settled::RetryAt(at)
            }
        };
        self.scheduler
            .settle(id, grant.lease_id, settled, self.now_ms);
    }

    fn lose(&mut self, node_id: NodeId) {
        self.held.retain(|_, (_, holder, _)| *holder != node_id);
        let lost = self
            .scheduler
            .lose((node_id, ServedBy::Nodes), &HashSet::new(), self.now_ms);
        for lost in lost.too_often {
            self.table.0.retain(|(_, id), _| *id != lost.delivery_id);
            self.ended.insert(lost.delivery_id);
            self.scheduler
                .settle(lost.delivery_id, lost.lease_id, Settled::Ended, self.now_ms);
        }
    }

    fn begin_page(&mut self) {
        if self.page.is_none() {
            let wanted = self.scheduler.next_page();
            self.page = wanted.map(|page| (page, self.table.page(&page)));
        }
    }

    fn end_page(&mut self) {
        if let Some((page, rows)) = self.page.take() {
            self.scheduler.page_read(&page, Some(&rows), self.now_ms);
        }
    }

    fn configure(&mut self, number: u8, state: ObjectState) {
        self.scheduler
            .configure(SHARD, endpoint(number), settings(state), self.now_ms);
    }

    /// Lets everything run to its end.
    fn finish(&mut self) {
        for number in 0..3 {
            self.configure(number, ObjectState::Enabled);
        }
        for _ in 0..10_000 {
            if self.table.0.is_empty() {
                return;
            }
            self.end_page();
            self.begin_page();
            self.apply(&Step::Wait);
            self.take(node(0), 100);
            while !self.held.is_empty() {
                self.report(None);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_delivery_ends_whatever_happens(steps in prop::collection::vec(step(), 1..400)) {
        let mut world = World::new();
        for step in &steps {
            world.apply(step);
        }
        world.finish();
        prop_assert!(world.table.0.is_empty(), "{} deliveries were forgotten", world.table.0.len());
        prop_assert_eq!(world.ended.len() as u64, world.emitted);
        prop_assert_eq!(world.scheduler.loaded().waiting, 0);
        prop_assert_eq!(world.scheduler.loaded().leased, 0);
    }
}

#[test]
fn a_backlog_beyond_the_window_stays_in_the_table_and_is_read_in_order() {
    let mut world = World::new();
    world.configure(0, ObjectState::Paused);
    for _ in 0..5 * WINDOW_MAX {
        world.emit(0);
    }
    assert_eq!(world.scheduler.loaded().waiting, WINDOW_MAX);
    world.finish();
    assert!(world.table.0.is_empty());
}
