//! What a genuine body may hold: it is carried as bytes, whatever a text column of a database could store.

use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use posthorn::v1::{ListInboundRequestsRequest, SourceSettings, Verdict};
use posthorn_harness::{Deployment, StoreKind};
use sha2::Sha256;

use crate::support::{
    DEADLINE,
    hand_edge::{HandEdge, posted},
    hex,
};

on_both! {
    case_4_a_genuine_body_with_an_escaped_nul_is_an_event_with_its_bytes,
}

const SECRET: &str = "gh-secret";

async fn case_4_a_genuine_body_with_an_escaped_nul_is_an_event_with_its_bytes(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let settings = SourceSettings {
        provider: "github".to_owned(),
        ..SourceSettings::default()
    };
    let created = deployment
        .admin
        .create_source_with(settings, &[SECRET])
        .await;
    let source_id = created.source.expect("the answer holds it").source_id;
    let url = deployment.receiver.url("/");
    let kind = "github.pull_request_review_comment.created";
    deployment.admin.create_endpoint(&url, &[kind]).await;
    let node = deployment.admin.with_key(&deployment.node_key);
    let mut edge = HandEdge::open(&node).await;

    let bodies = [
        r#"{"action":"created","comment":{"diff_hunk":"@@ \u0000 @@"}}"#,
        r#"{"action":"created","comment":{"diff_hunk":"\ud800 \udc00\ud800 \uffff","\udfff":0}}"#,
        "{\"action\":\"created\",\"comment\":{\"diff_hunk\":\"\u{fffe}\u{fdd0}\u{7f}\"}}",
        r#"{"\ud800":0,"action":"created"}"#,
    ];
    for (number, body) in bodies.iter().enumerate() {
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("a key");
        mac.update(body.as_bytes());
        let signature = format!("sha256={}", hex(&mac.finalize().into_bytes()));
        let delivery = format!("delivery-{number}");
        let headers = [
            ("content-type", "application/json"),
            ("x-github-event", "pull_request_review_comment"),
            ("x-github-delivery", &delivery),
            ("x-hub-signature-256", &signature),
        ];
        let request = posted(
            &source_id,
            &headers,
            Bytes::copy_from_slice(body.as_bytes()),
        );
        let forwarded = edge.forward(request).await;
        assert_eq!(edge.answer(forwarded).await.status, 200, "{body}");
    }

    let request = ListInboundRequestsRequest {
        tenant_id: deployment.tenant_id.clone(),
        verdict: Verdict::Accepted.into(),
        ..ListInboundRequestsRequest::default()
    };
    let mut inbound = deployment.admin.inbound();
    let listed = inbound.list_inbound_requests(request).await;
    let listed = listed.expect("they are listed").into_inner().requests;
    assert_eq!(listed.len(), bodies.len());
    assert!(listed.iter().all(|request| request.event_type == kind));

    let received = deployment.receiver.received("/");
    let received = received.await_count(bodies.len(), DEADLINE).await;
    let mut delivered: Vec<_> = received.iter().map(|request| &request.body[..]).collect();
    let mut posted: Vec<_> = bodies.iter().map(|body| body.as_bytes()).collect();
    delivered.sort_unstable();
    posted.sort_unstable();
    assert_eq!(delivered, posted);
}
