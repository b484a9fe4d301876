//! The caller of an RPC, authenticated, and the tenants that it may name.

use std::sync::Arc;

use tonic::Request;

use crate::{
    error::Error,
    model::{
        api_key::{ApiKey, Roles},
        audit::Actor,
        id::{KeyId, TenantId},
    },
    registry::{Registry, TenantEntry},
};

/// Who calls. Found in the extensions of every request that needs a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    key_id: KeyId,
    tenant_id: Option<TenantId>,
    roles: Roles,
    /// Who it claims to be.
    claimed: Option<Arc<str>>,
}

impl From<&ApiKey> for Caller {
    fn from(key: &ApiKey) -> Self {
        Self {
            key_id: key.id,
            tenant_id: key.tenant_id,
            roles: key.roles,
            claimed: None,
        }
    }
}

impl Caller {
    /// Who made the request.
    pub(crate) fn of<T>(request: &Request<T>) -> Result<Self, Error> {
        request
            .extensions()
            .get::<Self>()
            .cloned()
            .ok_or(Error::Unauthenticated)
    }

    /// The key that calls.
    pub(crate) fn key_id(&self) -> KeyId {
        self.key_id
    }

    /// The tenant that the key is bound to. None: it belongs to the whole installation.
    pub(crate) fn tenant_id(&self) -> Option<TenantId> {
        self.tenant_id
    }

    /// The caller, who claims to be somebody.
    pub(super) fn claiming(self, claimed: Option<Arc<str>>) -> Self {
        Self { claimed, ..self }
    }

    /// Who it is, for the record.
    pub(crate) fn actor(&self) -> Actor {
        Actor::Key {
            key_id: self.key_id,
            claimed: self.claimed.as_deref().unwrap_or_default().to_owned(),
        }
    }

    /// What the key may do.
    pub(crate) fn roles(&self) -> Roles {
        self.roles
    }

    /// Whether the key still works: streams ask this again while they last.
    pub(crate) fn is_live(&self, registry: &Registry, now: i64) -> bool {
        registry
            .key(self.key_id)
            .is_some_and(|key| key.is_live(now))
            && self.has_tenant(registry)
    }

    /// Whether what belongs to the tenant may be shown to the caller at all. If not, it does not exist for it.
    pub(crate) fn can_see(&self, tenant: TenantId) -> bool {
        self.tenant_id.is_none_or(|own| own == tenant)
    }

    /// The tenant that a request's `tenant_id` names, or the caller's own when it names none.
    pub(crate) fn tenant(
        &self,
        registry: &Registry,
        text: &str,
    ) -> Result<Arc<TenantEntry>, Error> {
        let id = self.tenant_named(text)?;
        registry
            .tenant(id)
            .cloned()
            .ok_or(Error::NotFound("tenant"))
    }

    /// Refuses a key that is bound to a tenant.
    pub(crate) fn require_installation(&self) -> Result<(), Error> {
        match self.tenant_id {
            None => Ok(()),
            Some(_) => Err(Error::PermissionDenied(
                "this takes an API key of the whole installation; this one belongs to a tenant"
                    .to_owned(),
            )),
        }
    }

    pub(super) fn has_tenant(&self, registry: &Registry) -> bool {
        self.tenant_id
            .is_none_or(|id| registry.tenant(id).is_some())
    }

    fn tenant_named(&self, text: &str) -> Result<TenantId, Error> {
        if text.is_empty() {
            return self.tenant_id.ok_or_else(|| {
                Error::invalid(
                    "tenant_id",
                    "is required for an API key of the whole installation",
                )
            });
        }
        let id = text
            .parse()
            .map_err(|error| Error::invalid("tenant_id", format!("{error}")))?;
        if self.can_see(id) {
            Ok(id)
        } else {
            Err(Error::PermissionDenied(
                "the API key belongs to another tenant".to_owned(),
            ))
        }
    }
}
