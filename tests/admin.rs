//! What an operator sees of who is connected and of what waits.

use posthorn::v1::{
    EndpointSettings, EndpointState, ExplicitRetry, ListBacklogsRequest, ListConsumersRequest,
    ListNodesRequest, RetryPolicy, Role, SetEndpointStateRequest, retry_policy::Schedule,
};
use posthorn_harness::{Answer, Client, Deployment, StoreKind, eventually};
use tonic::Code;

use crate::support::{
    DEADLINE,
    hand_consumer::{HandConsumer, handler},
    refusal::assert_refused,
};

on_both! {
    o3_the_nodes_that_are_connected_are_listed_with_what_they_can_hold,
    o3_the_consumers_of_a_tenant_are_listed_with_what_they_hold,
    o3_what_waits_is_told_by_endpoint,
    o3_what_is_dead_and_what_is_under_way_is_told_by_endpoint_too,
}

async fn o3_the_nodes_that_are_connected_are_listed_with_what_they_can_hold(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let mut another = deployment.another_node().await;
    let list = async |page_size, page_token: &str| {
        let request = ListNodesRequest {
            page_size,
            page_token: page_token.to_owned(),
        };
        let answer = deployment.admin.admin().list_nodes(request).await;
        answer.expect("they are listed").into_inner()
    };
    let first = list(1, "").await;
    let second = list(1, &first.next_page_token).await;
    assert_eq!(second.next_page_token, "");
    let nodes = [first.nodes, second.nodes].concat();
    assert_eq!(nodes.len(), 2);
    assert!(nodes.is_sorted_by_key(|node| node.node_id.clone()));
    for node in &nodes {
        assert!(node.node_id.starts_with("node_") && node.key_id.starts_with("key_"));
        assert_eq!(node.version, env!("CARGO_PKG_VERSION"));
        assert_eq!((node.capacity, node.in_flight), (4_096, 0));
        assert!(!node.name.is_empty() && node.connected_at.is_some());
    }
    another.terminate().await;
    eventually("it is gone", DEADLINE, async || {
        list(0, "").await.nodes.len() == 1
    })
    .await;

    let tenants = deployment.client(&[Role::Admin]).await;
    let refused = tenants
        .admin()
        .list_nodes(ListNodesRequest::default())
        .await;
    assert_refused("a tenant's key", refused, Code::PermissionDenied);
}

async fn o3_the_consumers_of_a_tenant_are_listed_with_what_they_hold(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let list = async |client: &Client, tenant_id: &str| {
        let request = ListConsumersRequest {
            tenant_id: tenant_id.to_owned(),
            ..ListConsumersRequest::default()
        };
        let answer = client.admin().list_consumers(request).await;
        answer.expect("they are listed").into_inner().consumers
    };
    let consumer = deployment.client(&[Role::Consumer]).await;
    let handlers = vec![handler("print", &["*"])];
    let mut stream = HandConsumer::ready(&consumer, "reader", handlers, 2).await;
    deployment.admin.emit("a.b", "{}").await;
    let handout = stream.handout().await;
    let viewer = deployment.client(&[Role::Viewer]).await;
    for (client, tenant_id) in [
        (&viewer, ""),
        (&deployment.admin, ""),
        (&deployment.admin, deployment.tenant_id.as_str()),
    ] {
        let consumers = list(client, tenant_id).await;
        assert_eq!(consumers.len(), 1);
        let one = &consumers[0];
        assert_eq!(one.consumer_id, stream.consumer_id);
        assert_eq!(one.tenant_id, deployment.tenant_id);
        assert_eq!(
            (one.group.as_str(), one.handlers.as_slice()),
            ("reader", &["print".to_owned()][..])
        );
        assert_eq!(one.in_flight, 1);
        assert!(one.key_id.starts_with("key_") && one.connected_at.is_some());
    }
    stream.ack(&handout, "").await;
    eventually("it holds nothing", DEADLINE, async || {
        list(&viewer, "").await[0].in_flight == 0
    })
    .await;
    let other = deployment.admin.create_tenant("other").await;
    assert!(list(&deployment.admin, &other).await.is_empty());
    drop(stream);
    eventually("it is gone", DEADLINE, async || {
        list(&viewer, "").await.is_empty()
    })
    .await;
}

