//! TLS at the edge: who may do without, what is offered, and how a certificate is renewed.

use std::{fs, net::SocketAddr, path::Path, sync::Arc};

use posthorn_data_plane::{Config, DataPlane, EdgeConfig};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName},
};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{SOON, World, patient, post};
use crate::support::{Client, Forwarded, connect};

const NAME: &str = "in.example";

/// A certificate in files, and clients that trust it.
pub(super) struct Certificate {
    folder: TempDir,
    der: CertificateDer<'static>,
}

impl Certificate {
    pub(super) fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        let der = issue(folder.path());
        Self { folder, der }
    }

    /// Settings that use it.
    pub(super) fn config(&self) -> EdgeConfig {
        EdgeConfig {
            tls_cert: Some(self.folder.path().join("cert.pem")),
            tls_key: Some(self.folder.path().join("key.pem")),
            tls_reload: SOON,
            ..patient()
        }
    }

    /// Puts another one into the files, which is then trusted instead.
    fn renew(&mut self) {
        self.der = issue(self.folder.path());
    }

    /// Connects, offering these protocols.
    pub(super) async fn connect(
        &self,
        edge: SocketAddr,
        protocols: &[&str],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).expect("a root");
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        let name = ServerName::try_from(NAME).expect("a name");
        TlsConnector::from(Arc::new(config))
            .connect(name, connect(edge).await)
            .await
    }
}

fn issue(folder: &Path) -> CertificateDer<'static> {
    let issued = generate_simple_self_signed([NAME.to_owned()]);
    let CertifiedKey { cert, signing_key } = issued.expect("a certificate");
    fs::write(folder.join("key.pem"), signing_key.serialize_pem()).expect("a file");
    fs::write(folder.join("cert.pem"), cert.pem()).expect("a file");
    cert.der().clone()
}

async fn world(certificate: &Certificate) -> (World, Forwarded) {
    World::start(certificate.config()).await
}

#[tokio::test]
async fn requests_are_taken_over_tls_by_either_version_as_the_client_can() {
    let certificate = Certificate::new();
    let (world, stream) = world(&certificate).await;
    let mut requests = stream.answer_all();
    for (offered, chosen) in [
        (&["h2", "http/1.1"][..], Some(&b"h2"[..])),
        (&["http/1.1"], Some(b"http/1.1")),
        (&[], None),
    ] {
        let stream = certificate
            .connect(world.node.edge, offered)
            .await
            .expect("TLS");
        assert_eq!(stream.get_ref().1.alpn_protocol(), chosen);
        if chosen == Some(b"h2") {
            continue;
        }
        let mut client = Client::new(stream);
        client.send(post("over TLS")).await;
        assert_eq!(client.answer().await.status, 200);
        assert_eq!(requests.request().await.body, "over TLS");
    }
}

#[tokio::test]
async fn a_client_that_does_not_speak_tls_is_closed_in_its_time() {
    let certificate = Certificate::new();
    let config = EdgeConfig {
        tls_timeout: SOON,
        ..certificate.config()
    };
    let (world, _stream) = World::start(config).await;
    world.client().await.closed().await;
    let closed = "posthorn_edge_connections_closed_total{reason=\"tls\"}";
    world.until_metric(closed, 1).await;
    let mut plain = connect(world.node.edge).await;
    let sent = tokio::io::AsyncWriteExt::write_all(&mut plain, post("plain").as_bytes()).await;
    sent.expect("it is sent");
    world.until_metric(closed, 2).await;
}

#[tokio::test]
async fn a_renewed_certificate_is_used_without_a_restart_and_a_broken_one_is_not() {
    let mut certificate = Certificate::new();
    let (world, _stream) = world(&certificate).await;
    certificate
        .connect(world.node.edge, &[])
        .await
        .expect("TLS");
    certificate.renew();
    while certificate.connect(world.node.edge, &[]).await.is_err() {}
    let key = certificate.folder.path().join("key.pem");
    fs::write(&key, "no key").expect("a file");
    for _ in 0..20 {
        certificate
            .connect(world.node.edge, &[])
            .await
            .expect("the old one stays");
    }
    certificate.renew();
    while certificate.connect(world.node.edge, &[]).await.is_err() {}
}

#[tokio::test]
async fn an_edge_without_tls_for_everybody_does_not_start_unless_a_proxy_adds_it() {
    let start = async |behind_tls_proxy| {
        let config = Config {
            node_key: Some("phk_test_key".to_owned().into()),
            metrics_listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            edge: EdgeConfig {
                listen: SocketAddr::from(([0, 0, 0, 0], 0)),
                behind_tls_proxy,
                ..EdgeConfig::default()
            },
            ..Config::default()
        };
        DataPlane::bind(config)
            .await
            .map(|_| ())
            .map_err(|error| error.to_string())
    };
    let refused = start(false).await.expect_err("plaintext for everybody");
    assert!(refused.contains("--edge-tls-cert"), "{refused}");
    assert_eq!(start(true).await, Ok(()));
}
