//! What is counted of each source: its rate, its mismatches, and how much of what it sent is kept without being accepted.
//!
//! All in memory and for this process only; a restart begins anew, but for what is kept, which is read from the table.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    lock::{Leaf, Locked},
    model::id::SourceId,
};

/// How many rejected and quarantined requests of a source are kept.
const KEPT_RECORDS_MAX: i64 = 1_000;
/// How long their bodies may be together, in bytes: of a source, and of all sources.
const KEPT_BYTES_MAX: i64 = 16 * 1_024 * 1_024;
const KEPT_BYTES_ALL_MAX: i64 = 256 * 1_024 * 1_024;
/// How many requests of a source may fail to verify in a minute before somebody is told.
const MISMATCHES_MAX: u32 = 20;
/// Of how many odd requests to a source somebody is told in a minute.
const ODDITIES_TOLD_MAX: u32 = 20;
const MINUTE: Duration = Duration::from_mins(1);

/// The meters of all sources. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Meters(Arc<Leaf<Table>>);

#[derive(Debug, Default)]
struct Table {
    sources: HashMap<SourceId, Meter>,
    /// How long the bodies are together that are kept of all sources.
    kept_bytes: i64,
    not_kept: Minute,
}

/// The meter of one source.
#[derive(Debug, Default)]
struct Meter {
    bucket: Option<Bucket>,
    mismatches: Minute,
    oddities: Minute,
    kept_records: i64,
    kept_bytes: i64,
}

impl Meters {
    /// Whether one more request may be taken at so many a second.
    pub(super) fn admit(&self, source: SourceId, per_second: u32, now: Instant) -> bool {
        let mut table = self.table();
        let meter = table.sources.entry(source).or_default();
        meter
            .bucket
            .get_or_insert_with(|| Bucket::full(per_second, now))
            .take(per_second, now)
    }

    /// Notes a request that did not verify. When that is one too many in this minute: how many they are.
    pub(super) fn mismatch(&self, source: SourceId, now: Instant) -> Option<u32> {
        let mut table = self.table();
        let meter = table.sources.entry(source).or_default();
        let count = meter.mismatches.note(now);
        (count == MISMATCHES_MAX + 1).then_some(count)
    }

    /// Notes something odd about one request. Whether it is among those of this minute that somebody is told of.
    pub(super) fn tells(&self, source: SourceId, now: Instant) -> bool {
        let mut table = self.table();
        let meter = table.sources.entry(source).or_default();
        meter.oddities.note(now) <= ODDITIES_TOLD_MAX
    }

    /// Whether one more record with a body of so many bytes may be kept; it then counts.
    pub(super) fn keep(&self, source: SourceId, bytes: usize) -> bool {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        let mut table = self.table();
        let Table {
            sources,
            kept_bytes,
            ..
        } = &mut *table;
        let meter = sources.entry(source).or_default();
        let fits = meter.kept_records < KEPT_RECORDS_MAX
            && meter.kept_bytes.saturating_add(bytes) <= KEPT_BYTES_MAX
            && kept_bytes.saturating_add(bytes) <= KEPT_BYTES_ALL_MAX;
        if fits {
            meter.kept_records += 1;
            meter.kept_bytes += bytes;
            *kept_bytes += bytes;
        }
        fits
    }

    /// Notes a record that is not kept. When it is the first in this minute: how many were not kept in the minute before.
    pub(super) fn not_kept(&self, now: Instant) -> Option<u32> {
        let mut table = self.table();
        let before = table.not_kept.count;
        (table.not_kept.note(now) == 1).then_some(before)
    }

    /// Takes over what the table says is kept: of each source the records and their bytes. Sources for which `exists` is
    /// false are forgotten.
    pub(super) fn reseed(
        &self,
        kept: impl Iterator<Item = (SourceId, i64, i64)>,
        exists: impl Fn(SourceId) -> bool,
    ) {
        let kept = kept
            .map(|(source, records, bytes)| (source, (records, bytes)))
            .collect::<HashMap<_, _>>();
        let mut table = self.table();
        // Records of sources that are gone take room as well.
        table.kept_bytes = kept.values().map(|(_, bytes)| bytes).sum();
        let meters = &mut table.sources;
        meters.retain(|source, _| exists(*source));
        for source in kept.keys().copied().filter(|source| exists(*source)) {
            meters.entry(source).or_default();
        }
        for (source, meter) in meters.iter_mut() {
            (meter.kept_records, meter.kept_bytes) = kept.get(source).copied().unwrap_or_default();
        }
    }

