//! TLS on every link: callers and nodes to the control plane, nodes to endpoints.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process::Command,
};

use posthorn::v1::{
    DeliveryState, EndpointSettings, ErrorKind, ExplicitRetry, GetTenantRequest, RetryPolicy, Role,
    retry_policy::Schedule,
};
use posthorn_harness::{
    Authority, Client, ControlPlane, ControlPlaneOptions, Deployment, Node, NodeOptions, Receiver,
    Starting, StoreKind, get,
};
use tempfile::TempDir;

use super::support::{
    DEADLINE,
    follow::{attempts_of, await_state},
};

/// A control plane that serves TLS, with a tenant.
struct Secured {
    authority: Authority,
    control: ControlPlane,
    admin: Client,
    node_key: String,
}

impl Secured {
    async fn start() -> Self {
        let authority = Authority::new();
        let options = ControlPlaneOptions {
            args: tls_args(&authority),
            ..ControlPlaneOptions::default()
        };
        let control = ControlPlane::start(options).await;
        let admin = Client::connect_tls(control.grpc, &control.admin_key, &authority.pem()).await;
        let admin = admin.expect("its certificate is trusted");
        let node_key = admin.create_key(&[Role::Node]).await;
        let tenant = admin.create_tenant("test").await;
        Self {
            authority,
            control,
            admin: admin.for_tenant(&tenant),
            node_key,
        }
    }

    /// A node that trusts the control plane, with these arguments too.
    async fn node(&self, args: &[String]) -> Node {
        let root = self.authority.file().display().to_string();
        let mut options = NodeOptions::new(self.control.grpc, &self.node_key);
        options.tls = true;
        options.args = ["--control-plane-ca".to_owned(), root].into();
        options.args.extend_from_slice(args);
        let node = Node::start(options).await;
        node.ready().await;
        node
    }

    /// Makes an endpoint that gets one attempt for each event, and emits an event to it alone.
    async fn one_event(&self, url: String, event_type: &str) -> String {
        let settings = EndpointSettings {
            url,
            subscriptions: vec![event_type.to_owned()],
            retry_policy: Some(RetryPolicy {
                schedule: Some(Schedule::Explicit(ExplicitRetry::default())),
            }),
            ..EndpointSettings::default()
        };
        self.admin.create_endpoint_with(settings).await;
        self.admin.emit(event_type, "{}").await.event_id
    }
}

fn tls_args(authority: &Authority) -> Vec<String> {
    let files = authority.certificate();
    let files = [("--tls-cert", files.certificate), ("--tls-key", files.key)];
    files
        .into_iter()
        .flat_map(|(flag, file)| [flag.to_owned(), file.display().to_string()])
        .collect()
}

#[tokio::test]
async fn an_event_is_delivered_with_tls_on_every_link() {
    let secured = Secured::start().await;
    let theirs = Authority::new();
    let root = theirs.file().display().to_string();
    let _node = secured.node(&["--extra-ca".to_owned(), root]).await;
    for (alpn, event_type) in [("http/1.1", "one"), ("h2", "two")] {
        let receiver = Receiver::start_tls(&theirs, alpn).await;
        let url = receiver.url("/hook");
        assert!(url.starts_with("https://"), "{url}");
        let event_id = secured.one_event(url, event_type).await;
        await_state(&secured.admin, &event_id, DeliveryState::Delivered).await;
        let requests = receiver.received("/hook").await_count(1, DEADLINE).await;
        assert_eq!(requests[0].webhook_id(), event_id, "{alpn}");
    }
}

#[tokio::test]
async fn an_endpoint_whose_root_is_unknown_is_sent_nothing() {
    let secured = Secured::start().await;
    let _node = secured.node(&[]).await;
    for alpn in ["http/1.1", "h2"] {
        let receiver = Receiver::start_tls(&Authority::new(), alpn).await;
        let event_type = alpn.replace(['/', '.'], "_");
        let event_id = secured.one_event(receiver.url("/hook"), &event_type).await;
        let dead = await_state(&secured.admin, &event_id, DeliveryState::Dead).await;
        let attempts = attempts_of(&secured.admin, &dead.delivery_id).await;
        assert_eq!(attempts.len(), 1);
        assert_eq!(
            attempts[0].error_kind(),
            ErrorKind::TlsUnknownIssuer,
            "{attempts:?}"
        );
        assert_eq!(receiver.received("/hook").count(), 0);
    }
}

