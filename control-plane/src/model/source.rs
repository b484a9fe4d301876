//! Sources: where providers post, or where Posthorn polls, and how what comes is judged.

use std::{borrow::Cow, collections::BTreeMap};

use ipnet::IpNet;
use posthorn_verify::{Options, Scheme, SchemeError, Secret, Tolerance, Verifier, catalogue};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{
    id::SourceId,
    object::{Object, ObjectId, ObjectKind, Settings},
};

/// The longest body that a source takes unless it says otherwise, in bytes.
pub(crate) const BODY_BYTES_DEFAULT: u32 = 1_024 * 1_024;
/// The longest body that a source can take, in bytes.
pub(crate) const BODY_BYTES_MAX: u32 = 25 * 1_024 * 1_024;

/// The provider of sources that bring a scheme of their own.
pub(crate) const CUSTOM: &str = "custom";
/// What stands for the cursor in the URL of polling.
pub(crate) const CURSOR: &str = "{cursor}";
/// What stands for the poll secret in headers of polling.
pub(crate) const SECRET: &str = "{secret}";

/// An answer to a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// An answer that a consumer computes while the provider waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Synchronous {
    /// How long the provider waits, in milliseconds.
    pub deadline_ms: u32,
    /// What it hears when nobody has answered by then. None: the source's answer.
    pub fallback: Option<Answer>,
}

/// A scheduled pull of a provider's list of events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PollSettings {
    /// What to GET; `{cursor}` stands for the cursor.
    pub url: String,
    /// Headers sent with each pull; `{secret}` in a value stands for the poll secret.
    pub headers: Vec<(String, String)>,
    /// The JSON pointer of the array of items.
    pub items: String,
    /// The JSON pointer of an item's id.
    pub item_id: String,
    /// The JSON pointer of an item's type.
    pub item_type: String,
    /// The JSON pointer of the next cursor.
    pub cursor: String,
    /// What stands for the cursor at first.
    pub initial_cursor: String,
    /// How often, in milliseconds.
    pub interval_ms: u32,
    /// How many pages a pull follows.
    pub pages_max: u32,
}

impl PollSettings {
    /// Whether a pull sends the poll secret.
    pub(crate) fn sends_secret(&self) -> bool {
        self.headers.iter().any(|(_, value)| value.contains(SECRET))
    }

    /// A hash that stands for the list that is pulled: a cursor of one list means nothing to another.
    pub(crate) fn list(&self) -> [u8; 32] {
        let of_list = [&self.url, &self.items, &self.cursor, &self.initial_cursor];
        let mut hash = Sha256::new();
        for text in of_list {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        }
        hash.finalize().into()
    }
}

/// What becomes of a request that claims what another one has, with other bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnConflict {
    /// It is recorded as a conflict, and no event.
    #[default]
    Record,
    /// It is an event of its own, once for each body.
    Emit,
}

/// What the owner of a source decides, without secrets. Kept as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SourceSettings {
    /// Unique in the tenant when given.
    pub name: Option<String>,
    /// The catalogue's name of the provider, or `custom`. None: the source is only polled.
    pub provider: Option<String>,
    /// The scheme of a custom provider.
    pub scheme: Option<serde_json::Value>,
    /// What the scheme needs beside secrets.
    pub parameters: BTreeMap<String, String>,
    /// How far the signed time may be off, in milliseconds. None: the provider's.
    pub tolerance_ms: Option<i64>,
    /// The signed time is not judged.
    pub ignore_time: bool,
    /// Who may post. Empty: everybody.
    pub allowed_addresses: Vec<IpNet>,
    /// The longest body, in bytes.
    pub body_bytes_max: u32,
    /// The media types that are taken, in lower case. Empty: all.
    pub content_types: Vec<String>,
    /// Bodies packed with gzip are taken.
    pub accept_gzip: bool,
    /// The fixed answer. None: what the provider wants.
    pub answer: Option<Answer>,
    /// A consumer computes the answer.
    pub synchronous: Option<Synchronous>,
    /// The request's headers that go out with its event, in lower case.
    pub forward_headers: Vec<String>,
    /// The URL as the provider has it. None: ours.
    pub registered_url: Option<String>,
    /// How many requests that verify are taken a second. None: no limit.
    pub rate_per_second: Option<u32>,
    /// The provider's list is pulled.
    pub poll: Option<PollSettings>,
    /// For how long equal bodies are one event where nothing else tells repeats, in milliseconds. None: each is an event.
    #[serde(default)]
    pub dedupe_window_ms: Option<i64>,
    /// What becomes of other bytes under the same claim.
    #[serde(default)]
    pub on_conflict: OnConflict,
    /// Whether each item of a batch is an event. None: as the provider's record says.
    #[serde(default)]
    pub split: Option<bool>,
    /// How old what is genuine and can be told from a repeat may be, in milliseconds. None: as the tolerance says.
    #[serde(default)]
    pub accept_stale_ms: Option<i64>,
}

