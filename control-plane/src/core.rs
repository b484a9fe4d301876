//! What every part of a plane is given.

use std::{fmt, ops::RangeInclusive, sync::Arc};

use posthorn_guard::Resolver;

use crate::{
    cdn_loop::LoopMark, clock::Clock, entropy::Entropy, metrics::Metrics, registry::SharedRegistry,
    store::Store, vault::Vault,
};

/// The versions of the nodes' protocol that this control plane speaks.
const PROTOCOLS: RangeInclusive<u32> = 2..=2;

/// The database and what stands beside it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Core {
    /// The database.
    pub store: Store,
    /// What there is of tenants, endpoints, sources and keys, in memory.
    pub registry: SharedRegistry,
    /// What seals and opens secrets.
    pub vault: Arc<Vault>,
    /// What looks names up, behind the address guard.
    pub resolver: Resolver,
    /// Where everything is counted.
    pub metrics: Metrics,
    /// The time.
    pub clock: Clock,
    /// What ids, keys and delays are drawn from.
    pub entropy: Entropy,
    /// The versions of the nodes' protocol that are spoken here.
    pub protocols: RangeInclusive<u32>,
    /// What requests to endpoints are known by when they come back.
    pub loop_mark: LoopMark,
}

/// What whoever makes a plane gives it besides its settings. The default is what an installation has.
#[derive(Debug, Clone)]
pub struct Given {
    /// The time.
    pub clock: Clock,
    /// What ids, keys and delays are drawn from.
    pub entropy: Entropy,
    /// The versions of the nodes' protocol that it speaks.
    pub protocols: RangeInclusive<u32>,
}

impl Default for Given {
    fn default() -> Self {
        Self {
            clock: Clock::system(),
            entropy: Entropy::system(),
            protocols: PROTOCOLS,
        }
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Core(..)")
    }
}

impl Core {
    /// A source of randomness, for a call or a tick.
    pub(crate) fn rng(&self) -> Entropy {
        self.entropy.clone()
    }

    /// The same, for calls: their reads end with their caller and have a limit in time.
    pub(crate) fn for_callers(&self) -> Self {
        Self {
            store: self.store.for_callers(),
            ..self.clone()
        }
    }
}
