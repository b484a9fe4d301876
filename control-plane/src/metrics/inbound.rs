//! Inbound requests by source and by what became of them. The one label that is an id: its values are bounded.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use posthorn_telemetry::prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
};

use crate::{lock::Leaf, model::id::SourceId};

/// How many sources have counters of their own. The rest share one.
const SOURCES_MAX: usize = 1_000;
/// The label of the rest.
const OTHER: &str = "other";

/// A source and a verdict.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct SourceVerdict {
    /// The source's id, or `other`.
    pub source: String,
    /// The verdict.
    pub verdict: &'static str,
}

/// The counters. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct InboundCounts {
    /// As they are shown.
    pub family: Family<SourceVerdict, Counter>,
    known: Arc<Leaf<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    counters: HashMap<(SourceId, &'static str), Counter>,
    sources: HashSet<SourceId>,
}

impl InboundCounts {
    /// Counts one request.
    pub(super) fn count(&self, source: SourceId, verdict: &'static str) {
        let mut known = self.known.lock();
        if let Some(counter) = known.counters.get(&(source, verdict)) {
            counter.inc();
            return;
        }
        let has_own = known.sources.contains(&source) || known.sources.len() < SOURCES_MAX;
        let label = SourceVerdict {
            source: if has_own {
                source.to_string()
            } else {
                OTHER.to_owned()
            },
            verdict,
        };
        let counter = self.family.get_or_create(&label).clone();
        counter.inc();
        if has_own {
            known.sources.insert(source);
            known.counters.insert((source, verdict), counter);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::Entropy;

    #[test]
    fn a_thousand_sources_have_their_own_counter_and_the_rest_share_one() {
        let counts = InboundCounts::default();
        let sources = (0..1_010).map(|at| SourceId::new(at, &mut Entropy::system()));
        for source in sources {
            counts.count(source, "accepted");
            counts.count(source, "accepted");
        }
        let other = SourceVerdict {
            source: OTHER.to_owned(),
            verdict: "accepted",
        };
        assert_eq!(counts.family.get_or_create(&other).get(), 20);
    }
}
