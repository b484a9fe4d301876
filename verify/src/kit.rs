//! What every vector in `tests/vectors` has to show: it is accepted as it is, and nothing near it is.
//!
//! A change that the scheme reads as the same signed content and the same signature, such as another case of hex, is no
//! forgery and may be accepted; everything else must be refused.

use std::{collections::BTreeMap, fs, path::PathBuf, sync::Arc};

use serde::Deserialize;

use crate::{
    Context, Fetched, Headers, Options, Refusal, Request, Secret, Settings, Verifier, catalogue,
    crypto::encoding::base64, proof::Seen, reference::Reference,
};

mod changes;
mod checks;
mod claims;

/// A request that a provider, or its SDK, made or would make.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Vector {
    /// The catalogue's name.
    pub provider: String,
    /// Where the vector comes from.
    pub source: String,
    method: String,
    url: String,
    path_query: String,
    headers: Vec<(String, String)>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    body_base64: Option<String>,
    secrets: Vec<String>,
    settings: Settings,
    fetched: Vec<Page>,
    /// When it was received.
    pub now_ms: i64,
    #[serde(default)]
    event_id: Option<String>,
    #[serde(default)]
    event_type: Option<String>,
    /// What makes the claim unique, or `none`.
    #[serde(default)]
    claim: Option<String>,
    #[serde(default)]
    items: Option<Vec<ExpectedItem>>,
}

/// An item as it is to be recognised.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpectedItem {
    #[serde(default)]
    event_id: Option<String>,
    event_type: String,
    claim: String,
    json: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    url: String,
    body: String,
}

/// A vector that can be changed and verified.
#[derive(Debug, Clone)]
pub(crate) struct Trial {
    /// The compiled scheme.
    pub verifier: Arc<Verifier>,
    /// The request's parts.
    pub method: String,
    /// Path and query.
    pub path_query: String,
    /// The registered URL.
    pub url: String,
    /// The headers.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body.
    pub body: Vec<u8>,
    /// The secrets.
    pub secrets: Vec<Secret>,
    /// The fetched keys.
    pub fetched: Vec<Fetched>,
    /// When it is received.
    pub now_ms: i64,
}

/// Every vector, by its file's name.
pub(crate) fn vectors() -> BTreeMap<String, Vector> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let mut vectors = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("the folder of vectors") {
        let path = entry.expect("an entry").path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            let name = path
                .file_name()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            let text = fs::read_to_string(&path).expect("a vector");
            let vector =
                serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
            vectors.insert(name, vector);
        }
    }
    vectors
}

impl Trial {
    /// Takes a vector over.
    pub(crate) fn new(vector: &Vector) -> Self {
        let provider = catalogue()
            .get(&vector.provider)
            .unwrap_or_else(|| panic!("no provider {}", vector.provider));
        let options = Options::named(&vector.provider);
        let verifier = Verifier::compile(&provider.scheme, &vector.settings, &options)
            .unwrap_or_else(|error| panic!("{}: {error}", vector.provider));
        let body = match (&vector.body, &vector.body_base64) {
            (Some(text), None) => text.clone().into_bytes(),
            (None, Some(text)) => base64(text).expect("base64"),
            _ => panic!("{}: body or body_base64", vector.provider),
        };
        Self {
            verifier: Arc::new(verifier),
            method: vector.method.clone(),
            path_query: vector.path_query.clone(),
            url: vector.url.clone(),
            headers: vector
                .headers
                .iter()
                .map(|(name, value)| (name.clone(), value.clone().into_bytes()))
                .collect(),
            body,
            secrets: secrets(vector.secrets.iter().map(|text| text.clone().into_bytes())),
            fetched: vector
                .fetched
                .iter()
                .map(|page| Fetched {
                    url: page.url.parse().expect("a URL"),
                    body: page.body.clone().into_bytes(),
                })
                .collect(),
            now_ms: vector.now_ms,
        }
    }

    /// The verdict.
    pub(crate) fn verify(&self) -> Result<(), Refusal> {
        let headers = self.header_list();
        let request = self.request(&headers);
        self.verifier.verify(&Context {
            request: &request,
            secrets: &self.secrets,
            fetched: &self.fetched,
            now_ms: self.now_ms,
        })
    }

    /// What the scheme reads, when it can be read.
    pub(crate) fn seen(&self) -> Option<Seen> {
        let headers = self.header_list();
        let request = self.request(&headers);
        self.verifier.seen(&request).ok()
    }

    /// Runs something on the request.
    pub(crate) fn with_request<T>(&self, run: impl FnOnce(&Request<'_>) -> T) -> T {
        let headers = self.header_list();
        run(&self.request(&headers))
    }

    /// The numbers of the headers that the proof, the time and the requirements read.
    pub(crate) fn signed_headers(&self) -> Vec<usize> {
        let names = self.verifier.signed_header_names();
        (0..self.headers.len())
            .filter(|&number| names.contains(&self.headers[number].0.to_ascii_lowercase()))
            .collect()
    }

    /// Whether the proof reads path or query.
    pub(crate) fn reads_path(&self) -> bool {
        self.verifier.signed_references().iter().any(|reference| {
            matches!(
                reference,
                Reference::Query(_) | Reference::Path | Reference::PathQuery
            )
        })
    }

    fn header_list(&self) -> Headers {
        self.headers
            .iter()
            .map(|(name, value)| (name, value.clone()))
            .collect()
    }

    fn request<'a>(&'a self, headers: &'a Headers) -> Request<'a> {
        Request {
            method: &self.method,
            path_query: &self.path_query,
            url: &self.url,
            headers,
            body: &self.body,
        }
    }
}

fn secrets(texts: impl Iterator<Item = Vec<u8>>) -> Vec<Secret> {
    texts
        .map(|text| Secret::new(text).expect("a secret"))
        .collect()
}
