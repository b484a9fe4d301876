//! Who may call what: one table, and the layer that asks it before anything else happens.
//!
//! A call is authenticated once; the services find the [`Caller`] in the request's extensions. The layer decides on
//! roles only. Which tenant a caller may name is decided by [`Caller::tenant`], in the services.

mod caller;
mod denied;
mod ending;
pub(crate) mod kinds;
mod table;

use std::{
    pin::Pin,
    sync::{Arc, LazyLock},
    task::{Context, Poll},
};

use http::{HeaderMap, Request, Response, header::AUTHORIZATION};
use tonic::{Status, body::Body};
use tower::{Layer, Service};

pub(crate) use caller::Caller;
pub(crate) use kinds::{Class, Kind};
use table::{HEALTH, REFLECTIONS};
pub(crate) use table::{is_unary, kind};

use self::{denied::Watched, ending::Ending};
use super::convert::visible_name;
use crate::{
    audit::Denials,
    clock::Clock,
    error::Error,
    incoming::{Peer, Standing},
    metrics::GrpcMetrics,
    model::api_key::{self, KeyHash, Role},
    registry::{Registry, SharedRegistry},
};

/// The longest `authorization` header that is looked at, in bytes.
const AUTHORIZATION_BYTES_MAX: usize = 512;
/// The metadata in which callers say who they are.
const ACTOR: &str = "posthorn-actor";
/// How many characters that may have.
const ACTOR_CHARS_MAX: usize = 100;
/// What a call of reflection is called on record.
const REFLECT: &str = "ServerReflectionInfo";
const REFLECTION_ROLES: &[Role] = &[
    Role::Admin,
    Role::Operator,
    Role::Emitter,
    Role::Viewer,
    Role::Consumer,
];

/// What is compared when there is no such key, so that this takes as long as a wrong secret.
static NO_KEY: LazyLock<KeyHash> = LazyLock::new(|| KeyHash::of(""));

/// Lets only those calls through that the table of roles allows.
#[derive(Debug, Clone)]
pub(crate) struct AccessLayer {
    registry: SharedRegistry,
    clock: Clock,
    denials: Denials,
    metrics: GrpcMetrics,
}

/// The service that [`AccessLayer`] makes.
#[derive(Debug, Clone)]
pub(crate) struct Access<S> {
    inner: S,
    registry: SharedRegistry,
    clock: Clock,
    denials: Denials,
    metrics: GrpcMetrics,
}

impl AccessLayer {
    /// A layer that finds keys in `registry`, by `clock`, and has what it denies counted and recorded.
    pub(crate) fn new(
        registry: SharedRegistry,
        clock: Clock,
        denials: Denials,
        metrics: GrpcMetrics,
    ) -> Self {
        Self {
            registry,
            clock,
            denials,
            metrics,
        }
    }
}

impl<S> Layer<S> for AccessLayer {
    type Service = Access<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Access {
            inner,
            registry: self.registry.clone(),
            clock: self.clock.clone(),
            denials: self.denials.clone(),
            metrics: self.metrics.clone(),
        }
    }
}

impl<S> Service<Request<Body>> for Access<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let path = request.uri().path();
        let method = table::method(path);
        let (is_stream, is_reflection) = (!is_unary(path), is_reflection(path));
        let registry = self.registry.snapshot();
        let watched = |caller: &Caller| {
            let method = if is_reflection { Some(REFLECT) } else { method };
            method.map(|method| Watched::new(&self.denials, caller, method))
        };
        let caller = match admit(path, request.headers(), &registry, self.clock.now_ms()) {
            Ok(Admission::Open) => return Box::pin(self.inner.call(request)),
            Ok(Admission::Caller(caller)) => caller,
            Err(refusal) => {
                self.metrics.deny(refusal.reason);
                if let Some((caller, reason)) = refusal.denied.as_deref()
                    && let Some(watched) = watched(caller)
                {
                    watched.denied(reason);
                }
                return refused(refusal.error);
            }
        };
        if let Err(error) = introduce(&request, &caller) {
            return refused(error);
        }
        // Our own streams look after their keys themselves.
        let clock = self.clock.clone();
        let key = is_reflection.then(|| registry.key(caller.key_id()).cloned());
        let watched = watched(&caller);
        request.extensions_mut().insert(caller);
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = match watched {
                Some(watched) => watched.answer(answer.await?, is_stream),
                None => answer.await?,
            };
            Ok(match key.flatten() {
                Some(key) => answer.map(|body| Ending::with(body, key, clock)),
                None => answer,
            })
        })
    }
}

