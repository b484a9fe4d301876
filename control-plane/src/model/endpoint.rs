//! Endpoints: where events are delivered, and how.

use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::{
    id::{EndpointId, SourceId},
    object::{Object, ObjectId, ObjectKind, Settings},
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

/// How many sources the events of an endpoint can be limited to.
pub(crate) const SOURCES_MAX: usize = 100;

/// What the owner of an endpoint decides, without secrets. Kept as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct EndpointSettings {
    /// Unique in the tenant when given.
    pub name: Option<String>,
    /// Where deliveries go.
    #[serde(flatten)]
    pub target: Target,
    /// Which events.
    pub subscriptions: Vec<Subscription>,
    /// Only events that one of these sources brought. Empty: any event.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<SourceId>,
    /// Headers sent with every attempt.
    pub headers: Vec<EndpointHeader>,
    /// How long one attempt may take, in milliseconds.
    pub timeout_ms: u32,
    /// The schedule. None: the tenant's.
    pub retry_policy: Option<RetryPolicy>,
    /// The name of the second signature header, in lower case.
    pub body_signature_header: Option<String>,
    /// How many attempts may run at one time. A handler's is not looked at: its streams say what they can take.
    pub concurrency: u32,
}

impl EndpointSettings {
    /// What an endpoint has unless its owner says otherwise: it gets nothing yet.
    pub(crate) fn to(target: Target) -> Self {
        Self {
            name: None,
            target,
            subscriptions: Vec::new(),
            sources: Vec::new(),
            headers: Vec::new(),
            timeout_ms: u32::try_from(TIMEOUT_DEFAULT.as_millis()).unwrap_or(u32::MAX),
            retry_policy: None,
            body_signature_header: None,
            concurrency: CONCURRENCY_DEFAULT,
        }
    }

    /// The canonical URL; empty for a handler of a consumer group.
    pub(crate) fn url(&self) -> &str {
        match &self.target {
            Target::Url(url) => url,
            Target::Consumer(_) => "",
        }
    }
}

impl Settings for EndpointSettings {
    const KIND: ObjectKind = ObjectKind::Endpoint;
    const NOUN: &'static str = "endpoint";
    type Id = EndpointId;

    fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }
}

impl ObjectId for EndpointId {
    type Settings = EndpointSettings;
}

/// An endpoint, without its secrets.
pub(crate) type Endpoint = Object<EndpointSettings>;

/// Where the deliveries of an endpoint go. In JSON the field `url` or the field `consumer`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Target {
    /// Nodes post them to this canonical URL.
    Url(String),
    /// Streams of a consumer group take them.
    Consumer(Handler),
}

/// The handler of a consumer group.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Handler {
    /// The group.
    pub group: String,
    /// The handler's name in its group.
    pub handler: String,
}

impl Handler {
    /// The name of the handler's endpoint.
    pub(crate) fn endpoint_name(&self) -> String {
        format!("{}/{}", self.group, self.handler)
    }
}

impl Endpoint {
    /// The handler that the endpoint is, if it is one.
    pub(crate) fn handler(&self) -> Option<&Handler> {
        match &self.settings.target {
            Target::Url(_) => None,
            Target::Consumer(handler) => Some(handler),
        }
    }
}

/// A header sent with every attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EndpointHeader {
    /// The field's name, in lower case.
    pub name: String,
    /// The field's value. None: it is a sealed secret.
    pub value: Option<String>,
}

/// An endpoint with everything that an attempt needs, secrets opened: what the hot path reads.
#[derive(Debug, Clone)]
pub(crate) struct LiveEndpoint {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// Who makes its attempts.
    pub target: LiveTarget,
}

/// Who makes an endpoint's attempts, and with what.
#[derive(Debug, Clone)]
pub(crate) enum LiveTarget {
    /// Nodes do, with requests that are written for them.
    Url(Box<Posting>),
    /// Streams of a consumer group do.
    Consumer(Handler),
}

/// What the requests to a URL are written with.
#[derive(Debug, Clone)]
pub(crate) struct Posting {
    /// The canonical URL.
    pub url: String,
    /// The key that signs.
    pub signing_key: SigningKey,
    /// The key before the last rotation, and until when it signs too.
    pub former_signing_key: Option<(SigningKey, i64)>,
    /// The values of secret headers, by name.
    pub secret_headers: Vec<(String, SecretString)>,
}

impl LiveEndpoint {
    /// The handler whose streams make its attempts. None: nodes do.
    pub(crate) fn handler(&self) -> Option<&Handler> {
        match &self.target {
            LiveTarget::Url(_) => None,
            LiveTarget::Consumer(handler) => Some(handler),
        }
    }

    /// What requests to its URL are written with. None: it is a handler of a consumer group.
    pub(crate) fn posting(&self) -> Option<&Posting> {
        match &self.target {
            LiveTarget::Url(posting) => Some(posting),
            LiveTarget::Consumer(_) => None,
        }
    }
}

impl Posting {
    /// The keys that sign at `now_ms`, the current one first.
    pub(crate) fn signing_keys(&self, now_ms: i64) -> impl Iterator<Item = &SigningKey> {
        let former = self.former_signing_key.iter();
        let former = former.filter(move |(_, until)| now_ms < *until);
        std::iter::once(&self.signing_key).chain(former.map(|(key, _)| key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> EndpointSettings {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn settings_from_before_there_were_consumers_are_read() {
        let settings = read(
            r#"{"name":null,"url":"https://example.com/","subscriptions":["*"],"headers":[],"timeout_ms":15000,
                "retry_policy":null,"body_signature_header":null,"concurrency":64}"#,
        );
        assert_eq!(
            settings.target,
            Target::Url("https://example.com/".to_owned())
        );
        assert!(settings.sources.is_empty());
    }

    #[test]
    fn settings_survive_the_way_to_the_table_and_back() {
        let handler = Handler {
            group: "billing".to_owned(),
            handler: "book".to_owned(),
        };
        assert_eq!(handler.endpoint_name(), "billing/book");
        let source = SourceId::from_uuid(uuid::Uuid::from_u128(7));
        for (target, sources) in [
            (Target::Consumer(handler), vec![source]),
            (Target::Url("https://example.com/".to_owned()), vec![]),
        ] {
            let settings = EndpointSettings {
                name: Some("billing/book".to_owned()),
                target,
                subscriptions: vec![Subscription::All],
                sources,
                headers: Vec::new(),
                timeout_ms: 30_000,
                retry_policy: Some(RetryPolicy::Long),
                body_signature_header: None,
                concurrency: 0,
            };
            assert_eq!(read(&serde_json::to_string(&settings).unwrap()), settings);
        }
    }
}
