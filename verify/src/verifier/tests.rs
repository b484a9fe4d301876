//! What holds for every scheme: secrets, repeats, odd input, users' own records, handshakes.

use super::*;
use crate::{
    Headers, catalogue,
    crypto::digest,
    crypto::encoding::encode,
    scheme::{Algorithm, Encoding},
};

mod batches;
mod claims;
mod events;
mod handshakes;
mod records;
mod signatures;

const NOW_MS: i64 = 1_700_000_000_000;

/// A request that can be changed before it is verified.
struct Case<'a> {
    method: &'a str,
    path_query: &'a str,
    headers: Vec<(&'a str, String)>,
    body: &'a [u8],
    secrets: Vec<&'a str>,
    now_ms: i64,
}

impl Default for Case<'_> {
    fn default() -> Self {
        Self {
            method: "POST",
            path_query: "/in/src_1",
            headers: Vec::new(),
            body: b"{}",
            secrets: vec!["secret"],
            now_ms: NOW_MS,
        }
    }
}

impl Case<'_> {
    fn run<T>(&self, run: impl FnOnce(&Context<'_>) -> T) -> T {
        let headers: Headers = self
            .headers
            .iter()
            .map(|(name, value)| (name, value.clone()))
            .collect();
        let request = Request {
            method: self.method,
            path_query: self.path_query,
            url: "https://x.test/in/src_1",
            headers: &headers,
            body: self.body,
        };
        let secrets: Vec<_> = self
            .secrets
            .iter()
            .map(|text| Secret::new(*text).expect("a secret"))
            .collect();
        run(&Context {
            request: &request,
            secrets: &secrets,
            fetched: &[],
            now_ms: self.now_ms,
        })
    }

    fn verdict(&self, verifier: &Verifier) -> Result<(), Refusal> {
        self.run(|context| verifier.verify(context))
    }
}

fn own(record: &str) -> Result<Verifier, SchemeError> {
    Verifier::compile(
        &Scheme::from_json(record)?,
        &Settings::new(),
        &Options::named("own"),
    )
}

fn built_in(name: &str, settings: &[(&str, &str)]) -> Verifier {
    let settings = settings
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let provider = catalogue().get(name).expect(name);
    Verifier::compile(&provider.scheme, &settings, &Options::named(name)).expect(name)
}

fn mac(key: &str, content: &[u8]) -> String {
    let mac = digest::keyed(Algorithm::Sha256, key.as_bytes(), std::iter::once(content));
    hex::encode(mac.expect("a MAC"))
}

fn stripe(secret: &str, time: i64, body: &str) -> String {
    format!("v1={}", mac(secret, format!("{time}.{body}").as_bytes()))
}