/// The answer to a call that is not let through.
fn refused<E: Send + 'static>(
    error: Error,
) -> Pin<Box<dyn Future<Output = Result<Response<Body>, E>> + Send>> {
    Box::pin(std::future::ready(Ok(Status::from(error).into_http())))
}

/// Tells the connection that its peer has shown a key: it gets a place among those that are known.
fn introduce(request: &Request<Body>, caller: &Caller) -> Result<(), Error> {
    let is_node = caller.roles().has_any(&[Role::Node]);
    let standing = if is_node {
        Standing::Node
    } else {
        Standing::Caller
    };
    match request.extensions().get::<Arc<Peer>>() {
        Some(peer) => peer.know(standing),
        None => Ok(()),
    }
}

/// How a call is let through.
#[derive(Debug)]
enum Admission {
    /// Anybody may make it.
    Open,
    /// This caller may make it.
    Caller(Caller),
}

/// Why a call is not let through.
#[derive(Debug)]
struct Refusal {
    error: Error,
    /// The word for it among the metrics.
    reason: &'static str,
    /// The key that was shown and why it was not enough, if that is for the record.
    denied: Option<Box<(Caller, String)>>,
}

impl Refusal {
    /// One of a caller that is not known, or that nobody need look into.
    fn new(error: Error, reason: &'static str) -> Self {
        Self {
            error,
            reason,
            denied: None,
        }
    }
}

/// Decides on one call.
fn admit(
    path: &str,
    headers: &HeaderMap,
    registry: &Registry,
    now: i64,
) -> Result<Admission, Refusal> {
    if path.starts_with(HEALTH) {
        return Ok(Admission::Open);
    }
    let caller = authenticate(headers, registry, now)?;
    let roles = if is_reflection(path) {
        Some(REFLECTION_ROLES)
    } else {
        table::roles(path)
    };
    let Some(roles) = roles else {
        return Err(Refusal::new(Error::NoSuchCall, "no_such_call"));
    };
    if !caller.roles().has_any(roles) {
        let error = no_role(roles);
        let denied = Some(Box::new((caller, error.to_string())));
        return Err(Refusal {
            error,
            reason: "no_role",
            denied,
        });
    }
    let claimed = claimed(headers).map_err(|error| Refusal::new(error, "actor"))?;
    Ok(Admission::Caller(caller.claiming(claimed)))
}

fn is_reflection(path: &str) -> bool {
    REFLECTIONS.iter().any(|service| path.starts_with(service))
}

fn authenticate(headers: &HeaderMap, registry: &Registry, now: i64) -> Result<Caller, Refusal> {
    let stranger = |reason| Refusal::new(Error::Unauthenticated, reason);
    let text = bearer(headers).ok_or_else(|| stranger("no_key"))?;
    let known = api_key::parse(text).and_then(|id| registry.key(id));
    let hash = known.map_or(&*NO_KEY, |key| &key.key.hash);
    let is_right = hash.matches(text);
    let key = known.ok_or_else(|| stranger("unknown_key"))?;
    let caller = Caller::from(&key.key);
    let (reason, why) = if !is_right {
        ("wrong_secret", "the secret is not that of the key")
    } else if !key.is_live(now) {
        ("key_ended", "the key has expired or was revoked")
    } else if !caller.has_tenant(registry) {
        ("tenant_gone", "the tenant of the key is gone")
    } else {
        return Ok(caller);
    };
    Err(Refusal {
        error: Error::Unauthenticated,
        reason,
        denied: Some(Box::new((caller, why.to_owned()))),
    })
}

/// Who the caller says it is.
fn claimed(headers: &HeaderMap) -> Result<Option<Arc<str>>, Error> {
    let mut values = headers.get_all(ACTOR).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let text = str::from_utf8(value.as_bytes()).unwrap_or("\0");
    if values.next().is_some() {
        return Err(Error::invalid(ACTOR, "must be given once"));
    }
    Ok(Some(visible_name(ACTOR, text, ACTOR_CHARS_MAX)?.into()))
}

/// The credential of the one `authorization: Bearer` header.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next()?;
    if values.next().is_some() || value.len() > AUTHORIZATION_BYTES_MAX {
        return None;
    }
    let (scheme, credential) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(credential)
}

fn no_role(roles: &[Role]) -> Error {
    let names = roles.iter().map(|role| role.name()).collect::<Vec<_>>();
    Error::PermissionDenied(format!(
        "the API key has no role that may make this call; one of these may: {}",
        names.join(", ")
    ))
}

#[cfg(test)]
mod tests;
