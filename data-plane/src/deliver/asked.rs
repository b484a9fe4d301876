//! Whether an endpoint asked for a client certificate in a TLS handshake.
//!
//! Up to TLS 1.2 an endpoint that gets none often says no more than that the handshake failed. All connections have one
//! configuration, since rustls resumes a session only under the very resolver that it began with; so what is asked is noted
//! for the task whose handshake it is.

use std::{cell::Cell, io, sync::Arc};

use posthorn_outbound::Failure;
use rustls::{SignatureScheme, client::ResolvesClientCert, sign::CertifiedKey};
use tokio::task_local;
use tracing::debug;

task_local! {
    /// Whether the endpoint of the handshake under way asked.
    static ASKED: Cell<bool>;
}

/// Has no certificate, and notes that one was asked for.
#[derive(Debug)]
pub(super) struct NoCertificate;

/// What a handshake comes to that is made with [`NoCertificate`], or what it is called that it failed.
pub(super) async fn named<T>(handshake: impl Future<Output = io::Result<T>>) -> Result<T, Failure> {
    let named = async { handshake.await.map_err(|error| failure(&error)) };
    ASKED.scope(Cell::new(false), named).await
}

fn failure(error: &io::Error) -> Failure {
    debug!(%error, "no tls connection");
    let failure = posthorn_outbound::of_handshake(error);
    let is_refusal = matches!(
        failure,
        Failure::TlsNoCommonProtocol | Failure::TlsClosed | Failure::TlsError
    );
    if is_refusal && ASKED.with(Cell::get) {
        return Failure::TlsClientCertificateWanted;
    }
    failure
}

impl ResolvesClientCert for NoCertificate {
    fn resolve(
        &self,
        _root_hint_subjects: &[&[u8]],
        _schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        // Within a handshake there is always one to note it for.
        let _no_handshake = ASKED.try_with(|asked| asked.set(true));
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}
