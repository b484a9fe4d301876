//! TLS towards endpoints: who is trusted and who is not.

use std::{io::Write as _, sync::Arc};

use posthorn::node::v1::ErrorKind;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DnType, IsCa, KeyPair,
    date_time_ymd,
};
use rustls::{
    HandshakeKind, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer},
    version::TLS12,
};
use tempfile::NamedTempFile;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{
    Node, hasty_lease, lease,
    zoo::{Log, Zoo, read_to_end},
};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// A certificate authority of the test, and the file that makes a node trust it.
pub(super) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    pub(super) file: NamedTempFile,
}

impl Authority {
    pub(super) fn new() -> Self {
        Self::named("an authority")
    }

    fn named(name: &str) -> Self {
        let mut params = CertificateParams::new([]).expect("parameters");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a root");
        let mut file = NamedTempFile::new().expect("a file");
        file.write_all(issuer.pem().as_bytes())
            .expect("a certificate in it");
        Self { issuer, file }
    }

    /// Parameters of a certificate for the zoo's address.
    pub(super) fn params() -> CertificateParams {
        CertificateParams::new(["127.0.0.1".to_owned()]).expect("parameters")
    }

    /// A server's side of TLS with a certificate of this authority.
    pub(super) fn acceptor(&self, params: &CertificateParams, alpn: &[&str]) -> TlsAcceptor {
        let (chain, key) = self.certificate(params);
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("a certificate");
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }

    fn certificate(
        &self,
        params: &CertificateParams,
    ) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        (vec![certificate.der().clone()], key)
    }
}

/// A server that speaks TLS and then behaves.
pub(super) async fn tls_zoo<F>(
    acceptor: TlsAcceptor,
    behave: impl Fn(TlsStream<TcpStream>, Arc<Log>) -> F + Clone + Send + Sync + 'static,
) -> Zoo
where
    F: Future<Output = ()> + Send + 'static,
{
    Zoo::start(move |stream, log| {
        let (acceptor, behave) = (acceptor.clone(), behave.clone());
        async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                behave(stream, log).await;
            }
        }
    })
    .await
}

async fn answering(acceptor: TlsAcceptor) -> Zoo {
    tls_zoo(acceptor, |mut stream, log| async move {
        while log.read_request(&mut stream).await.is_some() {
            if stream.write_all(OK).await.is_err() {
                break;
            }
        }
    })
    .await
}

pub(super) fn url(zoo: &Zoo) -> String {
    format!("https://{}/hook", zoo.address())
}

#[tokio::test]
async fn an_endpoint_of_a_trusted_root_is_delivered_to_over_one_connection() {
    for alpn in [&["http/1.1"][..], &[]] {
        let authority = Authority::new();
        let zoo = answering(authority.acceptor(&Authority::params(), alpn)).await;
        let node = Node::trusting(authority.file.path());
        for _ in 0..3 {
            assert_eq!(node.answer(lease(&url(&zoo))).await.status_code, 200);
        }
        assert_eq!((zoo.connections(), zoo.requests().len()), (1, 3));
    }
}

