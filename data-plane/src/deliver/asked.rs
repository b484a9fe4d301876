//! Whether an endpoint asked for a client certificate in a TLS handshake.
//!
//! Up to TLS 1.2 an endpoint that gets none often says no more than that the handshake failed.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use posthorn_outbound::Failure;
use rustls::{SignatureScheme, client::ResolvesClientCert, sign::CertifiedKey};

/// Has no certificate, and remembers that one was asked for.
#[derive(Debug, Default)]
pub(super) struct Asked(AtomicBool);

impl Asked {
    /// What it is called that the handshake failed.
    pub(super) fn of_handshake(&self, error: &io::Error) -> Failure {
        let failure = posthorn_outbound::of_handshake(error);
        let is_refusal = matches!(
            failure,
            Failure::TlsNoCommonProtocol | Failure::TlsClosed | Failure::TlsError
        );
        if is_refusal && self.0.load(Ordering::Relaxed) {
            return Failure::TlsClientCertificateWanted;
        }
        failure
    }
}

impl ResolvesClientCert for Asked {
    fn resolve(
        &self,
        _root_hint_subjects: &[&[u8]],
        _schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        self.0.store(true, Ordering::Relaxed);
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}
