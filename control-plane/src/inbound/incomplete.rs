//! The requests of one stream whose bodies are still coming, and until when they may. Plain data.
//!
//! What is kept is copied out of the messages that brought it: a few bytes that point into a message keep all of it.

use std::{collections::BTreeMap, time::Duration};

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use super::Posted;

/// The requests, by number. Numbers rise, and all have the same time, so the first is also the one that is over first.
#[derive(Debug)]
pub(super) struct Incomplete {
    within: Duration,
    requests: BTreeMap<u64, Request>,
}

#[derive(Debug)]
struct Request {
    source: String,
    head: Posted,
    body: BytesMut,
    /// What it is charged for.
    bytes: usize,
    until: Instant,
}

/// A request that is complete.
#[derive(Debug)]
pub(super) struct Complete {
    /// Its source, as the path has it.
    pub source: String,
    /// The request.
    pub posted: Posted,
    /// What it is charged for.
    pub bytes: usize,
}

impl Incomplete {
    /// None yet. Each has so much time from its first part to its last.
    pub(super) fn within(within: Duration) -> Self {
        Self {
            within,
            requests: BTreeMap::new(),
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.requests.len()
    }

    /// Begins with what there is of a request, which is charged for so many bytes.
    pub(super) fn begin(&mut self, number: u64, complete: Complete, now: Instant) {
        let Complete {
            source,
            mut posted,
            bytes,
        } = complete;
        let request = Request {
            source,
            body: BytesMut::from(std::mem::take(&mut posted.body)),
            head: posted,
            bytes,
            until: now + self.within,
        };
        self.requests.insert(number, request);
    }

    /// How long the body of a request is so far. None: there is no such request.
    pub(super) fn body_bytes(&self, number: u64) -> Option<usize> {
        self.requests.get(&number).map(|request| request.body.len())
    }

    /// Adds to the body of a request, which is charged for just that.
    pub(super) fn add(&mut self, number: u64, data: &[u8]) {
        if let Some(request) = self.requests.get_mut(&number) {
            request.body.extend_from_slice(data);
            request.bytes += data.len();
        }
    }

    /// Takes a request out whose body is complete now.
    pub(super) fn finish(&mut self, number: u64, now: Instant) -> Option<Complete> {
        let request = self.requests.remove(&number)?;
        Some(Complete {
            source: request.source,
            posted: Posted {
                body: request.body.freeze(),
                complete_at: now,
                ..request.head
            },
            bytes: request.bytes,
        })
    }

    /// Drops a request. What it was charged for.
    pub(super) fn drop(&mut self, number: u64) -> Option<usize> {
        self.requests.remove(&number).map(|request| request.bytes)
    }

    /// The newest.
    pub(super) fn newest(&self) -> Option<u64> {
        self.requests.last_key_value().map(|(number, _)| *number)
    }

    /// The next whose time is over, and when.
    pub(super) fn next_over(&self) -> Option<(u64, Instant)> {
        let (number, request) = self.requests.first_key_value()?;
        Some((*number, request.until))
    }
}

/// The body of a request, or a part of it, without the message that brought it.
pub(super) fn detached(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock, inbound::fixture::posted};

    const WITHIN: Duration = Duration::from_secs(15);

    fn first(body: &[u8]) -> Complete {
        Complete {
            source: "src_1".to_owned(),
            posted: posted(&[], body),
            bytes: 100 + body.len(),
        }
    }

    #[test]
    fn parts_make_a_body_and_each_is_charged() {
        let (mut incomplete, now) = (Incomplete::within(WITHIN), clock::monotonic());
        incomplete.begin(1, first(b"ab"), now);
        incomplete.begin(2, first(b""), now);
        incomplete.add(1, b"cd");
        incomplete.add(3, b"nobody's");
        assert_eq!(incomplete.body_bytes(1), Some(4));
        assert_eq!(incomplete.body_bytes(3), None);
        let later = now + WITHIN;
        let complete = incomplete.finish(1, later).unwrap();
        assert_eq!(&complete.posted.body[..], b"abcd");
        assert_eq!((complete.bytes, complete.posted.complete_at), (104, later));
        assert_eq!(incomplete.drop(2), Some(100));
        assert_eq!(incomplete.len(), 0);
        assert!(incomplete.finish(2, later).is_none());
    }

    #[test]
    fn the_oldest_is_over_first_however_much_of_it_comes() {
        let (mut incomplete, now) = (Incomplete::within(WITHIN), clock::monotonic());
        assert_eq!(incomplete.next_over(), None);
        incomplete.begin(1, first(b""), now);
        incomplete.begin(2, first(b""), now + WITHIN / 2);
        incomplete.add(1, b"more");
        assert_eq!(incomplete.next_over(), Some((1, now + WITHIN)));
        assert_eq!(incomplete.newest(), Some(2));
        incomplete.drop(1);
        assert_eq!(incomplete.next_over(), Some((2, now + WITHIN + WITHIN / 2)));
    }
}
