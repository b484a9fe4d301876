//! How many streams each key has open, and how many bytes of requests are held: of each key, and of all.
//!
//! Room is taken before bytes are kept, and what finds none is refused at once: nobody waits for the bodies of others.

use std::{collections::HashMap, sync::Arc};

use posthorn_telemetry::prometheus_client::metrics::gauge::Gauge;

use crate::{
    config::ForwardConfig,
    error::Error,
    lock::{Leaf, Locked},
    model::id::KeyId,
};

/// How many streams one key may have.
const STREAMS_PER_KEY_MAX: usize = 64;

/// The streams that are open, by key. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Streams(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    bytes_max: usize,
    bytes_per_key_max: usize,
    /// Shows how many bytes are held.
    shown: Gauge,
    table: Leaf<Table>,
}

#[derive(Debug, Default)]
struct Table {
    bytes: usize,
    keys: HashMap<KeyId, OfKey>,
}

#[derive(Debug, Default)]
struct OfKey {
    streams: usize,
    bytes: usize,
}

/// Why there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// The streams of this key hold what they may.
    Key,
    /// All streams together do.
    All,
}

/// A stream that is open. Dropped, it holds nothing and counts no more.
#[derive(Debug)]
pub(super) struct OpenStream {
    streams: Streams,
    key_id: KeyId,
    bytes: usize,
}

impl Streams {
    /// No stream is open yet. The gauge shows how many bytes are held.
    pub(super) fn new(config: &ForwardConfig, shown: Gauge) -> Self {
        Self(Arc::new(Shared {
            bytes_max: config.bytes_in_flight,
            bytes_per_key_max: config.bytes_per_key,
            shown,
            table: Leaf::default(),
        }))
    }

    /// Opens a stream.
    ///
    /// # Errors
    /// `Exhausted` when the key has 64.
    pub(super) fn open(&self, key_id: KeyId) -> Result<OpenStream, Error> {
        let mut table = self.table();
        let of_key = table.keys.entry(key_id).or_default();
        if of_key.streams >= STREAMS_PER_KEY_MAX {
            let message = format!("a key may have at most {STREAMS_PER_KEY_MAX} streams");
            return Err(Error::Exhausted(message));
        }
        of_key.streams += 1;
        Ok(OpenStream {
            streams: self.clone(),
            key_id,
            bytes: 0,
        })
    }

    fn table(&self) -> Locked<'_, Table> {
        self.0.table.lock()
    }
}

impl OpenStream {
    /// How many bytes the stream holds.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes room for so many bytes.
    pub(super) fn take(&mut self, bytes: usize) -> Result<(), Full> {
        let shared = &self.streams.0;
        let mut table = self.streams.table();
        let Table { bytes: all, keys } = &mut *table;
        let of_key = keys.entry(self.key_id).or_default();
        if of_key.bytes.saturating_add(bytes) > shared.bytes_per_key_max {
            return Err(Full::Key);
        }
        if all.saturating_add(bytes) > shared.bytes_max {
            return Err(Full::All);
        }
        of_key.bytes += bytes;
        *all += bytes;
        self.bytes += bytes;
        shared.shown.inc_by(shown(bytes));
        Ok(())
    }

    /// Gives room back.
    pub(super) fn give(&mut self, bytes: usize) {
        let mut table = self.streams.table();
        self.bytes -= bytes;
        table.give(self.key_id, bytes);
        self.streams.0.shown.dec_by(shown(bytes));
    }
}

impl Table {
    fn give(&mut self, key_id: KeyId, bytes: usize) {
        self.bytes -= bytes;
        if let Some(of_key) = self.keys.get_mut(&key_id) {
            of_key.bytes -= bytes;
        }
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let mut table = self.streams.table();
        table.give(self.key_id, self.bytes);
        if let Some(of_key) = table.keys.get_mut(&self.key_id) {
            of_key.streams -= 1;
            if of_key.streams == 0 {
                table.keys.remove(&self.key_id);
            }
        }
        self.streams.0.shown.dec_by(shown(self.bytes));
    }
}

fn shown(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::Entropy;

    fn streams(bytes_in_flight: usize, bytes_per_key: usize) -> Streams {
        let config = ForwardConfig {
            bytes_in_flight,
            bytes_per_key,
            ..ForwardConfig::default()
        };
        Streams::new(&config, Gauge::default())
    }

    fn key() -> KeyId {
        KeyId::new(0, &mut Entropy::system())
    }

    #[test]
    fn a_key_has_64_streams_at_most_and_one_that_ends_makes_room() {
        let streams = streams(1, 1);
        let (key, other) = (key(), key());
        let mut open = (0..64)
            .map(|_| streams.open(key).unwrap())
            .collect::<Vec<_>>();
        assert!(streams.open(key).is_err());
        assert!(streams.open(other).is_ok());
        open.pop();
        assert!(streams.open(key).is_ok());
        drop(open);
        assert!(streams.table().keys.is_empty());
    }

    #[test]
    fn the_streams_of_a_key_share_its_bytes_and_all_keys_share_all() {
        let streams = streams(15, 10);
        let (key, other) = (key(), key());
        let mut open = [key, key, other].map(|key| streams.open(key).unwrap());
        let [one, two, another] = &mut open;
        assert_eq!(one.take(6), Ok(()));
        assert_eq!(two.take(5), Err(Full::Key));
        assert_eq!(two.take(4), Ok(()));
        assert_eq!(one.take(1), Err(Full::Key));
        assert_eq!(another.take(6), Err(Full::All));
        assert_eq!(another.take(5), Ok(()));
        assert_eq!(another.take(usize::MAX), Err(Full::Key));
        two.give(3);
        assert_eq!((one.bytes(), two.bytes()), (6, 1));
        assert_eq!(one.take(3), Ok(()));
        assert_eq!(streams.0.shown.get(), 15);
        drop(open);
        assert_eq!((streams.table().bytes, streams.0.shown.get()), (0, 0));
    }
}
