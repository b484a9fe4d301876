//! TLS towards others: versions 1.2 and 1.3, the public roots, and the operator's own roots.
//!
//! There is no way to switch verification off. The verifier here is that of rustls, whose errors it only tells apart further.

use std::{path::Path, sync::Arc};

use memchr::memmem;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore,
    SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::ring,
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
    server::VerifierBuilderError,
};
use webpki::EndEntityCert;

/// Where a certificate says that its issuer's certificate can be had: id-ad-caIssuers of RFC 5280, 4.2.2.1, in DER. What
/// public authorities issue has it.
const CA_ISSUERS: &[u8] = &[0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x02];

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
    /// The roots cannot be verified with.
    #[error("no certificate can be verified")]
    Verifier(#[source] VerifierBuilderError),
}

/// The certificate came without the one that issued it, and names where a public authority keeps that.
#[derive(Debug, thiserror::Error)]
#[error("the certificate of its issuer was not sent")]
pub(crate) struct IncompleteChain;

/// The configuration for connections to others: the public roots, and those in the file. No protocol is negotiated.
///
/// # Errors
///
/// Fails when the file cannot be used.
pub fn client_config(extra_ca: Option<&Path>) -> Result<ClientConfig, TlsError> {
    let public = webpki_roots::TLS_SERVER_ROOTS.iter().cloned();
    let mut roots: RootCertStore = public.collect();
    if let Some(file) = extra_ca {
        add_roots(&mut roots, file)?;
    }
    let provider = Arc::new(ring::default_provider());
    let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let verifier = Verifier(builder.build().map_err(TlsError::Verifier)?);
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Versions)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(config)
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

/// Verifies as rustls does.
#[derive(Debug)]
struct Verifier(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified =
            self.0
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        verified.map_err(|error| told_apart(error, end_entity, intermediates))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// The same refusal, for its real cause: a certificate that issued itself has no issuer that could be known, and one of a
/// public authority whose issuer's certificate was not sent comes from a server that was set up by half.
fn told_apart(
    error: rustls::Error,
    end_entity: &CertificateDer<'_>,
    sent: &[CertificateDer<'_>],
) -> rustls::Error {
    let (is_unknown, is_other) = match &error {
        rustls::Error::InvalidCertificate(error) => (
            *error == CertificateError::UnknownIssuer,
            matches!(error, CertificateError::Other(_)),
        ),
        _ => (false, false),
    };
    let Ok(certificate) = EndEntityCert::try_from(end_entity) else {
        return error;
    };
    let is_self_issued = certificate.issuer() == certificate.subject();
    // That it is an authority's as well is how webpki refuses what `openssl req -x509` makes.
    if is_self_issued && is_other {
        return CertificateError::UnknownIssuer.into();
    }
    let issued = |other: &CertificateDer<'_>| {
        EndEntityCert::try_from(other).is_ok_and(|other| other.subject() == certificate.issuer())
    };
    let is_public = memmem::find(end_entity, CA_ISSUERS).is_some();
    if is_unknown && !is_self_issued && is_public && !sent.iter().any(issued) {
        return CertificateError::Other(OtherError(Arc::new(IncompleteChain))).into();
    }
    error
}
