//! A certificate authority of one's own.

use std::{fs, path::PathBuf, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use tempfile::TempDir;
use tokio_rustls::TlsAcceptor;

/// An authority that nobody trusts who is not told to. Its files go when it is dropped.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

/// A certificate for 127.0.0.1 and its key, in PEM files of the authority.
#[derive(Clone, Debug)]
pub struct CertificateFiles {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Authority {
    /// Makes one, with a certificate for 127.0.0.1.
    pub fn new() -> Self {
        let mut params = CertificateParams::new([]).expect("no name is no wrong name");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key can be made");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a root can be made");
        let folder =
            TempDir::with_prefix("posthorn-authority-").expect("a temporary folder can be made");
        let key = KeyPair::generate().expect("a key can be made");
        let certificate = CertificateParams::new(["127.0.0.1".to_owned()])
            .and_then(|params| params.signed_by(&key, &issuer))
            .expect("a certificate can be issued");
        let this = Self { issuer, folder };
        let files = this.certificate();
        for (path, pem) in [
            (this.file(), this.issuer.pem()),
            (files.certificate, certificate.pem()),
            (files.key, key.serialize_pem()),
        ] {
            fs::write(path, pem).expect("the folder can be written to");
        }
        this
    }

    /// The root, in PEM.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A file with the root, in PEM.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("root.pem")
    }

    /// The certificate for 127.0.0.1.
    pub fn certificate(&self) -> CertificateFiles {
        CertificateFiles {
            certificate: self.folder.path().join("certificate.pem"),
            key: self.folder.path().join("key.pem"),
        }
    }

    /// A server's side of TLS with the certificate, speaking one protocol.
    pub(crate) fn acceptor(&self, alpn: &str) -> TlsAcceptor {
        let files = self.certificate();
        let certificate = CertificateDer::from_pem_file(files.certificate);
        let key = PrivateKeyDer::from_pem_file(files.key);
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("there are TLS versions")
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.expect("we wrote it")],
                key.expect("we wrote it"),
            )
            .expect("the key is the certificate's");
        config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}
