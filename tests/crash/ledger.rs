//! What was emitted against what arrived. Knows nothing of Posthorn but ids, bodies and times.

use std::{collections::BTreeMap, time::Instant};

use posthorn_harness::Request;

use super::{
    load::Acknowledged,
    world::{CAPACITY, Fault},
};

/// A run, seen from both ends.
pub(super) struct Ledger {
    acknowledged: Acknowledged,
    arrivals: BTreeMap<String, Vec<(Instant, String)>>,
    faults: Vec<Fault>,
}

impl Ledger {
    pub(super) fn new(acknowledged: Acknowledged, requests: &[Request], faults: &[Fault]) -> Self {
        let mut arrivals: BTreeMap<String, Vec<(Instant, String)>> = BTreeMap::new();
        for request in requests {
            let body = String::from_utf8_lossy(&request.body).into_owned();
            let arrivals = arrivals.entry(request.webhook_id().to_owned());
            arrivals.or_default().push((request.arrived_at, body));
        }
        Self {
            acknowledged,
            arrivals,
            faults: faults.to_vec(),
        }
    }

    /// Everything that was acknowledged arrived with its own body, and nothing else did.
    pub(super) fn assert_complete(&self, count: usize) {
        assert_eq!(self.acknowledged.len(), count);
        self.assert_all_arrived();
        for (id, arrivals) in &self.arrivals {
            let known = self.acknowledged.contains_key(id);
            assert!(known, "{id} arrived and was never emitted: {arrivals:?}");
        }
    }

    /// Everything that was acknowledged arrived with its own body.
    pub(super) fn assert_all_arrived(&self) {
        for (id, number) in &self.acknowledged {
            let Some(arrivals) = self.arrivals.get(id) else {
                panic!("event {number} was acknowledged as {id} and never arrived");
            };
            let own = number.to_string();
            assert!(
                arrivals.iter().all(|(_, body)| *body == own),
                "{id}: {arrivals:?}"
            );
        }
    }

    /// How many arrivals there were beyond the first of each event.
    pub(super) fn duplicates(&self) -> usize {
        self.arrivals
            .values()
            .map(|arrivals| arrivals.len() - 1)
            .sum()
    }

    /// Each repeat has a fault between the two arrivals, and there are no more of them than the nodes can have held
    /// when something was killed.
    pub(super) fn assert_duplicates_explained(&self, kills: usize) {
        for (id, arrivals) in &self.arrivals {
            for pair in arrivals.windows(2) {
                let (first, second) = (pair[0].0, pair[1].0);
                let between = |fault: &Fault| fault.from <= second && first <= fault.until;
                assert!(
                    self.faults.iter().any(between),
                    "{id} arrived twice without a fault: {pair:?}"
                );
            }
        }
        let most = kills * 2 * CAPACITY;
        let duplicates = self.duplicates();
        assert!(
            duplicates <= most,
            "{duplicates} repeats after {kills} kills"
        );
    }
}
