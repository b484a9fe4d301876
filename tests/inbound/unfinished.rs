//! Bodies that begin and do not end: what they may hold, and for how long.

use bytes::Bytes;
use posthorn::node::v1::ForwardedRequest;
use posthorn::v1::{CreateSourceResponse, Role, SourceSettings};
use posthorn_harness::{
    Client, ControlPlaneOptions, Deployment, Provider, STANDARD_WEBHOOKS, StoreKind, get,
};

use crate::support::hand_edge::{HandEdge, posted, provider_of};

on_both! {
    unfinished_bodies_of_a_key_are_cut_to_its_share_and_those_of_others_go_on,
    unfinished_bodies_of_all_keys_are_cut_to_what_there_is,
    a_body_that_is_not_complete_in_its_time_is_answered_503,
    so_many_requests_of_a_stream_may_be_incomplete,
}

const SECRET: &str = "whsec_AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
const PART_BYTES: usize = 256 * 1_024;
const MIB: usize = 1_024 * 1_024;

/// A deployment with these limits, and a source.
struct Stage {
    deployment: Deployment,
    created: CreateSourceResponse,
    part: Bytes,
}

impl Stage {
    async fn start(store: StoreKind, args: &[&str]) -> Self {
        let options = ControlPlaneOptions {
            args: args.iter().map(|&arg| arg.to_owned()).collect(),
            ..ControlPlaneOptions::default()
        };
        let deployment = Deployment::start_with(store, options, &[]).await;
        let settings = SourceSettings {
            provider: STANDARD_WEBHOOKS.to_owned(),
            ..SourceSettings::default()
        };
        let admin = &deployment.admin;
        let created = admin.create_source_with(settings, &[SECRET]).await;
        Self {
            deployment,
            created,
            part: Bytes::from(vec![b'x'; PART_BYTES]),
        }
    }

    fn provider(&self) -> Provider {
        provider_of(&self.created, SECRET)
    }

    fn node(&self) -> Client {
        let admin = &self.deployment.admin;
        admin.with_key(&self.deployment.node_key)
    }

    /// Under a node's key of its own.
    async fn another_node(&self) -> Client {
        let admin = &self.deployment.admin;
        let key = admin.for_tenant("").create_key(&[Role::Node]).await;
        admin.with_key(&key)
    }

    /// A request that goes on, with the first part of its body.
    fn unfinished(&self) -> ForwardedRequest {
        let source = self.created.source.as_ref().expect("the answer holds it");
        ForwardedRequest {
            more: true,
            ..posted(&source.source_id, &[], self.part.clone())
        }
    }

    /// Forwards so many bytes of unfinished bodies, 16 MiB each; returns their numbers.
    async fn hold(&self, edge: &mut HandEdge, bytes: usize) -> Vec<u64> {
        let mut numbers = Vec::new();
        for count in 0..bytes / PART_BYTES {
            if count % 64 == 0 {
                numbers.push(edge.forward(self.unfinished()).await);
            } else {
                let number = numbers[numbers.len() - 1];
                edge.part(number, self.part.clone(), true).await;
            }
        }
        numbers
    }

    async fn metrics(&self) -> String {
        let page = get(self.deployment.control.metrics, "/metrics").await;
        page.expect("metrics are served").body
    }

    /// Asserts that so many requests were refused for a reason.
    async fn assert_refused(&self, reason: &str, times: usize) {
        let line = format!("posthorn_inbound_refusals_total{{result=\"{reason}\"}} {times}\n");
        let metrics = self.metrics().await;
        assert!(metrics.contains(&line), "{line} is not in {metrics}");
    }
}

/// Whether a request that is whole and genuine is taken.
async fn assert_takes(edge: &mut HandEdge, provider: &Provider, id: &str) {
    assert_eq!(edge.post(provider, id, "{}").await.status, 200, "{id}");
}

