//! How much of a kind each tenant can have.
//!
//! What is published is counted in memory; who creates one more takes a [`Place`] first, which counts until the row is
//! published or its transaction is over. So the sum is never less than what the database holds, and a limit is never
//! passed however many create at once. Rows that others write count after a restart.

use std::collections::HashMap;

use super::{Registry, SharedRegistry};
use crate::{config::TenantLimits, error::Error, model::id::TenantId};

/// A kind of rows of which each tenant can have so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Capped {
    /// Event types.
    EventTypes,
    /// Endpoints, handlers of consumers among them.
    Endpoints,
    /// Sources.
    Sources,
    /// API keys, ended ones among them. The installation's own keys count like a tenant's.
    ApiKeys,
}

/// How many rows are being made, by whose and which.
pub(super) type Reserved = HashMap<(Option<TenantId>, Capped), u32>;

/// The right to have one more row.
#[derive(Debug)]
pub(crate) struct Place {
    registry: SharedRegistry,
    scope: Option<TenantId>,
    kind: Capped,
}

impl Capped {
    /// How many a tenant can have.
    fn limit(self, limits: &TenantLimits) -> u32 {
        match self {
            Self::EventTypes => limits.event_types_max,
            Self::Endpoints => limits.endpoints_max,
            Self::Sources => limits.sources_max,
            Self::ApiKeys => limits.api_keys_max,
        }
    }

    /// What a caller is told that wants more.
    fn refusal(self, limit: u32) -> Error {
        let (kind, setting) = match self {
            Self::EventTypes => ("event types", "event-types"),
            Self::Endpoints => ("endpoints", "endpoints"),
            Self::Sources => ("sources", "sources"),
            Self::ApiKeys => ("API keys that have not ended", "api-keys"),
        };
        Error::Exhausted(format!(
            "a tenant can have {limit} {kind}: give some up, or have --tenant-{setting}-max raised"
        ))
    }
}

impl SharedRegistry {
    /// Takes a place for one more row of a tenant, or of the whole installation.
    pub(crate) fn place(&self, scope: Option<TenantId>, kind: Capped) -> Result<Place, Error> {
        let limit = kind.limit(&self.inner.limits);
        let mut reserved = self.inner.reserved.lock();
        let reserved = reserved.entry((scope, kind)).or_default();
        let taken = *reserved as usize + self.snapshot().count(scope, kind);
        if taken >= limit as usize {
            return Err(kind.refusal(limit));
        }
        *reserved += 1;
        Ok(Place {
            registry: self.clone(),
            scope,
            kind,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut reserved = self.registry.inner.reserved.lock();
        let key = (self.scope, self.kind);
        if let Some(count) = reserved.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                reserved.remove(&key);
            }
        }
    }
}

impl Registry {
    fn count(&self, scope: Option<TenantId>, kind: Capped) -> usize {
        let entry = scope.and_then(|id| self.tenant(id));
        match (kind, entry) {
            (Capped::ApiKeys, None) => self.installation_keys.size(),
            (_, None) => 0,
            (kind, Some(entry)) => entry.count(kind),
        }
    }
}
