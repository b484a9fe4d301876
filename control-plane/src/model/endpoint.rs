//! Endpoints: where events are delivered, and how.

use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::{
    id::{EndpointId, TenantId},
    subscription::Subscription,
};
use crate::{retry::RetryPolicy, sign::SigningKey};

/// How long one attempt may take unless the endpoint says otherwise.
pub(crate) const TIMEOUT_DEFAULT: Duration = Duration::from_secs(15);
/// The shortest time that an endpoint may give an attempt.
pub(crate) const TIMEOUT_MIN: Duration = Duration::from_secs(1);
/// The longest time that an endpoint may give an attempt.
pub(crate) const TIMEOUT_MAX: Duration = Duration::from_mins(1);
/// How many attempts of one endpoint run at one time unless it says otherwise.
pub(crate) const CONCURRENCY_DEFAULT: u32 = 64;
/// How many attempts of one endpoint can run at one time.
pub(crate) const CONCURRENCY_MAX: u32 = 1_024;

/// Whether an endpoint gets events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndpointState {
    /// Events are delivered.
    Enabled,
    /// Events queue.
    Paused,
    /// New events are not queued, and what is queued waits.
    Disabled,
}

impl EndpointState {
    /// The value of the column.
    pub(crate) fn column(self) -> i16 {
        match self {
            Self::Enabled => 1,
            Self::Paused => 2,
            Self::Disabled => 3,
        }
    }

    /// Reads the value of the column.
    pub(crate) fn from_column(value: i16) -> Option<Self> {
        match value {
            1 => Some(Self::Enabled),
            2 => Some(Self::Paused),
            3 => Some(Self::Disabled),
            _ => None,
        }
    }
}

/// What the owner of an endpoint decides, without secrets. Kept as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct EndpointSettings {
    /// Unique in the tenant when given.
    pub name: Option<String>,
    /// The canonical URL.
    pub url: String,
    /// Which events.
    pub subscriptions: Vec<Subscription>,
    /// Headers sent with every attempt.
    pub headers: Vec<EndpointHeader>,
    /// How long one attempt may take, in milliseconds.
    pub timeout_ms: u32,
    /// The schedule. None: the tenant's.
    pub retry_policy: Option<RetryPolicy>,
    /// The name of the second signature header, in lower case.
    pub body_signature_header: Option<String>,
    /// How many attempts may run at one time.
    pub concurrency: u32,
}

/// A header sent with every attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EndpointHeader {
    /// The field's name, in lower case.
    pub name: String,
    /// The field's value. None: it is a sealed secret.
    pub value: Option<String>,
}

/// An endpoint as the registry's table holds it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Endpoint {
    /// Its id.
    pub id: EndpointId,
    /// The tenant that it belongs to.
    pub tenant_id: TenantId,
    /// What its owner decides.
    pub settings: EndpointSettings,
    /// Whether it gets events.
    pub state: EndpointState,
    /// Why it is paused or disabled.
    pub state_reason: String,
    /// Rises with every change; the etag, and what tells nodes to drop old connections.
    pub version: i64,
    /// When it was created.
    pub created_at: i64,
    /// When it was last changed.
    pub updated_at: i64,
}

/// An endpoint with everything that an attempt needs, secrets opened: what the hot path reads.
#[derive(Debug, Clone)]
pub(crate) struct LiveEndpoint {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// The schedule that applies.
    pub retry_policy: RetryPolicy,
    /// The key that signs.
    pub signing_key: SigningKey,
    /// The key before the last rotation, and until when it signs too.
    pub former_signing_key: Option<(SigningKey, i64)>,
    /// The values of secret headers, by name.
    pub secret_headers: Vec<(String, SecretString)>,
}

impl LiveEndpoint {
    /// The keys that sign at `now_ms`, the current one first.
    pub(crate) fn signing_keys(&self, now_ms: i64) -> impl Iterator<Item = &SigningKey> {
        let former = self.former_signing_key.iter();
        let former = former.filter(move |(_, until)| now_ms < *until);
        std::iter::once(&self.signing_key).chain(former.map(|(key, _)| key))
    }
}
