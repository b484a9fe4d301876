//! What the log says of deliveries that die: the first of an endpoint at once, the others of its minute as a number.
//!
//! An endpoint that is gone can end thousands of deliveries a second. Each is in the tables with its reason; the log says that
//! it began and how much it was.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

use crate::{
    lock::Leaf,
    model::id::{DeliveryId, EndpointId},
};

/// How long an endpoint is let alone after a line.
const PERIOD: Duration = Duration::from_mins(1);
/// Of how many endpoints it is known that they had a line. Those beyond have one for all of them.
const ENDPOINTS_MAX: usize = 10_000;

/// Which endpoints had a line, when, and what was not said since.
#[derive(Debug, Default)]
pub(super) struct Deaths(Leaf<Said>);

#[derive(Debug, Default)]
struct Said {
    by_endpoint: HashMap<EndpointId, (Instant, u64)>,
    /// Of endpoints beyond those that are known.
    beyond: u64,
}

/// A delivery that died.
#[derive(Debug, Clone, Copy)]
pub(super) struct Death {
    /// Which.
    pub(super) delivery_id: DeliveryId,
    /// Where it went.
    pub(super) endpoint_id: EndpointId,
    /// Why it was given up.
    pub(super) reason: &'static str,
    /// Why its last attempt failed.
    pub(super) error: &'static str,
}

impl Deaths {
    /// Notes a death, and logs it unless its endpoint had a line a moment ago.
    pub(super) fn note(&self, death: Death, now: Instant) {
        if !self.0.lock().note(death.endpoint_id, now) {
            return;
        }
        let Death {
            delivery_id,
            endpoint_id,
            reason,
            error,
        } = death;
        tracing::warn!(%delivery_id, %endpoint_id, error, reason, "delivery {delivery_id} to {endpoint_id} is dead: {reason}, last of {error}; more of this endpoint within a minute are counted");
    }

    /// Logs what was not said of endpoints whose time is over.
    pub(super) fn sum_up(&self, now: Instant) {
        let (of_endpoints, beyond) = self.0.lock().over(now);
        for (endpoint_id, count) in of_endpoints {
            tracing::warn!(%endpoint_id, count, "{count} more deliveries to {endpoint_id} died");
        }
        if beyond > 0 {
            tracing::warn!(
                count = beyond,
                "{beyond} deliveries to other endpoints died"
            );
        }
    }
}

impl Said {
    /// Counts a death. Whether it is to be said.
    fn note(&mut self, endpoint_id: EndpointId, now: Instant) -> bool {
        if let Some((_, unsaid)) = self.by_endpoint.get_mut(&endpoint_id) {
            *unsaid += 1;
            false
        } else if self.by_endpoint.len() < ENDPOINTS_MAX {
            self.by_endpoint.insert(endpoint_id, (now, 0));
            true
        } else {
            self.beyond += 1;
            false
        }
    }

    /// Takes out whose time is over: how much was not said of each, if anything, and of those beyond.
    fn over(&mut self, now: Instant) -> (Vec<(EndpointId, u64)>, u64) {
        let over = self
            .by_endpoint
            .extract_if(|_, (since, _)| *since + PERIOD <= now);
        let unsaid = over.map(|(endpoint_id, (_, unsaid))| (endpoint_id, unsaid));
        let unsaid = unsaid.filter(|(_, unsaid)| *unsaid > 0).collect();
        (unsaid, std::mem::take(&mut self.beyond))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::clock;

    fn endpoint(number: usize) -> EndpointId {
        EndpointId::from_uuid(Uuid::from_u128(number as u128))
    }

    #[test]
    fn o6_an_endpoint_has_one_line_a_minute_and_the_number_of_the_others() {
        let (mut said, begin) = (Said::default(), clock::monotonic());
        let at = |seconds| begin + Duration::from_secs(seconds);
        let noted = [(1, 0), (1, 1), (2, 2), (1, 59)];
        let noted = noted.map(|(one, seconds)| said.note(endpoint(one), at(seconds)));
        assert_eq!(noted, [true, false, true, false]);
        assert_eq!(said.over(at(59)), (vec![], 0));
        assert_eq!(said.over(at(60)), (vec![(endpoint(1), 2)], 0));
        assert!(said.note(endpoint(1), at(61)));
        assert_eq!(said.over(at(200)), (vec![], 0));
    }

    #[test]
    fn o6_endpoints_beyond_those_that_are_known_share_a_number() {
        let (mut said, now) = (Said::default(), clock::monotonic());
        let first = (0..ENDPOINTS_MAX).all(|one| said.note(endpoint(one), now));
        assert!(first);
        for one in [ENDPOINTS_MAX, ENDPOINTS_MAX + 1] {
            assert!(!said.note(endpoint(one), now));
        }
        assert_eq!(said.over(now), (vec![], 2));
    }
}
