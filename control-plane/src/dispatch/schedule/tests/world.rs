//! Whatever happens in whatever order, every delivery ends: a world of endpoints, nodes and a table, moved by random steps.

use proptest::prelude::*;

use super::*;

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
    MarkStale(u8),
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
        1 => (0..3_u8).prop_map(Step::MarkStale),
        2 => Just(Step::Wait),
    ]
}

/// The group and everything around it.
struct World {
    group: Group,
    table: Table,
    held: HashMap<DeliveryId, (Grant, HolderId, (i64, DeliveryId))>,
    page: Option<(PageWanted, Vec<DueDelivery>)>,
    now_ms: i64,
    emitted: u64,
    ended: HashSet<DeliveryId>,
}

impl World {
    fn new() -> Self {
        Self {
            group: group(3),
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
            Step::MarkStale(number) => self.group.mark_stale(SHARD, endpoint(*number), self.now_ms),
            Step::Wait => {
                self.now_ms += 300;
                self.group.fire(self.now_ms);
            }
        }
    }

    fn emit(&mut self, number: u8) {
        self.emitted += 1;
        let key = (self.now_ms, delivery(self.emitted));
        self.table.0.insert(key, (endpoint(number), 0));
        self.group
            .admit(endpoint(number), key, Entry::fresh(None), self.now_ms);
    }

    fn take(&mut self, holder: HolderId, max: usize) {
        for grant in take_at(&mut self.group, max, holder, self.now_ms) {
            assert!(
                !self.ended.contains(&grant.key.delivery_id),
                "an ended delivery was leased"
            );
            let row = self
                .table
                .0
                .iter()
                .find(|((_, id), _)| *id == grant.key.delivery_id);
            let (key, (_, attempt_count)) = row.expect("only open deliveries are leased");
            assert_eq!(*attempt_count + 1, grant.key.attempt);
            let key = *key;
            let twice = self
                .held
                .insert(grant.key.delivery_id, (grant, holder, key));
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
        let (grant, holder, key) = self.held.remove(&id).expect("it is held");
        let reported = self.group.report(holder, grant.key, self.now_ms);
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
                    .insert((at, id), (grant.endpoint_id, grant.key.attempt));
                Settled::RetryAt(at)
            }
        };
        self.group
            .settle(id, grant.key.lease_id, settled, self.now_ms);
    }

    fn lose(&mut self, holder: HolderId) {
        self.held.retain(|_, (_, other, _)| *other != holder);
        let mut lost = Lost::default();
        self.group
            .lose(holder, &HashSet::new(), self.now_ms, &mut lost);
        for (lost, _) in lost.too_often {
            let (id, ended) = (lost.delivery_id, Settled::Ended);
            self.table.0.retain(|(_, other), _| *other != id);
            self.ended.insert(id);
            self.group.settle(id, lost.lease_id, ended, self.now_ms);
        }
    }

    fn begin_page(&mut self) {
        if self.page.is_none() {
            let wanted = self.group.next_page();
            self.page = wanted.map(|page| (page, self.table.page(&page)));
        }
    }

    fn end_page(&mut self) {
        if let Some((page, rows)) = self.page.take() {
            self.group.page_read(&page, Some(&rows), self.now_ms);
        }
    }

    fn configure(&mut self, number: u8, state: ObjectState) {
        self.group
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
        prop_assert_eq!(loaded(&world.group).waiting, 0);
        prop_assert_eq!(loaded(&world.group).leased, 0);
    }
}

#[test]
fn a_backlog_beyond_the_window_stays_in_the_table_and_is_read_in_order() {
    let mut world = World::new();
    world.configure(0, ObjectState::Paused);
    for _ in 0..5 * WINDOW_MAX {
        world.emit(0);
    }
    assert_eq!(loaded(&world.group).waiting, WINDOW_MAX);
    world.finish();
    assert!(world.table.0.is_empty());
}
