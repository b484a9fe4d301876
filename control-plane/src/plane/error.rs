//! Why a control plane does not run.

use std::{io, net::SocketAddr};

use posthorn_guard::ResolverError;
use tokio::task::JoinError;

use crate::{
    bootstrap, config::ConfigError, error::Error, server::ServeError, store, vault::KeySourceError,
};

/// Why the control plane could not start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The data directory could not be made.
    #[error("the data directory cannot be made")]
    DataDir(#[source] io::Error),
    /// There are no master keys.
    #[error(transparent)]
    Keys(#[from] KeySourceError),
    /// The first keys were not made.
    #[error(transparent)]
    Bootstrap(#[from] bootstrap::Error),
    /// Names cannot be looked up.
    #[error("the resolver cannot be set up")]
    Resolver(#[from] ResolverError),
    /// TLS for the control plane's own requests cannot be set up.
    #[error("tls cannot be set up")]
    Tls(#[source] posthorn_outbound::TlsError),
    /// The database could not be opened.
    #[error("the database cannot be used")]
    Store(#[from] store::Error),
    /// The database may lose what it has committed.
    #[error(
        "the database can lose what it has committed ({0}): change the settings, or accept that with \
         --allow-unsafe-durability"
    )]
    Unsafe(String),
    /// Another control plane uses the database.
    #[error("another control plane owns this database")]
    Owned,
    /// The registry could not be read.
    #[error("the registry cannot be read")]
    Registry(#[source] Error),
    /// A listener could not be bound.
    #[error("cannot listen on {0}")]
    Listen(SocketAddr, #[source] std::io::Error),
    /// The gRPC server failed.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The part that delivers ended; without it nothing may be served.
    #[error("the delivery engine ended")]
    Engine(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The drain took too long.
    #[error(
        "the database did not take the last outcomes in time; nodes keep them and report again"
    )]
    Drain,
}

impl From<Error> for StartError {
    fn from(error: Error) -> Self {
        Self::Registry(error)
    }
}

/// Why the engine ended before it was asked to.
pub(super) fn engine_error(ended: Result<Result<(), Error>, JoinError>) -> StartError {
    match ended {
        Ok(Ok(())) => StartError::Engine("it ended by itself".into()),
        Ok(Err(error)) => StartError::Engine(error.into()),
        Err(panic) => StartError::Engine(panic.into()),
    }
}
