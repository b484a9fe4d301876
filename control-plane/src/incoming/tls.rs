//! TLS towards callers and nodes: versions 1.2 and 1.3, HTTP/2 and nothing else.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use posthorn_telemetry::Followed;
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject as _},
    },
};
use tokio_rustls::TlsAcceptor;

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}", .0.display())]
    Read(PathBuf, #[source] io::Error),
    /// A file is not PEM of what it must hold.
    #[error("it is not PEM of what it must hold")]
    Pem(#[from] pem::Error),
    /// Certificate and key are refused, such as for not belonging together.
    #[error("the certificate and its key are refused")]
    Unusable(#[from] rustls::Error),
}

/// The certificate in use, read again when its files change.
pub(crate) type Certificate = Followed<ServerConfig>;

/// Reads the certificate chain and its key, both PEM.
pub(crate) fn certificate(chain: PathBuf, key: PathBuf) -> Result<Certificate, TlsError> {
    let files = vec![chain.clone(), key.clone()];
    Followed::new("the certificate of gRPC", files, move || read(&chain, &key))
}

/// Accepts with the certificate that is in use now.
pub(super) fn acceptor(certificate: &Certificate) -> TlsAcceptor {
    TlsAcceptor::from(certificate.get())
}

fn read(chain: &Path, key: &Path) -> Result<ServerConfig, TlsError> {
    let bytes = |file: &Path| fs::read(file).map_err(|error| TlsError::Read(file.into(), error));
    let chain = CertificateDer::pem_slice_iter(&bytes(chain)?).collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(&bytes(key)?)?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}
