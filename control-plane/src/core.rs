//! What every part of a plane is given.

use std::{fmt, sync::Arc};

use posthorn_guard::Resolver;

use crate::{clock::Clock, metrics::Metrics, registry::SharedRegistry, store::Store, vault::Vault};

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
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Core(..)")
    }
}

impl Core {
    /// The same, for calls: their reads end with their caller and have a limit in time.
    pub(crate) fn for_callers(&self) -> Self {
        Self {
            store: self.store.for_callers(),
            ..self.clone()
        }
    }
}
