//! The objects of a tenant: what all kinds of them have in common. What tells a kind is what its owner decides about it.

use std::fmt;

use serde::{Serialize, de::DeserializeOwned};

use super::{
    column::column_enum,
    id::{Id, Shard, TenantId},
    tenant::Tenant,
};

column_enum! {
    /// What an object is.
    ObjectKind {
        /// An endpoint.
        Endpoint = 1 "endpoint",
        /// A source.
        Source = 2 "source",
    }
}

column_enum! {
    /// Whether an object does its work. Each kind says what that means.
    ObjectState {
        /// Events go to an endpoint; a source takes requests.
        Enabled = 1 "enabled",
        /// Events to an endpoint queue; a source answers requests that verify with 503.
        Paused = 2 "paused",
        /// New events are not queued for an endpoint, and what is queued waits; a source answers requests that verify with
        /// 410.
        Disabled = 3 "disabled",
    }
}

/// What the owner of a kind of objects decides about one, without secrets. Kept as JSON.
pub(crate) trait Settings:
    fmt::Debug + Clone + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// What the object is.
    const KIND: ObjectKind;
    /// What it is called in answers.
    const NOUN: &'static str;
    /// Its id.
    type Id: ObjectId<Settings = Self>;

    /// Its name, unique among those of its kind in the tenant when given.
    fn name(&self) -> Option<&str>;
}

/// The id of a kind of objects.
pub(crate) trait ObjectId: Id {
    /// What the owner of such an object decides.
    type Settings: Settings<Id = Self>;
}

/// An object as the table holds it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Object<S: Settings> {
    /// Its id.
    pub id: S::Id,
    /// The tenant that it belongs to.
    pub tenant_id: TenantId,
    /// Where its tenant's data are.
    pub shard: Shard,
    /// What its owner decides.
    pub settings: S,
    /// Whether it does its work.
    pub state: ObjectState,
    /// Why it is paused or disabled.
    pub state_reason: String,
    /// Rises with every change: the etag. Of an endpoint it also tells nodes to drop old connections.
    pub version: i64,
    /// When it was created.
    pub created_at: i64,
    /// When it was last changed.
    pub updated_at: i64,
}

impl<S: Settings> Object<S> {
    /// A new one of a tenant, enabled.
    pub(crate) fn new(id: S::Id, tenant: &Tenant, settings: S, now_ms: i64) -> Self {
        Self {
            id,
            tenant_id: tenant.id,
            shard: tenant.shard,
            settings,
            state: ObjectState::Enabled,
            state_reason: String::new(),
            version: 1,
            created_at: now_ms,
            updated_at: now_ms,
        }
    }
}
