//! What changes when connections become many: those without a request make room for who comes, and heads have less time.
//!
//! A client that asks for nothing takes a place that an honest one needs. While there are places it may, as proxies keep
//! connections for a minute and more; when there are none, one goes that has
//! never asked for anything, or else the one that has been idle for the longest.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::lock::Leaf;

/// By how much less time a head has when seven of eight places are taken.
const HURRY: u32 = 5;

/// The connections of an edge.
#[derive(Debug)]
pub(super) struct Crowd {
    places: usize,
    taken: AtomicUsize,
    idle: Leaf<Idle>,
    became_idle: Notify,
}

#[derive(Debug, Default)]
struct Idle {
    next: u64,
    /// Those that have never asked for anything first, then by when they became idle.
    connections: BTreeMap<(bool, u64), CancellationToken>,
}

/// A connection without a request, for as long as this is kept.
#[derive(Debug)]
pub(super) struct IdlePlace {
    crowd: Arc<Crowd>,
    place: (bool, u64),
    goes: CancellationToken,
}

impl Crowd {
    /// There are so many places.
    pub(super) fn new(places: usize) -> Arc<Self> {
        Arc::new(Self {
            places,
            taken: AtomicUsize::new(0),
            idle: Leaf::default(),
            became_idle: Notify::new(),
        })
    }

    /// How many places there are.
    pub(super) fn places(&self) -> usize {
        self.places
    }

    /// Notes how many connections there are.
    pub(super) fn counts(&self, connections: usize) {
        self.taken.store(connections, Ordering::Relaxed);
    }

    /// Whether another connection can be taken: there is a place, or one without a request that gives way.
    pub(super) fn has_room(&self, connections: usize) -> bool {
        connections < self.places || !self.idle.lock().connections.is_empty()
    }

    /// Has the first of the idle connections go, if every place is taken.
    pub(super) fn make_room(&self, connections: usize) {
        if connections >= self.places
            && let Some((_, goes)) = self.idle.lock().connections.pop_first()
        {
            goes.cancel();
        }
    }

    /// Waits until a connection becomes idle.
    pub(super) async fn became_idle(&self) {
        self.became_idle.notified().await;
    }

    /// A connection has no request under way from now on; whether it has ever had one.
    pub(super) fn idle(self: &Arc<Self>, has_asked: bool) -> IdlePlace {
        let goes = CancellationToken::new();
        let place = {
            let mut idle = self.idle.lock();
            idle.next += 1;
            let place = (has_asked, idle.next);
            idle.connections.insert(place, goes.clone());
            place
        };
        self.became_idle.notify_one();
        IdlePlace {
            crowd: Arc::clone(self),
            place,
            goes,
        }
    }

    /// How long a head may take, out of what it may take while there is room.
    pub(super) fn head_within(&self, within: Duration) -> Duration {
        if self.taken.load(Ordering::Relaxed) * 8 >= self.places * 7 {
            within / HURRY
        } else {
            within
        }
    }
}

impl IdlePlace {
    /// Waits until the connection is to go.
    pub(super) async fn goes(&self) {
        self.goes.cancelled().await;
    }
}

impl Drop for IdlePlace {
    fn drop(&mut self) {
        self.crowd.idle.lock().connections.remove(&self.place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_that_has_been_idle_for_the_longest_goes_when_there_is_no_place() {
        let crowd = Crowd::new(2);
        let (first, second) = (crowd.idle(true), crowd.idle(true));
        crowd.make_room(1);
        assert!(!first.goes.is_cancelled(), "there is a place");
        drop(first);
        let third = crowd.idle(true);
        crowd.make_room(2);
        assert!(second.goes.is_cancelled() && !third.goes.is_cancelled());
        assert!(crowd.has_room(2));
        crowd.make_room(2);
        assert!(third.goes.is_cancelled());
        assert!(!crowd.has_room(2) && crowd.has_room(1));
    }

    #[test]
    fn a_connection_that_has_never_asked_for_anything_goes_before_one_that_has() {
        let crowd = Crowd::new(2);
        let (proxy, silent) = (crowd.idle(true), crowd.idle(false));
        crowd.make_room(2);
        assert!(silent.goes.is_cancelled() && !proxy.goes.is_cancelled());
    }

    #[test]
    fn heads_have_less_time_when_most_places_are_taken() {
        let crowd = Crowd::new(8);
        let within = Duration::from_secs(5);
        crowd.counts(6);
        assert_eq!(crowd.head_within(within), within);
        crowd.counts(7);
        assert_eq!(crowd.head_within(within), Duration::from_secs(1));
    }
}
