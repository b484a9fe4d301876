//! Why a node does not start. Once it runs, nothing but its shutdown ends it.

use std::{io, net::SocketAddr, path::PathBuf};

use posthorn_guard::ResolverError;

use crate::inbound::edge::{EdgeConfigError, EdgeTlsError};

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No key was given.
    #[error("no node key: give --node-key-file or POSTHORN_NODE_KEY")]
    NoKey,
    /// The key cannot be sent as a header.
    #[error("the node key has characters that no key has")]
    Key,
    /// A file cannot be read.
    #[error("cannot read {}", .0.display())]
    Read(PathBuf, #[source] io::Error),
    /// The control plane's URL or certificates cannot be used.
    #[error("the control plane's URL or its CA cannot be used")]
    ControlPlaneUrl(#[source] tonic::transport::Error),
    /// The extra roots cannot be used.
    #[error("cannot use the extra CA")]
    ExtraCa(#[from] posthorn_outbound::TlsError),
    /// The resolver cannot be used.
    #[error(transparent)]
    Resolver(#[from] ResolverError),
    /// The edge's settings do not fit together.
    #[error(transparent)]
    EdgeConfig(#[from] EdgeConfigError),
    /// The edge's certificate cannot be used.
    #[error("cannot use the edge's certificate")]
    EdgeTls(#[from] EdgeTlsError),
    /// A listener cannot be bound.
    #[error("cannot listen at {0}")]
    Listen(SocketAddr, #[source] io::Error),
}
