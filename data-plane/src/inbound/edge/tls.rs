//! TLS towards providers: versions 1.2 and 1.3, with the operator's certificate, which is read again when its files
//! change. HTTP/2 is offered before HTTP/1.1.
//!
//! Files that cannot be used are said once, and the certificate that was in use stays.

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
        pem::{self, PemObject},
    },
};
use tokio_rustls::TlsAcceptor;

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EdgeTlsError {
    /// A file cannot be read.
    #[error("cannot read {}", .0.display())]
    Read(PathBuf, #[source] io::Error),
    /// A file is not PEM of what it must hold.
    #[error("{} does not hold what it must", .0.display())]
    Pem(PathBuf, #[source] pem::Error),
    /// Certificate and key are refused, such as for not belonging together.
    #[error("the certificate and its key cannot be used")]
    Unusable(#[from] rustls::Error),
}

/// The certificate in use.
pub(super) type Tls = Followed<ServerConfig>;

/// Reads the files.
pub(super) fn tls((cert, key): (PathBuf, PathBuf)) -> Result<Tls, EdgeTlsError> {
    let files = vec![cert.clone(), key.clone()];
    Followed::new("the edge's certificate", files, move || read(&cert, &key))
}

/// Accepts with the certificate that is in use now.
pub(super) fn acceptor(tls: &Tls) -> TlsAcceptor {
    TlsAcceptor::from(tls.get())
}

fn read(cert: &Path, key: &Path) -> Result<ServerConfig, EdgeTlsError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes(cert)?).collect();
    let chain = chain.map_err(|error| EdgeTlsError::Pem(cert.to_owned(), error))?;
    let key_der = PrivateKeyDer::from_pem_slice(&bytes(key)?);
    let key_der = key_der.map_err(|error| EdgeTlsError::Pem(key.to_owned(), error))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key_der)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn bytes(file: &Path) -> Result<Vec<u8>, EdgeTlsError> {
    fs::read(file).map_err(|error| EdgeTlsError::Read(file.to_owned(), error))
}
