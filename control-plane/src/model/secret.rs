//! Secrets as they are kept: sealed, and each of one owner. What opens them is the vault.

use std::fmt;

use rand::Rng;
use uuid::Uuid;

use super::{
    id::{EndpointId, Id as _, SecretId, SourceId, TenantId},
    object::{Object, ObjectKind, Settings},
};

/// Whose a secret is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Owner {
    /// An endpoint's.
    Endpoint(EndpointId),
    /// A source's.
    Source(SourceId),
}

impl Owner {
    /// The owner of this kind with this id.
    pub(crate) fn new(kind: ObjectKind, id: Uuid) -> Self {
        match kind {
            ObjectKind::Endpoint => Self::Endpoint(EndpointId::from_uuid(id)),
            ObjectKind::Source => Self::Source(SourceId::from_uuid(id)),
        }
    }

    /// What it is.
    pub(crate) fn kind(self) -> ObjectKind {
        match self {
            Self::Endpoint(_) => ObjectKind::Endpoint,
            Self::Source(_) => ObjectKind::Source,
        }
    }

    /// Its id, which only its kind makes unique.
    pub(crate) fn uuid(self) -> Uuid {
        match self {
            Self::Endpoint(id) => id.uuid(),
            Self::Source(id) => id.uuid(),
        }
    }
}

impl<S: Settings> Object<S> {
    /// It as the owner of its secrets.
    pub(crate) fn owner(&self) -> Owner {
        Owner::new(S::KIND, self.id.uuid())
    }
}

impl From<EndpointId> for Owner {
    fn from(id: EndpointId) -> Self {
        Self::Endpoint(id)
    }
}

impl From<SourceId> for Owner {
    fn from(id: SourceId) -> Self {
        Self::Source(id)
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint(id) => write!(f, "endpoint {id}"),
            Self::Source(id) => write!(f, "source {id}"),
        }
    }
}

/// What a secret is for. The first two are for endpoints, the others for sources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// It signs what goes to an endpoint.
    Signing,
    /// It is the value of the header of this name that goes to an endpoint.
    Header(String),
    /// Requests to a source are verified with it. Several can be current at once.
    Verification,
    /// Polling sends it to a source's provider.
    Polling,
}

impl Purpose {
    /// The value of the column, and the number that the record is bound to.
    pub(crate) fn column(&self) -> i16 {
        match self {
            Self::Signing => 1,
            Self::Header(_) => 2,
            Self::Verification => 3,
            Self::Polling => 4,
        }
    }

    /// The name of the header; empty for everything else.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Header(name) => name,
            Self::Signing | Self::Verification | Self::Polling => "",
        }
    }

    /// Reads the values of its two columns.
    pub(crate) fn from_columns(value: i16, name: String) -> Option<Self> {
        match value {
            1 => Some(Self::Signing),
            2 => Some(Self::Header(name)),
            3 => Some(Self::Verification),
            4 => Some(Self::Polling),
            _ => None,
        }
    }
}

/// One version of a secret, by everything that its record is bound to: in another place it does not open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Binding {
    /// The tenant that the secret belongs to.
    pub tenant_id: TenantId,
    /// Whose it is.
    pub owner: Owner,
    /// The secret, the same for all its versions.
    pub id: SecretId,
    /// Its version, from 1.
    pub version: i32,
    /// What it is for.
    pub purpose: Purpose,
}

impl Binding {
    /// The first version of a new secret.
    pub(crate) fn new(
        tenant_id: TenantId,
        owner: impl Into<Owner>,
        purpose: Purpose,
        now_ms: i64,
        rng: &mut impl Rng,
    ) -> Self {
        Self {
            tenant_id,
            owner: owner.into(),
            id: SecretId::new(now_ms, rng),
            version: 1,
            purpose,
        }
    }

    /// The version that comes after this one.
    pub(crate) fn next(&self) -> Self {
        Self {
            version: self.version + 1,
            ..self.clone()
        }
    }
}

/// One version of a secret, sealed. It holds nothing that opens without a master key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SealedSecret {
    /// Where it belongs.
    pub binding: Binding,
    /// The master key that it is sealed under.
    pub kek_id: String,
    /// The sealed record.
    pub sealed: Vec<u8>,
    /// Tells two secrets apart without telling what they are.
    pub fingerprint: String,
    /// Until when a former secret is good too. None: it is a current one.
    pub retires_at: Option<i64>,
    /// When it was made or given.
    pub created_at: i64,
}

impl SealedSecret {
    /// What it is for.
    pub(crate) fn purpose(&self) -> &Purpose {
        &self.binding.purpose
    }

    /// Whether requests that are signed with it are accepted at `now_ms`.
    pub(crate) fn is_accepted(&self, now_ms: i64) -> bool {
        *self.purpose() == Purpose::Verification
            && self.retires_at.is_none_or(|until| now_ms < until)
    }
}
