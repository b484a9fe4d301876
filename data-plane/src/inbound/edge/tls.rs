//! TLS towards providers: versions 1.2 and 1.3, with the operator's certificate, which is read again when its files
//! change. HTTP/2 is offered before HTTP/1.1.
//!
//! Files that cannot be used are said once, and the certificate that was in use stays.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
};
use tokio::time::{MissedTickBehavior, interval};
use tokio_rustls::TlsAcceptor;
use tracing::{info, warn};

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
pub(super) struct Tls {
    cert: PathBuf,
    key: PathBuf,
    config: ArcSwap<ServerConfig>,
}

impl Tls {
    /// Reads the files.
    pub(super) fn new((cert, key): (PathBuf, PathBuf)) -> Result<Self, EdgeTlsError> {
        let config = ArcSwap::from(read(&cert, &key)?);
        Ok(Self { cert, key, config })
    }

    /// Accepts with the certificate that is in use now.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.load_full())
    }

    /// Looks for changes of the files for ever.
    pub(super) async fn follow_files(&self, every: Duration) {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut seen = self.modified();
        loop {
            ticks.tick().await;
            let now = self.modified();
            if now != seen {
                seen = now;
                self.read_again();
            }
        }
    }

    fn read_again(&self) {
        match read(&self.cert, &self.key) {
            Ok(config) => {
                self.config.store(config);
                info!("the edge's certificate was read again");
            }
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                warn!(
                    error,
                    "the edge's certificate changed and cannot be used: the old one stays"
                );
            }
        }
    }

    /// When the files changed last. A file that is missing has no time, which is a change too.
    fn modified(&self) -> [Option<SystemTime>; 2] {
        [&self.cert, &self.key].map(|file| fs::metadata(file).ok()?.modified().ok())
    }
}

fn read(cert: &Path, key: &Path) -> Result<Arc<ServerConfig>, EdgeTlsError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes(cert)?).collect();
    let chain = chain.map_err(|error| EdgeTlsError::Pem(cert.to_owned(), error))?;
    let key_der = PrivateKeyDer::from_pem_slice(&bytes(key)?);
    let key_der = key_der.map_err(|error| EdgeTlsError::Pem(key.to_owned(), error))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key_der)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn bytes(file: &Path) -> Result<Vec<u8>, EdgeTlsError> {
    fs::read(file).map_err(|error| EdgeTlsError::Read(file.to_owned(), error))
}
