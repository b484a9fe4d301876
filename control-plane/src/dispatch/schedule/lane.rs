//! A lane: the deliveries that wait for one endpoint.
//!
//! The table is the truth; a lane is a window onto the front of the table's order by `(due_at, id)`. Its invariant:
//! every waiting row that sorts before the horizon is in the window or leased; rows from the horizon on may be in the
//! table only and are paged in when the window runs low. So a million open deliveries are never a million objects.
//! Only what is emitted while nothing may be read yet, after a start, stands in the window beyond the horizon.
//!
//! A lane is plain data: no clock, no lock, no database.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use crate::{
    dispatch::payloads::HeldEvent,
    model::{
        id::{DeliveryId, Shard},
        lease::HolderKind,
    },
    store::DueDelivery,
};

/// Where a delivery stands in its lane: when it is due, then its id.
pub(in crate::dispatch) type Key = (i64, DeliveryId);

/// The lowest key: from here on everything may be in the table only.
pub(super) const FRONT: Key = (i64::MIN, DeliveryId::from_uuid(uuid::Uuid::nil()));

/// A delivery that waits.
#[derive(Debug, Clone)]
pub(in crate::dispatch) struct Entry {
    /// Attempts made.
    pub attempt_count: u32,
    /// Attempts made before the last retry by an operator.
    pub attempt_base: u32,
    /// Leases lost in a row.
    pub lost: u8,
    /// The event, while memory holds it.
    pub event: Option<Arc<HeldEvent>>,
}

impl Entry {
    /// A delivery whose event has just been emitted.
    pub(in crate::dispatch) fn fresh(event: Option<Arc<HeldEvent>>) -> Self {
        Self {
            attempt_count: 0,
            attempt_base: 0,
            lost: 0,
            event,
        }
    }

    /// A delivery as the table has it.
    pub(in crate::dispatch) fn paged(due: &DueDelivery) -> Self {
        Self {
            attempt_count: due.attempt_count,
            attempt_base: due.attempt_base,
            lost: 0,
            event: None,
        }
    }
}

/// What a lane can do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LaneState {
    /// An attempt can begin now.
    Ready,
    /// The next attempt is due at this instant.
    WaitingUntil(i64),
    /// Nothing waits, or nothing may begin.
    Idle,
}

/// The deliveries that wait for one endpoint.
#[derive(Debug)]
pub(super) struct Lane {
    /// The shard of its tenant.
    pub shard: Shard,
    /// Who makes its attempts.
    pub served_by: HolderKind,
    /// Whether attempts may begin.
    pub open: bool,
    /// How many attempts may run at one time.
    pub concurrency: u32,
    /// How many attempts run.
    pub running: u32,
    window: BTreeMap<Key, Entry>,
    horizon: Option<Key>,
    page: Option<PageRead>,
}

/// A page that is being read from the table.
#[derive(Debug, Default)]
struct PageRead {
    /// Deliveries that ended or moved since the read began: what it says of them is old.
    outdated: HashSet<DeliveryId>,
    /// The lowest key that the window gave up since the read began.
    given_up: Option<Key>,
}

impl Lane {
    /// An empty lane. With `horizon` the table may hold rows from there on.
    pub(super) fn new(shard: Shard, horizon: Option<Key>) -> Self {
        Self {
            shard,
            served_by: HolderKind::Node,
            open: true,
            concurrency: 1,
            running: 0,
            window: BTreeMap::new(),
            horizon,
            page: None,
        }
    }

    /// How many deliveries the window holds.
    pub(super) fn len(&self) -> usize {
        self.window.len()
    }

    /// What the lane can do at `now_ms`.
    pub(super) fn state(&self, now_ms: i64) -> LaneState {
        if !self.open || self.running >= self.concurrency {
            return LaneState::Idle;
        }
        match self.window.first_key_value() {
            None => LaneState::Idle,
            Some(((due_at, _), _)) if *due_at <= now_ms => LaneState::Ready,
            Some(((due_at, _), _)) => LaneState::WaitingUntil(*due_at),
        }
    }

    /// Adds a delivery, unless it sorts beyond the horizon, where the page that is read next will find it.
    pub(super) fn insert(&mut self, key: Key, entry: Entry, limit: usize) {
        if self.horizon.is_some_and(|horizon| key >= horizon) {
            self.give_up(key);
        } else {
            self.insert_anywhere(key, entry, limit);
        }
    }

