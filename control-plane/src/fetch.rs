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
use posthorn_outbound::{Failure, TlsError};
use rustls::ClientConfig;

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

/// Why there is no answer. The text is the word for it, which is shown to operators and names no address.
#[derive(Debug, thiserror::Error)]
#[error("{failure}")]
pub(crate) struct FetchError {
    /// The word.
    pub failure: Failure,
    #[source]
    cause: Option<reqwest::Error>,
}

impl From<Failure> for FetchError {
    fn from(failure: Failure) -> Self {
        Self {
            failure,
            cause: None,
        }
    }
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
    pub(crate) fn new(resolver: Resolver) -> Result<Self, TlsError> {
        let tls = Arc::new(posthorn_outbound::client_config(None)?);
        Ok(Self { resolver, tls })
    }

    /// Makes one request and reads the whole answer, whatever its status.
    pub(crate) async fn fetch(&self, wanted: Wanted<'_>) -> Result<Answered, FetchError> {
        let target = Target::parse(wanted.url, self.resolver.policy())
            .map_err(|_| Failure::TargetNotAllowed)?;
        let addresses = self.resolver.resolve(&target).await;
        let addresses = addresses.map_err(|error| match error {
            ResolveError::NotAllowed => Failure::TargetNotAllowed,
            ResolveError::NoSuchName => Failure::DnsNoSuchName,
            ResolveError::NoAnswer(_) => Failure::DnsNoAnswer,
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
            .map_err(named)?;
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
            return Err(Failure::TargetNotAllowed.into());
        }
        read(answer, wanted.bytes_max).await
    }
}

async fn read(mut answer: reqwest::Response, bytes_max: usize) -> Result<Answered, FetchError> {
    let (status, headers) = (answer.status(), std::mem::take(answer.headers_mut()));
    let mut body = BytesMut::new();
    while let Some(chunk) = answer.chunk().await.map_err(named)? {
        if body.len() + chunk.len() > bytes_max {
            return Err(Failure::ResponseTooLarge.into());
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
    let failure = if error.is_timeout() && error.is_connect() {
        Failure::ConnectTimeout
    } else if error.is_timeout() {
        Failure::AnswerTimeout
    } else {
        posthorn_outbound::of_request(&error)
    };
    FetchError {
        failure,
        cause: Some(error),
    }
}

#[cfg(test)]
mod tests;
