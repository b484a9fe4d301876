//! The single program with both planes: one command, and events flow.

use posthorn::v1::DeliveryState;
use posthorn_harness::{Receiver, Standalone, get};

use super::support::{DEADLINE, follow::await_state, grpcurl::Grpcurl};

#[tokio::test]
async fn one_command_delivers_events_to_the_same_machine() {
    let mut standalone = Standalone::start(&[]).await;
    standalone.ready().await;
    let receiver = Receiver::start().await;
    let client = standalone.default_tenant().await;
    let created = client.create_endpoint(&receiver.url("/hook"), &["*"]).await;
    let emitted = client.emit("order.paid", "{\"amount\":7}").await;
    let requests = receiver.received("/hook").await_count(1, DEADLINE).await;
    assert_eq!(requests[0].webhook_id(), emitted.event_id);
    assert_eq!(requests[0].body, "{\"amount\":7}");
    let secret = standardwebhooks::Webhook::new(&created.secret).expect("a standard secret");
    let verified = secret.verify(&requests[0].body, &requests[0].headers);
    assert!(verified.is_ok());
    await_state(&client, &emitted.event_id, DeliveryState::Delivered).await;
    let status = standalone.terminate().await;
    assert!(status.success(), "{}", standalone.logs());
}

#[tokio::test]
async fn b6_both_planes_show_their_health_and_metrics() {
    let standalone = Standalone::start(&[]).await;
    standalone.ready().await;
    for addr in [standalone.metrics, standalone.node_metrics] {
        for (path, begins) in [("/healthz", "ok"), ("/readyz", "ready"), ("/metrics", "# ")] {
            let page = get(addr, path).await.expect("it answers");
            assert_eq!(page.status, 200, "{path}: {page:?}");
            assert!(page.body.starts_with(begins), "{path}: {page:?}");
        }
        let page = get(addr, "/metrics").await.expect("it answers").body;
        let mut lines = page.lines();
        let build = lines.find(|line| line.starts_with("posthorn_build_info{program=\""));
        let build = build.unwrap_or_else(|| panic!("no version: {page}"));
        let version = format!("version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"));
        assert!(build.ends_with(&version), "{build}");
    }
}

#[tokio::test]
async fn grpcurl_works_with_the_key_in_the_data_folder() {
    let standalone = Standalone::start(&[]).await;
    let key = standalone.key("default.key");
    let grpcurl = Grpcurl::new(standalone.grpc, &key);
    let services = grpcurl.list(None).await.expect("services are listed");
    assert!(services.contains(&"posthorn.v1.EventService".to_owned()));
}

#[tokio::test]
async fn keys_are_readable_by_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;

    let standalone = Standalone::start(&[]).await;
    for file in ["admin.key", "default.key", "master.key"] {
        let path = standalone.folder().join(file);
        let metadata = path
            .metadata()
            .unwrap_or_else(|error| panic!("{file}: {error}"));
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{file}");
    }
}
