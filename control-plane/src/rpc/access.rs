//! Who may call what: one table, and the layer that asks it before anything else happens.
//!
//! A call is authenticated once; the services find the [`Caller`] in the request's extensions. The layer decides on
//! roles only. Which tenant a caller may name is decided by [`Caller::tenant`], in the services.

mod caller;
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

use self::ending::Ending;
use crate::{
    clock,
    error::Error,
    incoming::{Peer, Standing},
    model::api_key::{self, KeyHash, Role},
    registry::{Registry, SharedRegistry},
};

/// The longest `authorization` header that is looked at, in bytes.
const AUTHORIZATION_BYTES_MAX: usize = 512;
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
}

/// The service that [`AccessLayer`] makes.
#[derive(Debug, Clone)]
pub(crate) struct Access<S> {
    inner: S,
    registry: SharedRegistry,
}

impl AccessLayer {
    /// A layer that finds keys in `registry`.
    pub(crate) fn new(registry: SharedRegistry) -> Self {
        Self { registry }
    }
}

impl<S> Layer<S> for AccessLayer {
    type Service = Access<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Access {
            inner,
            registry: self.registry.clone(),
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
        let (path, headers) = (request.uri().path(), request.headers());
        let registry = self.registry.snapshot();
        match admit(path, headers, &registry, clock::now_ms()) {
            Ok(Admission::Open) => Box::pin(self.inner.call(request)),
            Ok(Admission::Caller(caller)) => {
                // Our own streams look after their keys themselves.
                let key = registry.key(caller.key_id()).cloned();
                let key = key.filter(|_| is_reflection(path));
                if let Err(error) = introduce(&request, caller) {
                    return Box::pin(std::future::ready(Ok(Status::from(error).into_http())));
                }
                request.extensions_mut().insert(caller);
                let answer = self.inner.call(request);
                match key {
                    Some(key) => {
                        Box::pin(
                            async move { Ok(answer.await?.map(|body| Ending::with(body, key))) },
                        )
                    }
                    None => Box::pin(answer),
                }
            }
            Err(status) => Box::pin(std::future::ready(Ok(status.into_http()))),
        }
    }
}

/// Tells the connection that its peer has shown a key: it gets a place among those that are known.
fn introduce(request: &Request<Body>, caller: Caller) -> Result<(), Error> {
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

/// Decides on one call.
fn admit(
    path: &str,
    headers: &HeaderMap,
    registry: &Registry,
    now: i64,
) -> Result<Admission, Status> {
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
        return Err(Status::unimplemented("there is no such call"));
    };
    if caller.roles().has_any(roles) {
        Ok(Admission::Caller(caller))
    } else {
        Err(no_role(roles).into())
    }
}

fn is_reflection(path: &str) -> bool {
    REFLECTIONS.iter().any(|service| path.starts_with(service))
}

fn authenticate(headers: &HeaderMap, registry: &Registry, now: i64) -> Result<Caller, Error> {
    let text = bearer(headers).ok_or(Error::Unauthenticated)?;
    let key = api_key::parse(text).and_then(|id| registry.key(id));
    let hash = key.map_or(&*NO_KEY, |key| &key.key.hash);
    let is_right = hash.matches(text);
    let key = key.filter(|key| is_right && key.is_live(now));
    let caller = key
        .map(|key| Caller::from(&key.key))
        .ok_or(Error::Unauthenticated)?;
    if caller.has_tenant(registry) {
        Ok(caller)
    } else {
        Err(Error::Unauthenticated)
    }
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
