//! How much the edge takes on at one time: so many requests, so many of one source, so many bytes of bodies.
//!
//! What does not fit is refused at once and never waits, so that the refusal is quick and the body stays unread.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use posthorn_telemetry::prometheus_client::metrics::gauge::Gauge;

use super::refusal::Refusal;
use crate::{inbound::forward::SourceId, lock::Leaf};

/// One source has at most this part of the requests: a quarter.
const SOURCE_PART: usize = 4;

/// What is taken on, and how much may be.
#[derive(Debug)]
pub(super) struct Admission {
    requests: Budget,
    bytes: Budget,
    per_source: Leaf<HashMap<SourceId, usize>>,
    per_source_max: usize,
}

#[derive(Debug)]
struct Budget {
    taken: AtomicUsize,
    max: usize,
    shown: Gauge,
}

/// The place of a request. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct Place {
    admission: Arc<Admission>,
    source: SourceId,
}

/// Room for bytes. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct Room {
    admission: Arc<Admission>,
    bytes: usize,
}

impl Admission {
    /// Nothing is taken on yet. The gauges show what is.
    pub(super) fn new(
        (requests_max, requests): (usize, Gauge),
        (bytes_max, bytes): (usize, Gauge),
    ) -> Self {
        let budget = |max, shown| Budget {
            taken: AtomicUsize::new(0),
            max,
            shown,
        };
        Self {
            requests: budget(requests_max, requests),
            bytes: budget(bytes_max, bytes),
            per_source: Leaf::default(),
            per_source_max: (requests_max / SOURCE_PART).max(1),
        }
    }

    /// A place for a request of the source.
    pub(super) fn place(self: &Arc<Self>, source: SourceId) -> Result<Place, Refusal> {
        if !self.requests.take(1) {
            return Err(Refusal::RequestsFull);
        }
        if !self.take_share(source) {
            self.requests.give(1);
            return Err(Refusal::SourceFull);
        }
        Ok(Place {
            admission: self.clone(),
            source,
        })
    }

    /// No room yet, to be widened.
    pub(super) fn room(self: &Arc<Self>) -> Room {
        Room {
            admission: self.clone(),
            bytes: 0,
        }
    }

    fn take_share(&self, source: SourceId) -> bool {
        let mut per_source = self.per_source.lock();
        let taken = per_source.entry(source).or_default();
        let fits = *taken < self.per_source_max;
        *taken += usize::from(fits);
        fits
    }

    fn give_share(&self, source: SourceId) {
        let mut per_source = self.per_source.lock();
        match per_source.get_mut(&source) {
            Some(taken) if *taken > 1 => *taken -= 1,
            _ => {
                per_source.remove(&source);
            }
        }
    }
}

impl Budget {
    fn take(&self, amount: usize) -> bool {
        let fits = |taken: usize| {
            let sum = taken.checked_add(amount)?;
            (sum <= self.max).then_some(sum)
        };
        let taken = self
            .taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
            .is_ok();
        if taken {
            self.shown.inc_by(gauge(amount));
        }
        taken
    }

    fn give(&self, amount: usize) {
        self.taken.fetch_sub(amount, Ordering::Relaxed);
        self.shown.dec_by(gauge(amount));
    }
}

fn gauge(amount: usize) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}

impl Room {
    /// Takes so many bytes more.
    pub(super) fn widen(&mut self, bytes: usize) -> Result<(), Refusal> {
        if !self.admission.bytes.take(bytes) {
            return Err(Refusal::BytesFull);
        }
        self.bytes += bytes;
        Ok(())
    }

    /// Takes over another room.
    pub(super) fn join(&mut self, mut other: Self) {
        self.bytes += std::mem::take(&mut other.bytes);
    }

    /// Gives so many of its bytes to a room of their own.
    pub(super) fn split(&mut self, bytes: usize) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Self {
            admission: self.admission.clone(),
            bytes,
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.admission.bytes.give(self.bytes);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.admission.give_share(self.source);
        self.admission.requests.give(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(requests: usize, bytes: usize) -> Arc<Admission> {
        Arc::new(Admission::new(
            (requests, Gauge::default()),
            (bytes, Gauge::default()),
        ))
    }

    fn source(last: char) -> SourceId {
        let text = format!("src_0000000000000000000000000{last}");
        SourceId::parse(text.as_bytes()).expect("an id")
    }

    #[test]
    fn one_source_has_at_most_a_quarter_and_all_of_them_no_more_than_there_is() {
        let admission = admission(8, 0);
        let mut places = Vec::new();
        for id in ['1', '2', '3'] {
            places.push(admission.place(source(id)).expect("a place"));
            places.push(admission.place(source(id)).expect("a place"));
            let third = admission.place(source(id));
            assert_eq!(third.expect_err("over its share"), Refusal::SourceFull);
        }
        places.push(admission.place(source('4')).expect("a place"));
        places.push(admission.place(source('5')).expect("a place"));
        let ninth = admission.place(source('6'));
        assert_eq!(ninth.expect_err("full"), Refusal::RequestsFull);
        assert_eq!(admission.requests.shown.get(), 8);
        places.clear();
        assert_eq!(admission.requests.shown.get(), 0);
        assert!(admission.per_source.lock().is_empty());
        admission.place(source('1')).expect("a place again");
    }

    #[test]
    fn bytes_are_given_back_when_their_room_is_dropped() {
        let admission = admission(1, 10);
        let mut room = admission.room();
        room.widen(4).expect("room");
        room.widen(6).expect("room");
        assert_eq!(room.widen(1), Err(Refusal::BytesFull));
        assert_eq!(admission.room().widen(usize::MAX), Err(Refusal::BytesFull));
        assert_eq!(admission.bytes.shown.get(), 10);
        drop(room);
        assert_eq!(admission.bytes.shown.get(), 0);
        admission.room().widen(10).expect("room again");
    }
}
