//! A request as a provider posted it and a node forwarded it, and what of its head is kept.
//!
//! What is kept leaves credentials out: of the headers those are kept that [`kept`] names, and of these none that the
//! source's scheme reads a credential from. A signature is no credential; it is kept, so that a request can be verified again.
//!
//! The query of a `GET` is its payload, as the body of a `POST` is, and is kept as one.

use std::{net::IpAddr, time::Duration};

use bytes::Bytes;
use posthorn::node::v1;
use posthorn_verify::{Headers, Request};
use tokio::time::Instant;

use super::kept;
use crate::{
    clock,
    model::{
        inbound::{Head, InboundRequest},
        source::LiveSource,
    },
};

/// The longest method that is taken, in characters.
const METHOD_CHARS_MAX: usize = 16;
/// How long ago the head of a request can have been complete, in milliseconds; no edge holds one for longer.
const AGE_MAX_MS: u32 = 60_000;
/// The method of what brings its values in the query.
const GET: &str = "GET";

/// A request as it was received.
#[derive(Clone)]
pub(crate) struct Posted {
    /// The method.
    pub method: String,
    /// The path and query as received.
    pub path_query: String,
    /// The headers as received.
    pub headers: Headers,
    /// The body as received.
    pub body: Bytes,
    /// The address that posted it, as the edge's trusted proxies say; empty when the edge did not say one.
    pub remote_address: String,
    /// When its head was complete.
    pub received_at: i64,
    /// When all of it had come: for one that came in one message, when its head had. What its provider waits counts from
    /// here.
    pub complete_at: Instant,
}

impl std::fmt::Debug for Posted {
    /// Names the request without what it holds: headers and bodies are never printed.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Posted")
            .field("method", &self.method)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl Posted {
    /// The request that a node forwarded, with its body or what there is of it. Of the message that brought it nothing is
    /// kept but what the body points into.
    pub(crate) fn forwarded(head: v1::ForwardedRequest, body: Bytes, now_ms: i64) -> Self {
        let age_ms = head.age_ms.min(AGE_MAX_MS);
        let now = clock::monotonic();
        let age = Duration::from_millis(if head.more { 0 } else { age_ms.into() });
        let mut method = head.method;
        method.truncate(method.floor_char_boundary(METHOD_CHARS_MAX));
        let query = head.path_query.split_once('?').map(|(_, query)| query);
        let body = match query {
            Some(query) if method == GET && body.is_empty() => {
                Bytes::copy_from_slice(query.as_bytes())
            }
            _ => body,
        };
        let headers = head.headers.into_iter();
        Self {
            method,
            path_query: head.path_query,
            headers: headers
                .map(|field| (field.name, field.value.to_vec()))
                .collect(),
            body,
            remote_address: remote_ip(&head.remote_address)
                .map(|address| address.to_string())
                .unwrap_or_default(),
            received_at: now_ms.saturating_sub(i64::from(age_ms)),
            complete_at: now.checked_sub(age).unwrap_or(now),
        }
    }

    /// The request as a record of it has it, so without credentials.
    pub(crate) fn recorded(record: &InboundRequest, body: Bytes) -> Self {
        let head = &record.head;
        let headers = head.headers.iter();
        Self {
            method: head.method.clone(),
            path_query: head.path_query.clone(),
            headers: headers
                .map(|(name, value)| (name, from_latin1(value)))
                .collect(),
            body,
            remote_address: record.remote_address.clone(),
            received_at: record.received_at,
            complete_at: clock::monotonic(),
        }
    }

    /// As a verifier reads it, with the URL that the provider has.
    pub(super) fn request<'a>(&'a self, url: &'a str) -> Request<'a> {
        self.request_with(url, &self.body)
    }

    /// The same with another body.
    pub(super) fn request_with<'a>(&'a self, url: &'a str, body: &'a [u8]) -> Request<'a> {
        Request {
            method: &self.method,
            path_query: &self.path_query,
            url,
            headers: &self.headers,
            body: if self.brings_query() { b"" } else { body },
        }
    }

    /// Whether its values are in its query.
    pub(super) fn brings_query(&self) -> bool {
        self.method == GET
    }

    /// Who posted it. None: the edge did not say.
    pub(super) fn remote_ip(&self) -> Option<IpAddr> {
        remote_ip(&self.remote_address)
    }

    /// The first value of a header, when it is visible ASCII. `name` is in lower case.
    pub(super) fn header<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        let value = self.headers.get_all(name).next()?;
        let is_visible = value.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~'));
        std::str::from_utf8(value)
            .ok()
            .filter(|_| is_visible)
            .map(str::trim)
    }

    /// What is kept of the head.
    pub(crate) fn head(&self, live: &LiveSource) -> Head {
        let verifier = live.verifier.as_ref();
        let parameters =
            verifier.map_or_else(Vec::new, |verifier| verifier.credential_parameters());
        let headers = self.headers.iter();
        let kept = headers.filter(|(name, _)| {
            let is_secret = live.secret_headers.iter().any(|secret| secret == name);
            !is_secret && kept::is_kept(name, &live.kept_headers)
        });
        Head {
            method: self.method.clone(),
            path_query: without_parameters(&self.path_query, &parameters),
            headers: kept
                .map(|(name, value)| (name.to_owned(), to_latin1(value)))
                .collect(),
        }
    }
}

fn remote_ip(text: &str) -> Option<IpAddr> {
    let address = text.parse::<IpAddr>().ok()?;
    Some(address.to_canonical())
}

/// A path and query without these parameters.
fn without_parameters(path_query: &str, names: &[&str]) -> String {
    let Some((path, query)) = path_query.split_once('?') else {
        return path_query.to_owned();
    };
    if names.is_empty() {
        return path_query.to_owned();
    }
    let kept = query.split('&').filter(|pair| {
        let name = pair.split('=').next().unwrap_or_default();
        // A name that is escaped in part is read as the scheme reads it; when in doubt it is left out.
        !name.contains(['%', '+']) && !names.contains(&name)
    });
    let kept = kept.collect::<Vec<_>>().join("&");
    if kept.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{kept}")
    }
}

fn to_latin1(value: &[u8]) -> String {
    value.iter().map(|byte| char::from(*byte)).collect()
}

fn from_latin1(text: &str) -> Vec<u8> {
    let bytes = text.chars().map(u8::try_from);
    bytes.map(|byte| byte.unwrap_or(b'?')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parameters_that_hold_a_token_are_left_out_of_the_path() {
        for (path_query, expected) in [
            ("/in/src_1", "/in/src_1"),
            ("/in/src_1?a=b", "/in/src_1?a=b"),
            ("/in/src_1?token=x", "/in/src_1"),
            ("/in/src_1?a=b&token=x&c", "/in/src_1?a=b&c"),
            ("/in/src_1?t%6fken=x&a=b", "/in/src_1?a=b"),
            ("/in/src_1?token", "/in/src_1"),
        ] {
            assert_eq!(without_parameters(path_query, &["token"]), expected);
        }
        assert_eq!(without_parameters("/a?b%20=c", &[]), "/a?b%20=c");
    }

    #[test]
    fn header_bytes_survive_the_record() {
        let bytes = (0..=255).collect::<Vec<u8>>();
        assert_eq!(from_latin1(&to_latin1(&bytes)), bytes);
    }
}
