//! Sets of shards: those whose data a control plane looks after.

use super::id::Shard;

/// Some of the 256 shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct ShardSet([u64; 4]);

impl ShardSet {
    /// Every shard.
    pub(crate) const ALL: Self = Self([u64::MAX; 4]);

    /// Whether a shard is among them.
    pub(crate) fn contains(&self, shard: Shard) -> bool {
        self.0[usize::from(shard.0 / 64)] >> (shard.0 % 64) & 1 == 1
    }

    /// The shards, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Shard> {
        let shards = (0..=u8::MAX).map(Shard);
        shards.filter(|shard| self.contains(*shard))
    }

    /// Their numbers as columns hold them.
    pub(crate) fn columns(&self) -> Vec<i16> {
        self.iter().map(Shard::column).collect()
    }

    /// The same as a JSON array.
    pub(crate) fn json(&self) -> String {
        let numbers = self.iter().map(|shard| shard.0.to_string());
        format!("[{}]", numbers.collect::<Vec<_>>().join(","))
    }

    /// The same without others.
    pub(crate) fn without(mut self, others: &Self) -> Self {
        self.remove(others);
        self
    }

    /// Takes others out.
    pub(crate) fn remove(&mut self, others: &Self) {
        for (own, other) in self.0.iter_mut().zip(others.0) {
            *own &= !other;
        }
    }
}

impl FromIterator<Shard> for ShardSet {
    fn from_iter<I: IntoIterator<Item = Shard>>(shards: I) -> Self {
        let mut set = Self::default();
        for shard in shards {
            set.0[usize::from(shard.0 / 64)] |= 1 << (shard.0 % 64);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_in_and_no_more() {
        let some = [0, 63, 64, 200, 255].map(Shard);
        let mut set = some.into_iter().collect::<ShardSet>();
        assert_eq!(set.iter().collect::<Vec<_>>(), some);
        assert_eq!(set.columns(), [0, 63, 64, 200, 255]);
        set.remove(&[Shard(63), Shard(255)].into_iter().collect());
        assert_eq!(set.columns(), [0, 64, 200]);
        let mut all = ShardSet::ALL;
        assert_eq!(all.iter().count(), 256);
        all.remove(&ShardSet::ALL);
        assert_eq!(all, ShardSet::default());
        assert!(!all.contains(Shard(0)));
    }
}