async fn o3_what_waits_is_told_by_endpoint(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let admin = &deployment.admin;
    let list = async |endpoint_id: &str, page_size| {
        let mut request = ListBacklogsRequest {
            tenant_id: deployment.tenant_id.clone(),
            endpoint_id: endpoint_id.to_owned(),
            page_size,
            ..ListBacklogsRequest::default()
        };
        let mut backlogs = Vec::new();
        loop {
            let page = admin.deliveries().list_backlogs(request.clone()).await;
            let page = page.expect("they are listed").into_inner();
            backlogs.extend(page.backlogs);
            if page.next_page_token.is_empty() {
                return backlogs;
            }
            request.page_token = page.next_page_token;
        }
    };
    let url = |path| deployment.receiver.url(path);
    let mut paused = Vec::new();
    for path in ["/a", "/b"] {
        let created = admin.create_endpoint(&url(path), &["a.b"]).await;
        let id = created.endpoint.expect("the answer holds it").endpoint_id;
        let request = SetEndpointStateRequest {
            tenant_id: deployment.tenant_id.clone(),
            endpoint_id: id.clone(),
            state: EndpointState::Paused.into(),
            reason: "it rests".to_owned(),
            ..SetEndpointStateRequest::default()
        };
        let answer = admin.endpoints().set_endpoint_state(request).await;
        answer.expect("it is paused");
        paused.push(id);
    }
    admin.create_endpoint(&url("/idle"), &["never"]).await;
    assert!(list("", 0).await.is_empty());
    for _ in 0..3 {
        admin.emit("a.b", "{}").await;
    }
    for page_size in [0, 1] {
        let backlogs = list("", page_size).await;
        let ids = backlogs.iter().map(|one| one.endpoint_id.clone());
        assert_eq!(ids.collect::<Vec<_>>(), paused);
        for one in &backlogs {
            assert_eq!((one.pending, one.dead, one.in_flight), (3, 0, 0));
            assert!(one.oldest_due_at.is_some());
        }
    }
    assert_eq!(list(&paused[1], 0).await.len(), 1);
    let request = ListBacklogsRequest {
        tenant_id: deployment.tenant_id.clone(),
        endpoint_id: "ep_01h455vb4pex5vsknk084sn02q".to_owned(),
        ..ListBacklogsRequest::default()
    };
    let refused = admin.deliveries().list_backlogs(request).await;
    assert_refused("no such endpoint", refused, Code::NotFound);
}

async fn o3_what_is_dead_and_what_is_under_way_is_told_by_endpoint_too(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let admin = &deployment.admin;
    let mut ids = Vec::new();
    for (path, answer) in [("/dead", Answer::Status(500)), ("/hangs", Answer::Hang)] {
        deployment.receiver.answer(path, answer);
        let settings = EndpointSettings {
            url: deployment.receiver.url(path),
            subscriptions: vec!["a.b".to_owned()],
            retry_policy: Some(RetryPolicy {
                schedule: Some(Schedule::Explicit(ExplicitRetry::default())),
            }),
            ..EndpointSettings::default()
        };
        let created = admin.create_endpoint_with(settings).await.endpoint;
        ids.push(created.expect("the answer holds it").endpoint_id);
    }
    admin.emit("a.b", "{}").await;
    let request = ListBacklogsRequest {
        tenant_id: deployment.tenant_id.clone(),
        ..ListBacklogsRequest::default()
    };
    let wanted = [(&*ids[0], 0, 1, 0), (&*ids[1], 1, 0, 1)];
    eventually("one is dead and one under way", DEADLINE, async || {
        let listed = admin.deliveries().list_backlogs(request.clone()).await;
        let backlogs = listed.expect("they are listed").into_inner().backlogs;
        let told = backlogs.iter();
        let told = told.map(|one| (&*one.endpoint_id, one.pending, one.dead, one.in_flight));
        told.eq(wanted)
    })
    .await;
}
