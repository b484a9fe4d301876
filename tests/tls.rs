//! TLS on every link: callers and nodes to the control plane, nodes to endpoints.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use posthorn::v1::{
    DeliveryState, EndpointSettings, ErrorKind, ExplicitRetry, GetTenantRequest, RetryPolicy, Role,
    retry_policy::Schedule,
};
use posthorn_harness::{
    Authority, Client, ControlPlane, ControlPlaneOptions, Node, NodeOptions, Receiver, Starting,
    get,
};

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