impl SourceSettings {
    /// What a source of a provider has unless its owner says otherwise.
    pub(crate) fn of(provider: Option<String>) -> Self {
        let settings = Self {
            name: None,
            provider,
            scheme: None,
            parameters: BTreeMap::new(),
            tolerance_ms: None,
            ignore_time: false,
            allowed_addresses: Vec::new(),
            body_bytes_max: 0,
            content_types: Vec::new(),
            accept_gzip: false,
            answer: None,
            synchronous: None,
            forward_headers: Vec::new(),
            registered_url: None,
            rate_per_second: None,
            poll: None,
            dedupe_window_ms: None,
            on_conflict: OnConflict::Record,
            split: None,
            accept_stale_ms: None,
        };
        Self {
            body_bytes_max: settings.body_bytes_usual(),
            ..settings
        }
    }

    /// The longest body unless the owner says otherwise: the provider's, where its pages name one.
    pub(crate) fn body_bytes_usual(&self) -> u32 {
        let provider = self.provider.as_deref();
        let known = provider.and_then(|name| catalogue().get(name));
        let said = known.and_then(|known| known.scheme.limits.body_max);
        said.map_or(BODY_BYTES_DEFAULT, |bytes| {
            bytes.clamp(BODY_BYTES_DEFAULT, BODY_BYTES_MAX)
        })
    }

    /// How requests are verified. None: the source is only polled.
    pub(crate) fn scheme(&self) -> Result<Option<Cow<'static, Scheme>>, SchemeError> {
        let Some(provider) = self.provider.as_deref() else {
            return Ok(None);
        };
        if provider == CUSTOM {
            let record = self.scheme.as_ref().unwrap_or(&serde_json::Value::Null);
            return Ok(Some(Cow::Owned(Scheme::from_json(&record.to_string())?)));
        }
        match catalogue().get(provider) {
            Some(provider) => Ok(Some(Cow::Borrowed(&provider.scheme))),
            None => Err(SchemeError {
                field: String::new(),
                what: format!("the provider {provider} is not known"),
            }),
        }
    }

    /// The scheme, compiled with what the source says. None: the source is only polled.
    pub(crate) fn verifier(&self) -> Result<Option<Verifier>, SchemeError> {
        self.compiled(self.tolerance())
    }

    /// The same for what is genuine and late. None: that is not taken.
    pub(crate) fn late_verifier(&self) -> Result<Option<Verifier>, SchemeError> {
        let Some(ms) = self.accept_stale_ms else {
            return Ok(None);
        };
        self.compiled(Tolerance::Late(ms))
    }

    fn compiled(&self, tolerance: Tolerance) -> Result<Option<Verifier>, SchemeError> {
        let scheme = self.scheme()?;
        let options = Options {
            provider: self.provider.clone().unwrap_or_default(),
            tolerance,
        };
        scheme
            .map(|scheme| Verifier::compile(&scheme, &self.parameters, &options))
            .transpose()
    }

    fn tolerance(&self) -> Tolerance {
        match self.tolerance_ms {
            _ if self.ignore_time => Tolerance::Off,
            Some(ms) => Tolerance::Millis(ms),
            None => Tolerance::Scheme,
        }
    }
}

impl Settings for SourceSettings {
    const KIND: ObjectKind = ObjectKind::Source;
    const NOUN: &'static str = "source";
    type Id = SourceId;

    fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }
}

impl ObjectId for SourceId {
    type Settings = SourceSettings;
}

/// A source, without its secrets.
pub(crate) type Source = Object<SourceSettings>;

/// A source with everything that judging a request needs, secrets opened: what the hot path reads.
#[derive(Debug)]
pub(crate) struct LiveSource {
    /// The source.
    pub source: Source,
    /// The URL that the provider signs, if its scheme does.
    pub url: String,
    /// Its scheme, compiled. None: it is only polled.
    pub verifier: Option<Verifier>,
    /// The same for what is genuine and late. None: that is not taken.
    pub late_verifier: Option<Verifier>,
    /// The headers, in lower case, whose value is a secret of the scheme: neither stored nor sent on.
    pub secret_headers: Vec<String>,
    /// The headers, in lower case, that the scheme reads or that go out with events: stored, but for those above.
    pub kept_headers: Vec<String>,
    /// The secrets that are accepted, the newest first, and until when a former one is.
    pub secrets: Vec<(Secret, Option<i64>)>,
    /// What polling sends.
    pub poll_secret: Option<SecretString>,
}