#[tokio::test]
async fn a_second_connection_resumes_the_session_of_the_first() {
    let authority = Authority::new();
    let acceptor = authority.acceptor(&Authority::params(), &["http/1.1"]);
    let zoo = tls_zoo(acceptor, |mut stream, log| async move {
        let status = match stream.get_ref().1.handshake_kind() {
            Some(HandshakeKind::Resumed) => 202,
            _ => 200,
        };
        log.read_request(&mut stream).await;
        let answer =
            format!("HTTP/1.1 {status} OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        let _gone = stream.write_all(answer.as_bytes()).await;
    })
    .await;
    let node = Node::trusting(authority.file.path());
    for expected in [200, 202] {
        let answer = node.answer(lease(&url(&zoo))).await;
        assert_eq!(answer.status_code, expected);
    }
}

#[tokio::test]
async fn case_11_a_certificate_that_does_not_prove_the_endpoint_is_told_by_what_is_wrong() {
    let trusted = Authority::new();
    let (same, unknown) = (Authority::new(), Authority::named("another"));
    let mut expired = Authority::params();
    expired.not_before = date_time_ymd(2020, 1, 1);
    expired.not_after = date_time_ymd(2021, 1, 1);
    let mut early = Authority::params();
    early.not_before = date_time_ymd(2090, 1, 1);
    early.not_after = date_time_ymd(2091, 1, 1);
    let other_name = CertificateParams::new(["127.0.0.2".to_owned()]).expect("parameters");
    let mut common_name = CertificateParams::new([]).expect("parameters");
    common_name
        .distinguished_name
        .push(DnType::CommonName, "127.0.0.1");
    for (expected, authority, params) in [
        (ErrorKind::TlsUnknownIssuer, &unknown, Authority::params()),
        (ErrorKind::TlsUnknownIssuer, &same, Authority::params()),
        (ErrorKind::TlsIncompleteChain, &unknown, public_params()),
        (ErrorKind::TlsCertificateExpired, &trusted, expired),
        (ErrorKind::TlsCertificateNotYetValid, &trusted, early),
        (ErrorKind::TlsWrongName, &trusted, other_name),
        (ErrorKind::TlsWrongName, &trusted, common_name),
    ] {
        let zoo = answering(authority.acceptor(&params, &[])).await;
        let error = Node::trusting(trusted.file.path())
            .error(lease(&url(&zoo)))
            .await;
        assert_eq!(error, expected);
        assert!(zoo.requests().is_empty(), "{expected:?}");
    }
}

/// Parameters of a certificate that says where its issuer's can be had, as public authorities write them.
fn public_params() -> CertificateParams {
    let mut params = Authority::params();
    let at = b"http://ca.example/1";
    let access = [
        &[0x30, 33, 0x30, 31, 0x06, 8][..],
        &[0x2b, 6, 1, 5, 5, 7, 0x30, 2, 0x86, 19],
        at,
    ];
    let oid = [1, 3, 6, 1, 5, 5, 7, 1, 1];
    params
        .custom_extensions
        .push(CustomExtension::from_oid_content(&oid, access.concat()));
    params
}

#[tokio::test]
async fn case_11_a_certificate_that_issued_itself_has_no_known_issuer() {
    for is_ca in [IsCa::NoCa, IsCa::Ca(BasicConstraints::Unconstrained)] {
        let mut params = Authority::params();
        params.is_ca = is_ca;
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("a certificate");
        let zoo = answering(TlsAcceptor::from(Arc::new(config))).await;
        let error = Node::new().error(lease(&url(&zoo))).await;
        assert_eq!(error, ErrorKind::TlsUnknownIssuer);
    }
}

#[tokio::test]
async fn case_11_a_handshake_that_the_endpoint_ends_is_told_by_how() {
    for (answer, expected) in [
        // Fatal alerts of RFC 8446, 6: handshake_failure, protocol_version, internal_error.
        (
            &b"\x15\x03\x03\x00\x02\x02\x28"[..],
            ErrorKind::TlsNoCommonProtocol,
        ),
        (
            b"\x15\x03\x01\x00\x02\x02\x46",
            ErrorKind::TlsNoCommonProtocol,
        ),
        (b"\x15\x03\x03\x00\x02\x02\x50", ErrorKind::TlsError),
        (b"", ErrorKind::TlsClosed),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", ErrorKind::TlsNotTls),
        (b"SSH-2.0-OpenSSH_9.2\r\n", ErrorKind::TlsNotTls),
    ] {
        let zoo = Zoo::start(move |mut stream, _| async move {
            let mut hello = [0; 64];
            let _hello = stream.read(&mut hello).await;
            let _closed = stream.write_all(answer).await;
        })
        .await;
        let error = Node::new().error(lease(&url(&zoo))).await;
        assert_eq!(error, expected, "{answer:?}");
    }
}

#[tokio::test]
async fn case_11_an_endpoint_that_wants_a_client_certificate_says_so() {
    let authority = Authority::new();
    for (versions, alpn) in [
        (rustls::ALL_VERSIONS, &[][..]),
        (rustls::ALL_VERSIONS, &["h2"]),
        (&[&TLS12], &[]),
        (&[&TLS12], &["h2"]),
    ] {
        let provider = Arc::new(ring::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(authority.issuer.der().clone()).expect("a root");
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
            Arc::new(roots),
            provider.clone(),
        );
        let (chain, key) = authority.certificate(&Authority::params());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("versions")
            .with_client_cert_verifier(verifier.build().expect("a verifier"))
            .with_single_cert(chain, key)
            .expect("a certificate");
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let zoo = answering(TlsAcceptor::from(Arc::new(config))).await;
        let error = Node::trusting(authority.file.path())
            .error(lease(&url(&zoo)))
            .await;
        assert_eq!(error, ErrorKind::TlsClientCertificateWanted);
    }
}

#[tokio::test]
async fn plain_http_at_a_tls_url_is_not_tried_in_plain() {
    let zoo = Zoo::start(|mut stream, _| async move {
        let _closed = stream.write_all(OK).await;
        read_to_end(&mut stream).await;
    })
    .await;
    assert_eq!(
        Node::new().error(lease(&url(&zoo))).await,
        ErrorKind::TlsNotTls
    );
    assert_eq!(zoo.connections(), 1);
}

#[tokio::test]
async fn tls_at_a_plain_url_is_no_http() {
    let authority = Authority::new();
    let zoo = answering(authority.acceptor(&Authority::params(), &[])).await;
    let plain = url(&zoo).replace("https", "http");
    let error = Node::trusting(authority.file.path())
        .error(lease(&plain))
        .await;
    assert_eq!(error, ErrorKind::AnswerNotHttp);
}

#[tokio::test]
async fn a_handshake_that_stalls_times_out_at_the_limit_for_connecting() {
    let zoo = Zoo::start(|mut stream, log| async move {
        read_to_end(&mut stream).await;
        log.close();
    })
    .await;
    let mut slow_connect = lease(&url(&zoo));
    slow_connect.connect_timeout_ms = super::SHORT_MS;
    let node = Node::new();
    assert_eq!(node.error(slow_connect).await, ErrorKind::TlsTimeout);
    assert_eq!(
        node.error(hasty_lease(&url(&zoo))).await,
        ErrorKind::TlsTimeout
    );
    zoo.until_closed(2).await;
}
