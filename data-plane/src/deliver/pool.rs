//! Keeps connections for the next lease of the same endpoint.
//!
//! A connection belongs to one endpoint and one version of it, so what one tenant's endpoint answers can never be read
//! by another's, and a changed URL is dialled anew. Connections are kept idle for at most 30 s and within two bounds; a
//! connection over a bound is closed, never waited for. The pool does not limit how many are in use: credit does.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::AtomicUsize},
};

use posthorn_guard::Policy;
use tokio::time::Instant;

use super::endpoint::{Endpoint, EndpointError};
use crate::lock::{ENDPOINTS, Lock};

/// Every endpoint that had a request lately, by its id.
pub(crate) struct Pool {
    endpoints: Lock<HashMap<String, Arc<Endpoint>>, ENDPOINTS>,
    idle: Arc<AtomicUsize>,
    idle_max: usize,
}

impl Pool {
    /// An empty pool that keeps at most `idle_max` idle connections.
    pub(crate) fn new(idle_max: usize) -> Self {
        Self {
            endpoints: Lock::default(),
            idle: Arc::default(),
            idle_max,
        }
    }

    /// The endpoint of a lease. One of an older version than the pool's is made anew and keeps nothing.
    pub(crate) fn endpoint(
        &self,
        id: &str,
        version: u64,
        url: &str,
        policy: &Policy,
    ) -> Result<Arc<Endpoint>, EndpointError> {
        if let Some(known) = self.endpoints.lock().get(id)
            && known.is(version, url)
        {
            return Ok(known.clone());
        }
        let made = Endpoint::new(version, url, policy, self.idle.clone(), self.idle_max)?;
        let made = Arc::new(made);
        let mut endpoints = self.endpoints.lock();
        match endpoints.get(id) {
            Some(known) if known.is_newer_than(version) => made.retire(),
            _ => {
                if let Some(replaced) = endpoints.insert(id.to_owned(), made.clone()) {
                    replaced.retire();
                }
            }
        }
        Ok(made)
    }

    /// Closes what was idle for too long and forgets endpoints without connections.
    pub(crate) fn sweep(&self, now: Instant) {
        self.endpoints.lock().retain(|_, endpoint| {
            let in_use = Arc::strong_count(endpoint) > 1;
            endpoint.sweep(now) || in_use
        });
    }
}
