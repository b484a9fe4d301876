//! The control plane's own HTTP requests: keys of providers, confirmations that they ask for, lists that are polled.
//!
//! Every request goes through the address guard: the URL is judged as it is written, every address that its name leads
//! to is judged, the connection goes to one of just those, and its peer is judged again. No redirect is followed, no
//! proxy of the environment is used, nothing is unpacked, and what an answer may cost in time and memory is bounded.
//! Which hosts may be asked for what is the caller's to know.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode};
use posthorn_guard::{ResolveError, Resolver, Target};
use rustls::{ClientConfig, RootCertStore, crypto::ring};

/// How long a request may take in all, its lookup aside.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long connecting may take, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// What others see as the sender.
const USER_AGENT: &str = concat!("Posthorn/", env!("CARGO_PKG_VERSION"));

/// Makes requests. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Fetch {
    resolver: Resolver,
    tls: Arc<ClientConfig>,
}

/// A request.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    /// The URL.
    pub url: &'a str,
    /// Headers beside those of every request. Never printed: values that are secret are marked so.
    pub headers: HeaderMap,
    /// What to POST. None: GET.
    pub body: Option<Bytes>,
    /// The longest body of the answer, in bytes.
    pub bytes_max: usize,
}

/// An answer, whole.
#[derive(Debug, Clone)]
pub(crate) struct Answered {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// Why there is no answer. The texts are shown to operators and name no address.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    /// The URL leads to where Posthorn does not go.
    #[error("{}", posthorn_guard::TARGET_NOT_ALLOWED)]
    NotAllowed,
    /// The name does not resolve.
    #[error("dns_error")]
    Lookup,
    /// There was no whole answer in time.
    #[error("timeout")]
    Timeout,
    /// No connection could be made.
    #[error("connection_failed")]
    Connect(#[source] reqwest::Error),
    /// The answer was no HTTP, or broke off.
    #[error("protocol_error")]
    Protocol(#[source] reqwest::Error),
    /// The answer was longer than what was wanted.
    #[error("response_too_large")]
    TooLarge,
}

impl std::fmt::Debug for Fetch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetch").finish_non_exhaustive()
    }
}

impl Fetch {
    /// Requests behind this resolver's policy, with the public roots.
    ///
    /// Errors: TLS 1.2 and 1.3 are not available.
    pub(crate) fn new(resolver: Resolver) -> Result<Self, rustls::Error> {
        let roots: RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
        let provider = Arc::new(ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            resolver,
            tls: Arc::new(tls),
        })
    }

    /// Makes one request and reads the whole answer, whatever its status.
    pub(crate) async fn fetch(&self, wanted: Wanted<'_>) -> Result<Answered, FetchError> {
        let target = Target::parse(wanted.url, self.resolver.policy())
            .map_err(|_| FetchError::NotAllowed)?;
        let addresses = self.resolver.resolve(&target).await;
        let addresses = addresses.map_err(|error| match error {
            ResolveError::NotAllowed => FetchError::NotAllowed,
            ResolveError::NoSuchName | ResolveError::NoAnswer(_) => FetchError::Lookup,
        })?;
        let url = target.url().clone();
        // A client for each request, so that its connection can go nowhere but to these addresses.
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(ClientConfig::clone(&self.tls))
            .resolve_to_addrs(&target.host(), &addresses)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            // As nodes read the heads of endpoints: what RFC 9112 has a user agent mend.
            .http1_allow_obsolete_multiline_headers_in_responses(true)
            .http1_allow_spaces_after_header_name_in_responses(true)
            .http1_ignore_invalid_headers_in_responses(true)
            .user_agent(USER_AGENT)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .build()
            .map_err(FetchError::Connect)?;
        let method = if wanted.body.is_some() {
            Method::POST
        } else {
            Method::GET
        };
        let request = client.request(method, url).headers(wanted.headers);
        let request = match wanted.body {
            Some(body) => request.body(body),
            None => request,
        };
        let answer = request.send().await.map_err(named)?;
        let peer = answer.remote_addr();
        if !peer.is_some_and(|peer| self.resolver.admits(&target, peer)) {
            return Err(FetchError::NotAllowed);
        }
        read(answer, wanted.bytes_max).await
    }
}

async fn read(mut answer: reqwest::Response, bytes_max: usize) -> Result<Answered, FetchError> {
    let (status, headers) = (answer.status(), std::mem::take(answer.headers_mut()));
    let mut body = BytesMut::new();
    while let Some(chunk) = answer.chunk().await.map_err(named)? {
        if body.len() + chunk.len() > bytes_max {
            return Err(FetchError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answered {
        status,
        headers,
        body: body.freeze(),
    })
}

fn named(error: reqwest::Error) -> FetchError {
    // The URL may carry what is nobody's business.
    let error = error.without_url();
    if error.is_timeout() {
        FetchError::Timeout
    } else if error.is_connect() {
        FetchError::Connect(error)
    } else {
        FetchError::Protocol(error)
    }
}

#[cfg(test)]
mod tests;