    /// Adds a delivery to the window and gives up what sorts last while there are more than `limit`.
    pub(super) fn insert_anywhere(&mut self, key: Key, entry: Entry, limit: usize) {
        self.window.insert(key, entry);
        while self.window.len() > limit {
            if let Some((last, _)) = self.window.pop_last() {
                self.give_up(last);
            }
        }
    }

    /// Notes that the table may hold rows from `key` on that the window does not.
    pub(super) fn give_up(&mut self, key: Key) {
        lower(&mut self.horizon, key);
        if let Some(page) = &mut self.page {
            lower(&mut page.given_up, key);
        }
    }

    /// When the first delivery is due that has lost fewer leases in a row than `lost`, if others stand before it.
    pub(super) fn due_behind(&self, lost: u8) -> Option<i64> {
        let (place, (due_at, _)) = self.first_below(lost)?;
        (place > 0).then_some(due_at)
    }

    /// Takes the delivery that is due first of those that have lost fewer leases in a row than `lost`, if it is due at
    /// `now_ms`.
    pub(super) fn pop_due(&mut self, now_ms: i64, lost: u8) -> Option<(Key, Entry)> {
        let (_, key) = self.first_below(lost)?;
        let is_due = key.0 <= now_ms;
        is_due.then(|| self.window.remove_entry(&key)).flatten()
    }

    fn first_below(&self, lost: u8) -> Option<(usize, Key)> {
        let mut window = self.window.iter().enumerate();
        let (place, (key, _)) = window.find(|(_, (_, entry))| entry.lost < lost)?;
        Some((place, *key))
    }

    /// Takes a delivery out of the window wherever it stands.
    pub(super) fn remove(&mut self, id: DeliveryId) -> Option<Entry> {
        let key = *self.window.keys().find(|(_, waiting)| *waiting == id)?;
        self.outdate(id);
        self.window.remove(&key)
    }

    /// Notes that a delivery ended or moved.
    pub(super) fn outdate(&mut self, id: DeliveryId) {
        if let Some(page) = &mut self.page {
            page.outdated.insert(id);
        }
    }

    /// Whether the table may hold more and the window runs low, or reaches beyond what may be missing.
    pub(super) fn wants_page(&self, limit: usize) -> bool {
        let Some(horizon) = self.horizon.filter(|_| self.open && self.page.is_none()) else {
            return false;
        };
        let reaches_beyond = self
            .window
            .last_key_value()
            .is_some_and(|(last, _)| *last >= horizon);
        self.window.len() <= limit / 2 || reaches_beyond
    }

    /// Begins to read a page. Returns where it starts.
    pub(super) fn page_begin(&mut self) -> Option<Key> {
        let from = self.horizon?;
        self.page = Some(PageRead::default());
        Some(from)
    }

    /// Takes in a page of at most `asked` rows. `is_leased` tells the deliveries that are out.
    pub(super) fn page_end(
        &mut self,
        rows: &[DueDelivery],
        asked: usize,
        limit: usize,
        is_leased: impl Fn(DeliveryId) -> bool,
    ) {
        let Some(page) = self.page.take() else {
            return;
        };
        let rest = rows
            .last()
            .filter(|_| rows.len() >= asked)
            .map(|last| after((last.due_at, last.id)));
        self.horizon = rest.into_iter().chain(page.given_up).min();
        for row in rows {
            if !is_leased(row.id) && !page.outdated.contains(&row.id) {
                let key = (row.due_at, row.id);
                if !self.window.contains_key(&key) {
                    self.insert_anywhere(key, Entry::paged(row), limit);
                }
            }
        }
    }

    /// Ends a page that could not be read; the lane wants it still.
    pub(super) fn page_fail(&mut self) {
        self.page = None;
    }
}

fn lower(bound: &mut Option<Key>, key: Key) {
    *bound = Some(bound.map_or(key, |old| old.min(key)));
}

/// The key right after another.
fn after((due_at, id): Key) -> Key {
    let next = id.uuid().as_u128().saturating_add(1);
    (due_at, DeliveryId::from_uuid(uuid::Uuid::from_u128(next)))
}