async fn unfinished_bodies_of_a_key_are_cut_to_its_share_and_those_of_others_go_on(
    store: StoreKind,
) {
    let stage = Stage::start(store, &["--forward-bytes-per-key", "33554432"]).await;
    let node = stage.node();
    let mut first = HandEdge::open(&node).await;
    let mut second = HandEdge::open(&node).await;
    let held = stage.hold(&mut first, 24 * MIB).await;
    // What is answered comes after what was forwarded before it, so the first stream's bodies are held by now.
    assert_takes(&mut first, &stage.provider(), "msg_1").await;
    let refused = stage.hold(&mut second, 12 * MIB).await;
    let answer = second.answer(refused[0]).await;
    assert_eq!(answer.status, 503);
    let retry_after = |name: &str| name == "retry-after";
    assert!(answer.headers.iter().any(|field| retry_after(&field.name)));
    stage.assert_refused("forward_key_full", 1).await;

    // Whatever fits is taken, of this key too; another key has a share of its own.
    assert_takes(&mut second, &stage.provider(), "msg_2").await;
    let mut other = HandEdge::open(&stage.another_node().await).await;
    stage.hold(&mut other, 12 * MIB).await;
    assert_takes(&mut other, &stage.provider(), "msg_3").await;

    // A stream that ends lets go of what it held, and what is completed is judged.
    first.part(held[0], Bytes::new(), false).await;
    assert_eq!(first.answer(held[0]).await.status, 413);
    drop((first, other, second));
    posthorn_harness::eventually("nothing is held", crate::support::DEADLINE, async || {
        stage.metrics().await.contains("posthorn_forward_bytes 0\n")
    })
    .await;
}

async fn unfinished_bodies_of_all_keys_are_cut_to_what_there_is(store: StoreKind) {
    let args = [
        "--forward-bytes-in-flight",
        "50331648",
        "--forward-bytes-per-key",
        "33554432",
    ];
    let stage = Stage::start(store, &args).await;
    let mut edges = Vec::new();
    for _ in 0..2 {
        let mut edge = HandEdge::open(&stage.another_node().await).await;
        stage.hold(&mut edge, 20 * MIB).await;
        assert_takes(&mut edge, &stage.provider(), "msg_1").await;
        edges.push(edge);
    }
    let mut third = HandEdge::open(&stage.node()).await;
    let refused = stage.hold(&mut third, 12 * MIB).await;
    assert_eq!(third.answer(refused[0]).await.status, 503);
    assert_takes(&mut third, &stage.provider(), "msg_2").await;
    stage.assert_refused("forward_full", 1).await;
}

async fn a_body_that_is_not_complete_in_its_time_is_answered_503(store: StoreKind) {
    let stage = Stage::start(store, &["--forward-body-timeout", "1"]).await;
    let mut edge = HandEdge::open(&stage.node()).await;
    assert_eq!(edge.settings().body_within_ms, 1_000);
    let late = edge.forward(stage.unfinished()).await;
    edge.part(late, stage.part.clone(), true).await;
    assert_eq!(edge.answer(late).await.status, 503);
    stage.assert_refused("forward_late", 1).await;
    // What still comes of it is dropped, and the stream goes on.
    edge.part(late, stage.part.clone(), false).await;
    assert_takes(&mut edge, &stage.provider(), "msg_1").await;
}

async fn so_many_requests_of_a_stream_may_be_incomplete(store: StoreKind) {
    let stage = Stage::start(store, &[]).await;
    let mut edge = HandEdge::open(&stage.node()).await;
    let mut numbers = Vec::new();
    for _ in 0..257 {
        let request = ForwardedRequest {
            body: Bytes::from_static(b"{"),
            ..stage.unfinished()
        };
        numbers.push(edge.forward(request).await);
    }
    assert_eq!(edge.answer(numbers[256]).await.status, 503);
    stage.assert_refused("forward_incomplete", 1).await;
    edge.part(numbers[0], Bytes::from_static(b"}"), false).await;
    assert_eq!(edge.answer(numbers[0]).await.status, 401);
    let again = edge.forward(stage.unfinished()).await;
    edge.part(again, Bytes::new(), false).await;
    assert_eq!(edge.answer(again).await.status, 401);
}
