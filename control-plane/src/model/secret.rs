//! Secrets as they are kept: sealed. What opens them is the vault.

use super::id::{EndpointId, SecretId, SourceId, TenantId};

/// What a secret is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// It signs what goes to an endpoint.
    Signing,
    /// It is the value of a header that goes to an endpoint.
    Header,
    /// Requests to a source are verified with it.
    Verification,
    /// Polling sends it to a source's provider.
    Polling,
}

impl Purpose {
    /// The value of the column, and the byte that the record is bound to.
    pub(crate) fn column(self) -> i16 {
        match self {
            Self::Signing => 1,
            Self::Header => 2,
            Self::Verification => 3,
            Self::Polling => 4,
        }
    }

    /// Reads the value of the column.
    pub(crate) fn from_column(value: i16) -> Option<Self> {
        match value {
            1 => Some(Self::Signing),
            2 => Some(Self::Header),
            3 => Some(Self::Verification),
            4 => Some(Self::Polling),
            _ => None,
        }
    }
}

/// One version of an endpoint's secret. It holds nothing that opens without a master key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SealedSecret {
    /// Its id, the same for all its versions.
    pub id: SecretId,
    /// Its version, from 1.
    pub version: i32,
    /// The tenant that it belongs to.
    pub tenant_id: TenantId,
    /// The endpoint that it is for.
    pub endpoint_id: EndpointId,
    /// What it is for.
    pub purpose: Purpose,
    /// The name of the header; empty for a signing key.
    pub name: String,
    /// The master key that it is sealed under.
    pub kek_id: String,
    /// The sealed record.
    pub sealed: Vec<u8>,
    /// Tells two secrets apart without telling what they are.
    pub fingerprint: String,
    /// Until when a former signing key signs too. None: it is the current one.
    pub retires_at: Option<i64>,
    /// When it was made.
    pub created_at: i64,
}

/// A source's secret. It holds nothing that opens without a master key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SealedSourceSecret {
    /// Its id.
    pub id: SecretId,
    /// The tenant that it belongs to.
    pub tenant_id: TenantId,
    /// The source that it is for.
    pub source_id: SourceId,
    /// What it is for.
    pub purpose: Purpose,
    /// The master key that it is sealed under.
    pub kek_id: String,
    /// The sealed record.
    pub sealed: Vec<u8>,
    /// Tells two secrets apart without telling what they are.
    pub fingerprint: String,
    /// Until when a former secret is accepted. None: it is a current one.
    pub retires_at: Option<i64>,
    /// When it was given.
    pub created_at: i64,
}

impl SealedSourceSecret {
    /// Whether requests that are signed with it are accepted at `now_ms`.
    pub(crate) fn is_accepted(&self, now_ms: i64) -> bool {
        self.purpose == Purpose::Verification && self.retires_at.is_none_or(|until| now_ms < until)
    }
}
