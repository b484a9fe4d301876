//! Tenants: the boundary that nothing crosses.

use serde::{Deserialize, Serialize};

use super::id::{Shard, TenantId};
use crate::retry::RetryPolicy;

/// The stage that a tenant's traffic belongs to. A label only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Environment {
    /// Developers' own traffic.
    Development,
    /// Rehearsal.
    Staging,
    /// The real thing.
    Production,
}

/// What an admin decides about a tenant. Kept as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TenantSettings {
    /// Unique in the installation.
    pub name: String,
    /// The caller's own name for the organization behind it.
    pub organization_id: String,
    /// The stage.
    pub environment: Environment,
    /// The policy of endpoints that have none. None: the server's.
    pub retry_policy: Option<RetryPolicy>,
}

/// A tenant.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tenant {
    /// Its id.
    pub id: TenantId,
    /// Where its data are.
    pub shard: Shard,
    /// What an admin decides.
    pub settings: TenantSettings,
    /// Rises with every change.
    pub version: i64,
    /// When it was created.
    pub created_at: i64,
    /// When it was last changed.
    pub updated_at: i64,
}

impl Tenant {
    /// A new one.
    pub(crate) fn new(id: TenantId, settings: TenantSettings, now_ms: i64) -> Self {
        Self {
            id,
            shard: Shard::of(id),
            settings,
            version: 1,
            created_at: now_ms,
            updated_at: now_ms,
        }
    }
}
