//! TLS towards endpoints: versions 1.2 and 1.3, the public roots, and the operator's own roots.
//!
//! There is no way to switch verification off.

use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};

/// Why the TLS configuration cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file of extra roots cannot be read as PEM.
    #[error("cannot read certificates from the file")]
    Read(#[source] rustls::pki_types::pem::Error),
    /// A certificate in it cannot be a root.
    #[error("a certificate of the file cannot be trusted as a root")]
    Root(#[source] rustls::Error),
    /// The file has no certificate.
    #[error("the file has no certificate")]
    Empty,
    /// The protocol versions are not available.
    #[error("TLS 1.2 and 1.3 are not available")]
    Versions(#[source] rustls::Error),
}

/// The configuration for connections to endpoints. HTTP/2 is offered before HTTP/1.1.
pub(crate) fn client_config(extra_ca: Option<&Path>) -> Result<Arc<ClientConfig>, TlsError> {
    let public = webpki_roots::TLS_SERVER_ROOTS.iter().cloned();
    let mut roots: RootCertStore = public.collect();
    if let Some(file) = extra_ca {
        add_roots(&mut roots, file)?;
    }
    let provider = Arc::new(ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Versions)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn add_roots(roots: &mut RootCertStore, file: &Path) -> Result<(), TlsError> {
    let before = roots.len();
    for certificate in CertificateDer::pem_file_iter(file).map_err(TlsError::Read)? {
        let certificate = certificate.map_err(TlsError::Read)?;
        roots.add(certificate).map_err(TlsError::Root)?;
    }
    if roots.len() == before {
        return Err(TlsError::Empty);
    }
    Ok(())
}
