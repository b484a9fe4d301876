//! What belongs to another tenant does not exist.

use std::collections::BTreeSet;

use posthorn::v1::{CreateSourceRequest, ListInboundRequestsRequest, SourceSettings};
use posthorn_harness::{Deployment, StoreKind};
use tonic::Code;

use super::{Caller, stranger};
use crate::support::{
    descriptor::{Rpc, rpcs},
    follow::delivery_of,
    hand_edge::{HandEdge, provider_of},
    raw::{Answer, call, field, frame, send},
    unknown,
};

on_both! {
    another_tenants_things_do_not_exist,
}

async fn another_tenants_things_do_not_exist(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let endpoint = deployment
        .admin
        .create_endpoint(&deployment.receiver.url("/"), &["*"])
        .await;
    let endpoint = endpoint.endpoint.expect("the answer holds the endpoint");
    let event = deployment.admin.emit("a.b", "{}").await.event_id;
    let delivery = delivery_of(&deployment.admin, &event).await.delivery_id;
    let (source, inbound) = make_source(&deployment).await;
    let things = [
        (
            "endpoint_id",
            endpoint.endpoint_id.as_str(),
            unknown::ENDPOINT,
        ),
        ("event_id", &event, unknown::EVENT),
        ("delivery_id", &delivery, unknown::DELIVERY),
        ("source_id", &source, unknown::SOURCE),
        ("inbound_request_id", &inbound, unknown::INBOUND),
    ];
    let other = stranger(&deployment).await;
    let mut reached = BTreeSet::new();
    for rpc in rpcs() {
        // A filter of a list is no thing that is asked for.
        if rpc.path.contains("/List") && !rpc.path.ends_with("ListAttempts") {
            continue;
        }
        for (name, theirs, nobodys) in things {
            let Some(number) = rpc.field(name) else {
                continue;
            };
            let theirs = ask_for(&deployment, &rpc, &other, number, theirs).await;
            let nobodys = ask_for(&deployment, &rpc, &other, number, nobodys).await;
            assert_eq!(
                (theirs.code, theirs.message),
                (nobodys.code, nobodys.message),
                "{}: what is another's and what is nobody's look alike",
                rpc.path
            );
            reached.insert(name);
        }
    }
    assert_eq!(reached.len(), things.len());
}

/// Makes a source of the deployment's tenant and a request to it, and returns their ids.
async fn make_source(deployment: &Deployment) -> (String, String) {
    let settings = SourceSettings {
        provider: "standard_webhooks".to_owned(),
        ..SourceSettings::default()
    };
    let request = CreateSourceRequest {
        tenant_id: deployment.tenant_id.clone(),
        settings: Some(settings),
        ..CreateSourceRequest::default()
    };
    let made = deployment.admin.sources().create_source(request).await;
    let made = made.expect("it is made").into_inner();
    let provider = provider_of(&made, &made.secret);
    let node = deployment.admin.with_key(&deployment.node_key);
    let mut edge = HandEdge::open(&node).await;
    edge.post(&provider, "evt_1", "{}").await;
    let request = ListInboundRequestsRequest {
        tenant_id: deployment.tenant_id.clone(),
        ..ListInboundRequestsRequest::default()
    };
    let listed = deployment
        .admin
        .inbound()
        .list_inbound_requests(request)
        .await;
    let requests = listed.expect("they are listed").into_inner().requests;
    let source = made.source.expect("the answer holds the source");
    (source.source_id, requests[0].inbound_request_id.clone())
}

/// Asks as the caller for one thing, with every other field that an RPC may demand.
async fn ask_for(
    deployment: &Deployment,
    rpc: &Rpc,
    caller: &Caller,
    number: u32,
    id: &str,
) -> Answer {
    let mut request = field(number, id.as_bytes());
    for (name, value) in [("reason", &b"curious"[..]), ("etag", b"1")] {
        if let Some(number) = rpc.field(name) {
            request.extend(field(number, value));
        }
    }
    if let Some(number) = rpc.field("update_mask") {
        request.extend(field(number, &field(1, b"name")));
    }
    if let Some(number) = rpc.field("state") {
        // A number, not bytes.
        request.extend([u8::try_from(number << 3).expect("fields are few"), 1]);
    }
    if rpc.path.ends_with("UpdateEndpoint") {
        let settings = rpc.field("settings").expect("it has settings");
        request.extend(field(settings, &field(1, b"mine")));
    }
    let addr = deployment.control.grpc;
    let body = frame(false, &request);
    let answer = send(addr, call(addr, &rpc.path, &caller.key), body).await;
    let redrives = rpc.path.contains("DeadLetters");
    assert!(
        answer.code == Some(Code::NotFound) || redrives && answer.code == Some(Code::Ok),
        "{}: {answer:?}",
        rpc.path
    );
    answer
}
