//! Where Posthorn will not deliver to: refused when the endpoint is registered, whatever the spelling.

use posthorn::v1::{CreateEndpointRequest, CreateEndpointResponse, EndpointSettings};
use posthorn_harness::{Deployment, StoreKind};
use tonic::{Response, Status};

use crate::support::{
    DEADLINE,
    refusal::{assert_invalid, refusal},
};

on_both! {
    targets_that_are_not_allowed_are_refused_without_an_address,
    o5_a_target_that_is_not_allowed_has_a_reason_for_programs_and_for_people_who_may_allow_it,
    g3_no_endpoint_is_where_a_part_of_the_installation_listens,
    case_7_an_endpoint_may_be_given_by_a_name_that_leads_to_what_is_allowed,
}

/// URLs that no endpoint may have where the operator allows 127.0.0.0/8 alone.
const REFUSED: &[&str] = &[
    // No URL of ours at all.
    "",
    "/hook",
    "hooks.example.com",
    "ftp://198.41.0.4/",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "https:///hook",
    "https://user@198.41.0.4/",
    "https://user:password@198.41.0.4/",
    "https://198.41.0.4/#fragment",
    "https://198.41.0.4\\@127.0.0.1/",
    "https://198.41.0.4/a b",
    "https://198.41.0.4/\u{7}",
    " https://198.41.0.4/",
    // Plain HTTP where it is not allowed.
    "http://198.41.0.4/",
    // Private, shared, link-local and special addresses.
    "https://0.0.0.0/",
    "https://10.1.2.3/",
    "https://100.64.0.1/",
    "https://100.100.100.200/",
    "https://168.63.129.16/",
    "https://169.254.169.254/latest/meta-data/",
    "https://172.16.0.1/",
    "https://172.31.255.255/",
    "https://192.0.0.192/",
    "https://192.0.2.1/",
    "https://192.88.99.1/",
    "https://192.168.0.1/",
    "https://198.18.0.1/",
    "https://198.51.100.1/",
    "https://203.0.113.1/",
    "https://224.0.0.1/",
    "https://240.0.0.1/",
    "https://255.255.255.255/",
    "https://[::]/",
    "https://[::1]/",
    "https://[64:ff9b::a01:203]/",
    "https://[64:ff9b:1::a01:203]/",
    "https://[100::1]/",
    "https://[2001::1]/",
    "https://[2001:db8::1]/",
    "https://[2002:a01:203::1]/",
    "https://[3fff::1]/",
    "https://[5f00::1]/",
    "https://[fc00::1]/",
    "https://[fd00:ec2::254]/",
    "https://[fe80::1]/",
    "https://[fec0::1]/",
    "https://[ff02::1]/",
    // An IPv4 address within an IPv6 one, even a public or an allowed one.
    "https://[::ffff:198.41.0.4]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::127.0.0.1]/",
    "https://[::ffff:0:127.0.0.1]/",
    // Odd spellings of addresses.
    "https://0x7f000001/",
    "https://0x7f.0.0.1/",
    "https://0177.0.0.1/",
    "https://2130706433/",
    "https://127.1/",
    "https://127.0.1/",
    "https://127.0.0.01/",
    "https://127.0.0.1./",
    "https://①②⑦.0.0.1/",
    "https://3325256708/",
    // What is no name.
    "https://-a.com/",
    "https://a..com/",
    "https://*.com/",
    // Ports of other services, and those below 1024.
    "https://198.41.0.4:22/",
    "https://198.41.0.4:25/",
    "https://198.41.0.4:80/",
    "https://198.41.0.4:2375/",
    "https://198.41.0.4:3306/",
    "https://198.41.0.4:5432/",
    "https://198.41.0.4:6379/",
    "https://198.41.0.4:9092/",
    "https://198.41.0.4:11211/",
    "https://198.41.0.4:27017/",
];

async fn create(
    deployment: &Deployment,
    url: &str,
) -> Result<Response<CreateEndpointResponse>, Status> {
    let settings = EndpointSettings {
        url: url.to_owned(),
        subscriptions: vec!["*".to_owned()],
        ..EndpointSettings::default()
    };
    let request = CreateEndpointRequest {
        tenant_id: deployment.tenant_id.clone(),
        settings: Some(settings),
        ..CreateEndpointRequest::default()
    };
    deployment.admin.endpoints().create_endpoint(request).await
}

async fn targets_that_are_not_allowed_are_refused_without_an_address(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let create = async |url: &str| create(&deployment, url).await;
    for url in REFUSED {
        assert_invalid(url, create(url).await, "settings.url");
    }
    let long = format!("https://198.41.0.4/{}", "x".repeat(2_048));
    assert_invalid("2 KiB", create(&long).await, "settings.url");
    let inside = refusal("inside", create("https://10.1.2.3/").await);
    assert!(inside.message.contains("target_not_allowed"), "{inside:?}");
    assert!(!inside.message.contains("10.1.2.3"), "{inside:?}");
    for url in [
        "https://198.41.0.4/",
        "https://198.41.0.4:8443/hook?x=1",
        "https://[2620:fe::fe]/",
        "http://127.0.0.1:18080/",
    ] {
        let result = create(url).await;
        assert!(result.is_ok(), "{url}: {result:?}");
    }
}

async fn o5_a_target_that_is_not_allowed_has_a_reason_for_programs_and_for_people_who_may_allow_it(
    store: StoreKind,
) {
    let deployment = Deployment::start(store).await;
    for url in ["https://10.1.2.3/", "https://169.254.169.254/latest"] {
        let refused = refusal(url, create(&deployment, url).await);
        assert_eq!(refused.reason, "TARGET_NOT_ALLOWED", "{refused:?}");
        assert!(refused.message.contains("--allow-target"), "{refused:?}");
    }
}

/// Services inside a network are known by names that the public DNS does not have.
async fn case_7_an_endpoint_may_be_given_by_a_name_that_leads_to_what_is_allowed(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let url = deployment.receiver.url("/named");
    let url = url.replace("127.0.0.1", "LOCALHOST.");
    let created = create(&deployment, &url).await;
    let endpoint = created.expect("it leads to loopback").into_inner().endpoint;
    let settings = endpoint.and_then(|endpoint| endpoint.settings);
    let kept = settings.expect("the answer holds the endpoint").url;
    assert!(kept.starts_with("http://localhost:"), "{kept}");
    deployment.admin.emit("a.b", "{}").await;
    let received = deployment.receiver.received("/named");
    received.await_count(1, DEADLINE).await;
}

/// Each plane knows the listeners of the other: the control plane those of the nodes that have a session.
async fn g3_no_endpoint_is_where_a_part_of_the_installation_listens(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let (control, node) = (&deployment.control, &deployment.node);
    for (what, listener) in [
        ("gRPC", control.grpc),
        ("the control plane's metrics", control.metrics),
        ("the edge", node.edge),
        ("the node's metrics", node.metrics),
    ] {
        for host in ["127.0.0.1", "127.0.0.9", "localhost"] {
            let url = format!("http://{host}:{}/", listener.port());
            assert_invalid(what, create(&deployment, &url).await, "settings.url");
        }
    }
}
