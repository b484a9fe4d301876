//! How many streams each key has open.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{error::Error, model::id::KeyId};

/// How many streams one key may have.
const STREAMS_PER_KEY_MAX: usize = 64;

/// The streams that are open, by key. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Streams(Arc<Mutex<HashMap<KeyId, usize>>>);

/// A stream that is open. Dropped, it counts no more.
#[derive(Debug)]
pub(super) struct OpenStream {
    streams: Streams,
    key_id: KeyId,
}

impl Streams {
    /// Opens a stream.
    ///
    /// # Errors
    /// `Exhausted` when the key has 64.
    pub(super) fn open(&self, key_id: KeyId) -> Result<OpenStream, Error> {
        let mut table = self.table();
        let count = table.entry(key_id).or_default();
        if *count >= STREAMS_PER_KEY_MAX {
            let message = format!("a key may have at most {STREAMS_PER_KEY_MAX} streams");
            return Err(Error::Exhausted(message));
        }
        *count += 1;
        Ok(OpenStream {
            streams: self.clone(),
            key_id,
        })
    }

    fn table(&self) -> MutexGuard<'_, HashMap<KeyId, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let mut table = self.streams.table();
        if let Some(count) = table.get_mut(&self.key_id) {
            *count -= 1;
            if *count == 0 {
                table.remove(&self.key_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn a_key_has_64_streams_at_most_and_one_that_ends_makes_room() {
        let streams = Streams::default();
        let (key, other) = (
            KeyId::new(0, &mut clock::rng()),
            KeyId::new(0, &mut clock::rng()),
        );
        let mut open = (0..64)
            .map(|_| streams.open(key).unwrap())
            .collect::<Vec<_>>();
        assert!(streams.open(key).is_err());
        assert!(streams.open(other).is_ok());
        open.pop();
        assert!(streams.open(key).is_ok());
        drop(open);
        assert!(streams.table().is_empty());
    }
}