#[tokio::test]
async fn a_control_plane_whose_root_is_unknown_is_not_spoken_to() {
    let secured = Secured::start().await;
    let (addr, key) = (secured.control.grpc, &secured.control.admin_key);
    let stranger = Authority::new();
    let client = Client::connect_tls(addr, key, &stranger.pem()).await;
    assert!(client.is_err(), "{client:?}");

    let mut public = NodeOptions::new(addr, &secured.node_key);
    public.tls = true;
    let mut other = public.clone();
    let root = stranger.file().display().to_string();
    other.args = vec!["--control-plane-ca".to_owned(), root];
    let mut plain = public.clone();
    plain.tls = false;
    for options in [public, other, plain] {
        let node = Node::start(options).await;
        assert!(node.logged("no session").await, "{}", node.logs());
        let page = get(node.metrics, "/readyz").await.expect("it answers");
        assert_eq!(page.status, 503, "{}", page.body);
    }
}

#[tokio::test]
async fn plaintext_beyond_loopback_is_refused_with_what_to_do() {
    let options = ControlPlaneOptions {
        listen: Some(Ipv4Addr::UNSPECIFIED.into()),
        ..ControlPlaneOptions::default()
    };
    let log = Starting::spawn(options).refused().await;
    for hint in ["--tls-cert", "--tls-key", "--insecure-plaintext"] {
        assert!(log.contains(hint), "{log}");
    }
}

#[tokio::test]
async fn plaintext_beyond_loopback_can_be_insisted_on() {
    let options = ControlPlaneOptions {
        listen: Some(Ipv4Addr::UNSPECIFIED.into()),
        args: vec!["--insecure-plaintext".to_owned()],
        ..ControlPlaneOptions::default()
    };
    let control = ControlPlane::start(options).await;
    assert!(
        control.logged("is in plaintext").await,
        "{}",
        control.logs()
    );
    assert_eq!(control.grpc.ip(), IpAddr::from(Ipv4Addr::UNSPECIFIED));
    let near = SocketAddr::from((Ipv4Addr::LOCALHOST, control.grpc.port()));
    let admin = Client::connect(near, &control.admin_key).await;
    let tenant_id = admin.create_tenant("test").await;
    let request = GetTenantRequest { tenant_id };
    admin
        .tenants()
        .get_tenant(request)
        .await
        .expect("it is there");
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_refused_by_name() {
    let authority = Authority::new();
    let good = tls_args(&authority);
    let root = authority.file().display().to_string();
    let missing = "/nowhere/certificate.pem";
    for (hint, args) in [
        ("--tls-key", good[..2].to_vec()),
        ("--tls-cert", good[2..].to_vec()),
        (
            missing,
            [&["--tls-cert".to_owned(), missing.to_owned()], &good[2..]].concat(),
        ),
        (
            "certificate",
            [&good[..2], &["--tls-key".to_owned(), root]].concat(),
        ),
    ] {
        let options = ControlPlaneOptions {
            args,
            ..ControlPlaneOptions::default()
        };
        let log = Starting::spawn(options).refused().await;
        assert!(log.contains(hint), "{hint}: {log}");
    }
}

/// Tells a process to read its files again.
fn hang_up(pid: u32) {
    let told = Command::new("kill")
        .args(["-HUP", &pid.to_string()])
        .status();
    assert!(told.expect("kill can be run").success());
}

#[tokio::test]
async fn b4_a_sighup_has_the_certificate_read_again_and_ends_nothing() {
    let secured = Secured::start().await;
    let next = Authority::new();
    let (old, new) = (secured.authority.certificate(), next.certificate());
    for (from, to) in [(new.certificate, old.certificate), (new.key, old.key)] {
        fs::copy(from, to).expect("the files can be written");
    }
    hang_up(secured.control.pid());
    assert!(secured.control.logged("was read again").await);
    let (addr, key) = (secured.control.grpc, &secured.control.admin_key);
    let client = Client::connect_tls(addr, key, &next.pem()).await;
    assert!(client.is_ok(), "{client:?}");
    // What stood before stands.
    secured.admin.emit("still.there", "{}").await;
}

#[tokio::test]
async fn b4_a_node_whose_key_is_refused_says_so_once_and_reads_it_again() {
    let deployment = Deployment::start(StoreKind::Sqlite).await;
    let folder = TempDir::new().expect("a folder can be made");
    let file = folder.path().join("node.key");
    let forged = format!("{}x", &deployment.node_key[..deployment.node_key.len() - 1]);
    fs::write(&file, forged).expect("the file can be written");
    let mut options = NodeOptions::new(deployment.control.grpc, "");
    options.args = vec!["--node-key-file".to_owned(), file.display().to_string()];
    let node = Node::start(options).await;
    let refused = "refuses this node's key";
    assert!(node.logged(refused).await, "{}", node.logs());
    fs::write(&file, &deployment.node_key).expect("the file can be written");
    hang_up(node.pid());
    node.ready().await;
    let logs = node.logs();
    let warnings = logs.lines().filter(|line| line.contains(refused));
    // Of the session and of the stream for inbound requests.
    assert!(warnings.count() <= 2, "{logs}");
}
