//! Certificates that a provider publishes for its signatures: reading, validity, names, key, chain.
//!
//! Only what the signature schemes need. There is no revocation check, and nothing is fetched.

use std::time::Duration;

use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::{
    pem::Pem,
    prelude::{ASN1Time, FromDer as _, GeneralName, X509Certificate},
};

use crate::{Refusal, crypto::asym::PublicKey, remote::FETCHED_BYTES_MAX, scheme::Algorithm};

/// The most certificates that are read from one place.
const CERTIFICATES_MAX: usize = 10;

/// What the certificates of a chain may be signed with.
const CHAIN_ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] = &[
    webpki::ring::RSA_PKCS1_2048_8192_SHA256,
    webpki::ring::RSA_PKCS1_2048_8192_SHA384,
    webpki::ring::RSA_PKCS1_2048_8192_SHA512,
    webpki::ring::ECDSA_P256_SHA256,
    webpki::ring::ECDSA_P256_SHA384,
    webpki::ring::ECDSA_P384_SHA256,
    webpki::ring::ECDSA_P384_SHA384,
];

/// The certificates of a PEM text, in DER, in the order given; text around them is passed over.
///
/// # Errors
/// `BadCertificate` when there is none, when one cannot be read, or when there are too many.
pub(super) fn read_pem(pem: &[u8]) -> Result<Vec<Vec<u8>>, Refusal> {
    if pem.len() > FETCHED_BYTES_MAX {
        return Err(Refusal::BadCertificate);
    }
    let mut ders = Vec::new();
    for block in Pem::iter_from_buffer(pem) {
        let block = block.map_err(|_| Refusal::BadCertificate)?;
        if block.label != "CERTIFICATE" || ders.len() == CERTIFICATES_MAX {
            return Err(Refusal::BadCertificate);
        }
        ders.push(block.contents);
    }
    if ders.is_empty() {
        return Err(Refusal::BadCertificate);
    }
    Ok(ders)
}

/// One certificate, read.
pub(super) struct Certificate<'a>(X509Certificate<'a>);

impl<'a> Certificate<'a> {
    /// Reads DER; nothing may follow it.
    ///
    /// # Errors
    /// `BadCertificate` when it is no certificate.
    pub(super) fn read(der: &'a [u8]) -> Result<Self, Refusal> {
        match X509Certificate::from_der(der) {
            Ok(([], certificate)) => Ok(Self(certificate)),
            _ => Err(Refusal::BadCertificate),
        }
    }

    /// Checks that `now_ms` (epoch milliseconds) lies in the certificate's validity.
    ///
    /// # Errors
    /// `BadCertificate` when it does not.
    pub(super) fn check_validity(&self, now_ms: i64) -> Result<(), Refusal> {
        let now = ASN1Time::from_timestamp(now_ms.div_euclid(1000))
            .map_err(|_| Refusal::BadCertificate)?;
        if self.0.validity().is_valid_at(now) {
            Ok(())
        } else {
            Err(Refusal::BadCertificate)
        }
    }

    /// Checks that the certificate is for somebody whose name `accepts` takes: one of its DNS names or, when it has
    /// none, its common name.
    ///
    /// # Errors
    /// `BadCertificate` when it is for nobody or for somebody else.
    pub(super) fn check_name(&self, accepts: impl Fn(&str) -> bool) -> Result<(), Refusal> {
        let names = self.names()?;
        if names.iter().any(|name| accepts(&name.to_ascii_lowercase())) {
            Ok(())
        } else {
            Err(Refusal::BadCertificate)
        }
    }

    fn names(&self) -> Result<Vec<&str>, Refusal> {
        let alternative = self
            .0
            .subject_alternative_name()
            .map_err(|_| Refusal::BadCertificate)?;
        let mut names: Vec<&str> = alternative
            .iter()
            .flat_map(|extension| &extension.value.general_names)
            .filter_map(|name| match name {
                GeneralName::DNSName(name) => Some(*name),
                _ => None,
            })
            .collect();
        if names.is_empty() {
            let common = self.0.subject().iter_common_name();
            names.extend(common.filter_map(|name| name.as_str().ok()));
        }
        Ok(names)
    }

    /// Whether this is the certificate of a serial number, written in upper-case hex.
    pub(super) fn has_serial(&self, hex: &str) -> bool {
        let own = hex::encode_upper(self.0.tbs_certificate.serial.to_bytes_be());
        own.trim_start_matches('0') == hex.trim_start_matches('0')
    }

    /// Verifies a signature with the certificate's key, which must be an RSA key.
    ///
    /// # Errors
    /// `BadCertificate` when the key is no RSA key, `WrongSignature` when the signature is not the key's.
    pub(super) fn verify_rsa(
        &self,
        alg: Algorithm,
        content: &[u8],
        signature: &[u8],
    ) -> Result<(), Refusal> {
        match PublicKey::from_info(self.0.public_key()) {
            Some(key @ PublicKey::Rsa { .. }) => key
                .verify(alg, content, signature)
                .then_some(())
                .ok_or(Refusal::WrongSignature),
            _ => Err(Refusal::BadCertificate),
        }
    }
}

/// Checks that the first certificate leads to a trusted one at `now_ms`: to an authority of the Mozilla list or to one
/// of `trusted` (DER). The others of `chain` are intermediates.
///
/// # Errors
/// `BadCertificate` when it does not, or when one of them is out of date.
pub(super) fn check_chain(
    chain: &[Vec<u8>],
    trusted: &[Vec<u8>],
    now_ms: i64,
) -> Result<(), Refusal> {
    let bad = |_| Refusal::BadCertificate;
    let (leaf, others) = chain.split_first().ok_or(Refusal::BadCertificate)?;
    let leaf = CertificateDer::from(leaf.as_slice());
    let leaf = EndEntityCert::try_from(&leaf).map_err(bad)?;
    let trusted: Vec<CertificateDer<'_>> = ders(trusted);
    let mut anchors: Vec<TrustAnchor<'_>> = trusted
        .iter()
        .map(anchor_from_trusted_cert)
        .collect::<Result<_, _>>()
        .map_err(bad)?;
    anchors.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    let since_1970 = u64::try_from(now_ms).map_err(|_| Refusal::BadCertificate)?;
    leaf.verify_for_usage(
        CHAIN_ALGORITHMS,
        &anchors,
        &ders(others),
        UnixTime::since_unix_epoch(Duration::from_millis(since_1970)),
        KeyUsage::server_auth(),
        None,
        None,
    )
    .map(|_| ())
    .map_err(bad)
}

fn ders(certificates: &[Vec<u8>]) -> Vec<CertificateDer<'_>> {
    certificates
        .iter()
        .map(|der| CertificateDer::from(der.as_slice()))
        .collect()
}
