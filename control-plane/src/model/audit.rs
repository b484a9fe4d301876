//! Records of who did what.

use serde::{Deserialize, Serialize};

use super::{
    column::column_enum,
    id::{AuditId, KeyId, TenantId},
};

column_enum! {
    /// What became of the call that a record is of.
    AuditOutcome {
        /// It was done.
        Done = 1 "done",
        /// It was denied.
        Denied = 2 "denied",
    }
}

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Actor {
    /// A caller.
    Key {
        /// Its key.
        key_id: KeyId,
        /// Who it claims to be; empty when it does not say.
        claimed: String,
    },
    /// Posthorn itself.
    Posthorn,
}

impl Actor {
    /// The key. None: it was Posthorn itself.
    pub(crate) fn key_id(&self) -> Option<KeyId> {
        match self {
            Self::Key { key_id, .. } => Some(*key_id),
            Self::Posthorn => None,
        }
    }

    /// Who the caller claims to be; empty when there is no such claim.
    pub(crate) fn claimed(&self) -> &str {
        match self {
            Self::Key { claimed, .. } => claimed,
            Self::Posthorn => "",
        }
    }
}

/// A field that changed, as columns keep it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FieldChange {
    /// Its path in the object.
    pub field: String,
    /// The value before, as text. None: there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<String>,
    /// The value after. None: there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<String>,
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AuditRecord {
    /// Its id, which holds the time.
    pub id: AuditId,
    /// When the call was made.
    pub recorded_at: i64,
    /// The tenant that it was about. None: the installation.
    pub tenant_id: Option<TenantId>,
    /// Who did it.
    pub actor: Actor,
    /// The call.
    pub method: String,
    /// What it was done to; empty when that is nothing in particular.
    pub target: String,
    /// Why it was done, or denied.
    pub reason: String,
    /// The call's request id; empty when it has none.
    pub request_id: String,
    /// What became of it.
    pub outcome: AuditOutcome,
    /// What it changed.
    pub changes: Vec<FieldChange>,
}
