//! What changes in the registry: rows by their names.

use crate::model::{
    event_type::EventTypeName,
    id::{EndpointId, KeyId, SourceId, TenantId},
    secret::Owner,
};

/// A row that was written, or may have been.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Changed {
    /// A tenant's own row.
    Tenant(TenantId),
    /// One declared event type.
    EventType(TenantId, EventTypeName),
    /// An endpoint or one of its secrets.
    Endpoint(EndpointId),
    /// A source or one of its secrets.
    Source(SourceId),
    /// An API key.
    Key(KeyId),
}

impl From<Owner> for Changed {
    fn from(owner: Owner) -> Self {
        match owner {
            Owner::Endpoint(id) => Self::Endpoint(id),
            Owner::Source(id) => Self::Source(id),
        }
    }
}
