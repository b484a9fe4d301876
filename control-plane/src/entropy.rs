//! The one place of this crate that takes a source of randomness.

use std::{convert::Infallible, fmt, sync::Arc};

use rand::{
    Rng as _, SeedableRng as _, TryCryptoRng, TryRng,
    rngs::{StdRng, ThreadRng},
};

use crate::lock::Leaf;

/// What ids, keys, nonces and delays are drawn from: the system's, or one that repeats itself. Cheap to clone; clones draw
/// from the same.
#[derive(Clone)]
pub struct Entropy(Option<Arc<Leaf<StdRng>>>);

impl Entropy {
    /// Seeded by the operating system.
    pub fn system() -> Self {
        Self(None)
    }

    /// Draws the same from the same seed, for trials: whoever knows the seed knows every key that is made of it.
    pub fn seeded(seed: u64) -> Self {
        Self(Some(Arc::new(Leaf::new(StdRng::seed_from_u64(seed)))))
    }
}

impl TryRng for Entropy {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(match &self.0 {
            Some(seeded) => seeded.lock().next_u32(),
            None => system().next_u32(),
        })
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(match &self.0 {
            Some(seeded) => seeded.lock().next_u64(),
            None => system().next_u64(),
        })
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        match &self.0 {
            Some(seeded) => seeded.lock().fill_bytes(bytes),
            None => system().fill_bytes(bytes),
        }
        Ok(())
    }
}

// Both are: the thread's and the standard one.
impl TryCryptoRng for Entropy {}

impl fmt::Debug for Entropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entropy(..)")
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that takes the system's source"
)]
fn system() -> ThreadRng {
    rand::rng()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_of_a_seeded_source_draw_from_one_and_another_of_the_seed_draws_the_same() {
        let mut first = Entropy::seeded(7);
        let drawn = [first.next_u64(), first.clone().next_u64()];
        let mut second = Entropy::seeded(7);
        assert_eq!(drawn, [second.next_u64(), second.next_u64()]);
        assert_ne!(drawn[0], drawn[1]);
        assert_ne!(Entropy::seeded(8).next_u64(), drawn[0]);
    }

    #[test]
    fn the_systems_source_never_draws_twice_the_same() {
        let draw = || Entropy::system().next_u64();
        assert_ne!(draw(), draw());
    }
}