    fn table(&self) -> Locked<'_, Table> {
        self.0.lock()
    }
}

/// A token bucket that holds what a second brings.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    filled_at: Instant,
}

impl Bucket {
    fn full(per_second: u32, now: Instant) -> Self {
        Self {
            tokens: f64::from(per_second),
            filled_at: now,
        }
    }

    fn take(&mut self, per_second: u32, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.filled_at).as_secs_f64();
        let rate = f64::from(per_second);
        self.tokens = (self.tokens + elapsed * rate).min(rate);
        self.filled_at = now;
        let has_one = self.tokens >= 1.0;
        if has_one {
            self.tokens -= 1.0;
        }
        has_one
    }
}

/// Counts what happens in a minute.
#[derive(Debug, Clone, Copy, Default)]
struct Minute {
    began_at: Option<Instant>,
    count: u32,
}

impl Minute {
    /// Counts one more, and says how many they are in this minute.
    fn note(&mut self, now: Instant) -> u32 {
        let is_over = self
            .began_at
            .is_none_or(|began_at| now.saturating_duration_since(began_at) >= MINUTE);
        if is_over {
            *self = Self {
                began_at: Some(now),
                count: 0,
            };
        }
        self.count = self.count.saturating_add(1);
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::entropy::Entropy;

    fn source() -> SourceId {
        SourceId::new(1_700_000_000_000, &mut Entropy::system())
    }

    #[test]
    fn a_second_brings_what_the_rate_says_and_no_more() {
        let (meters, source, start) = (Meters::default(), source(), clock::monotonic());
        let taken = |at: Instant| (0..20).filter(|_| meters.admit(source, 5, at)).count();
        assert_eq!(taken(start), 5);
        assert_eq!(taken(start), 0);
        assert_eq!(taken(start + Duration::from_millis(400)), 2);
        assert_eq!(taken(start + MINUTE), 5);
    }

    #[test]
    fn the_alarm_goes_once_a_minute_at_the_twenty_first_mismatch() {
        let (meters, source, start) = (Meters::default(), source(), clock::monotonic());
        for minute in 0..2 {
            let now = start + MINUTE * minute;
            let alarms = (0..50).filter_map(|_| meters.mismatch(source, now));
            assert_eq!(alarms.collect::<Vec<_>>(), [21]);
        }
    }

    #[test]
    fn twenty_odd_requests_a_minute_are_told_of() {
        let (meters, source, start) = (Meters::default(), source(), clock::monotonic());
        for minute in 0..2 {
            let now = start + MINUTE * minute;
            let told = (0..50).filter(|_| meters.tells(source, now));
            assert_eq!(told.count(), 20);
        }
    }

    #[test]
    fn what_is_kept_of_a_source_is_bounded_in_number_and_in_bytes() {
        let meters = Meters::default();
        let many = source();
        assert_eq!((0..1_500).filter(|_| meters.keep(many, 10)).count(), 1_000);
        let large = source();
        let bytes = 5 * 1_024 * 1_024;
        assert_eq!((0..10).filter(|_| meters.keep(large, bytes)).count(), 3);
        assert!(meters.keep(large, 1_024));
    }

    #[test]
    fn what_is_kept_of_all_sources_is_bounded_in_bytes() {
        let (meters, bytes) = (Meters::default(), 16 * 1_024 * 1_024);
        assert_eq!((0..20).filter(|_| meters.keep(source(), bytes)).count(), 16);
        assert!(!meters.keep(source(), 1));
        assert!(meters.keep(source(), 0));
        let (now, later) = (clock::monotonic(), clock::monotonic() + MINUTE * 2);
        assert_eq!(meters.not_kept(now), Some(0));
        assert_eq!(meters.not_kept(now), None);
        assert_eq!(meters.not_kept(later), Some(2));
        meters.reseed([(source(), 1, 10)].into_iter(), |_| false);
        assert!(meters.keep(source(), bytes));
    }

    #[test]
    fn the_table_says_what_is_kept_and_other_sources_are_forgotten() {
        let (meters, full, gone) = (Meters::default(), source(), source());
        assert!(meters.keep(gone, 1));
        meters.reseed([(full, 999, 0), (gone, 5, 0)].into_iter(), |id| id == full);
        assert!(meters.keep(full, 1));
        assert!(!meters.keep(full, 1));
        assert_eq!(meters.table().sources.len(), 1);
        meters.reseed(std::iter::empty(), |id| id == full);
        assert!(meters.keep(full, 1));
    }
}
