//! Keys that end: on every stream, and before everything else that goes on.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use posthorn::v1::{
    CreateApiKeyRequest, CreateEventTypeRequest, DeleteTenantRequest, EmitEventsRequest,
    RevokeApiKeyRequest, Role,
};
use posthorn_harness::{Client, Deployment, StoreKind};
use tokio::{
    sync::mpsc,
    task::{JoinHandle, JoinSet},
    time::timeout,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Status, Streaming};

use crate::support::{
    DEADLINE,
    hand_consumer::{HandConsumer, handler},
    hand_edge::HandEdge,
    hand_node::HandNode,
    time::{HOUR, from_now},
};

on_both! {
    a_revoked_key_ends_its_streams_while_others_flood_the_registry,
    an_expired_key_ends_its_streams,
    the_keys_of_a_deleted_tenant_end_their_streams,
}

/// How many callers change the registry at a time.
const CREATORS: usize = 48;

/// Callers that declare one event type after the other until they are told to stop.
struct Flood {
    is_over: Arc<AtomicBool>,
    creators: JoinSet<()>,
}

impl Flood {
    fn begin(client: &Client) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let mut creators = JoinSet::new();
        for creator in 0..CREATORS {
            let (client, is_over) = (client.clone(), Arc::clone(&is_over));
            creators.spawn(async move {
                for number in 0_u32.. {
                    if is_over.load(Ordering::Relaxed) {
                        return;
                    }
                    let request = CreateEventTypeRequest {
                        tenant_id: client.tenant_id.clone(),
                        name: format!("flood.c{creator}.n{number}"),
                        ..CreateEventTypeRequest::default()
                    };
                    // Some are refused: that is what limits are for.
                    let _ = client.event_types().create_event_type(request).await;
                }
            });
        }
        Self { is_over, creators }
    }

    async fn end(mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        while let Some(ended) = self.creators.join_next().await {
            ended.expect("a creator ends in order");
        }
    }
}

/// A key that expires in so many seconds: its id, and a client under it.
async fn new_key(admin: &Client, tenant_id: &str, roles: &[Role], life_s: i64) -> (String, Client) {
    let request = CreateApiKeyRequest {
        tenant_id: tenant_id.to_owned(),
        name: "it ends".to_owned(),
        roles: roles.iter().map(|role| (*role).into()).collect(),
        expires_at: Some(from_now(life_s)),
        ..CreateApiKeyRequest::default()
    };
    let created = admin.api_keys().create_api_key(request).await;
    let created = created.expect("it is created").into_inner();
    let key = created.key.expect("the answer holds it");
    (key.key_id, admin.with_key(&created.api_key))
}

async fn revoke(admin: &Client, key_id: &str) {
    let request = RevokeApiKeyRequest {
        key_id: key_id.to_owned(),
    };
    let revoked = admin.api_keys().revoke_api_key(request).await;
    let key = revoked.expect("it is revoked").into_inner().key;
    assert!(key.expect("the answer holds it").revoked_at.is_some());
}

/// Opens a stream that emits, and returns what it ends with.
async fn emitting(client: &Client) -> JoinHandle<Status> {
    let (requests, stream) = mpsc::channel(1);
    let event = client.event("a.b", "{}");
    let message = EmitEventsRequest {
        sequence: 1,
        events: vec![event],
    };
    requests.send(message).await.expect("there is room");
    let answers = client
        .events()
        .emit_events(ReceiverStream::new(stream))
        .await;
    let mut answers = answers.expect("it opens").into_inner();
    answers.message().await.expect("the stream stands");
    tokio::spawn(async move {
        let _open = requests;
        end_of(answers).await
    })
}

async fn end_of<T>(mut answers: Streaming<T>) -> Status {
    loop {
        match answers.message().await {
            Ok(Some(_)) => {}
            Ok(None) => return Status::ok("it ended"),
            Err(status) => return status,
        }
    }
}

/// A question to reflection, as far as we ask it.
#[derive(Clone, PartialEq, prost::Message)]
struct Ask {
    #[prost(string, tag = "7")]
    list_services: String,
}

/// An answer of it, as far as we read it.
#[derive(Clone, PartialEq, prost::Message)]
struct Told {
    #[prost(string, tag = "1")]
    valid_host: String,
}

/// Opens a stream of reflection, and returns what it ends with.
async fn reflecting(client: &Client) -> JoinHandle<Status> {
    let (requests, stream) = mpsc::channel(1);
    let ask = Ask {
        list_services: "*".to_owned(),
    };
    requests.send(ask).await.expect("there is room");
    let mut grpc = tonic::client::Grpc::new(client.authorized());
    grpc.ready().await.expect("the connection stands");
    let path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    let codec = tonic_prost::ProstCodec::<Ask, Told>::default();
    let request = Request::new(ReceiverStream::new(stream));
    let path = http::uri::PathAndQuery::from_static(path);
    let answers = grpc.streaming(request, path, codec).await;
    let mut answers = answers.expect("it opens").into_inner();
    answers.message().await.expect("the stream stands");
    tokio::spawn(async move {
        let _open = requests;
        end_of(answers).await
    })
}

async fn assert_ends(what: &str, end: impl Future<Output = Status>) {
    let status = timeout(DEADLINE, end).await.expect("the stream ends");
    assert_eq!(status.code(), Code::Unauthenticated, "{what}: {status:?}");
}

async fn a_revoked_key_ends_its_streams_while_others_flood_the_registry(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let installation = deployment.control.admin().await;
    let tenant = &deployment.tenant_id;
    let roles = [Role::Emitter, Role::Consumer];
    let (key_id, client) = new_key(&deployment.admin, tenant, &roles, 3_600).await;
    let (node_key_id, node) = new_key(&installation, "", &[Role::Node], 3_600).await;
    let emit = emitting(&client).await;
    let reflection = reflecting(&client).await;
    let consumer = HandConsumer::ready(&client, "g", vec![handler("h", &["never"])], 1).await;
    let session = HandNode::ready(&node, 7, 1).await;
    let edge = HandEdge::open(&node).await;

    let flood = Flood::begin(&deployment.admin);
    tokio::join!(
        revoke(&installation, &key_id),
        revoke(&installation, &node_key_id)
    );
    let joined = async |end: JoinHandle<Status>| end.await.expect("the task ends in order");
    assert_ends("EmitEvents", joined(emit)).await;
    assert_ends("reflection", joined(reflection)).await;
    assert_ends("Consume", consumer.end()).await;
    assert_ends("Session", session.end()).await;
    assert_ends("Forward", edge.end()).await;
    let refused = client.events().emit_event(client.event("a.b", "{}")).await;
    let refused = refused.expect_err("the key has ended");
    assert_eq!(refused.code(), Code::Unauthenticated, "{refused:?}");
    flood.end().await;
}

async fn an_expired_key_ends_its_streams(store: StoreKind) {
    let mut deployment = Deployment::movable(store).await;
    let tenant = &deployment.tenant_id;
    let (_, client) = new_key(&deployment.admin, tenant, &[Role::Emitter], 3_600).await;
    let (emit, reflection) = (emitting(&client).await, reflecting(&client).await);
    deployment.control.advance(HOUR).await;
    for (what, end) in [("EmitEvents", emit), ("reflection", reflection)] {
        assert_ends(what, async { end.await.expect("the task ends in order") }).await;
    }
}

async fn the_keys_of_a_deleted_tenant_end_their_streams(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let installation = deployment.control.admin().await;
    let tenant = installation.create_tenant("short-lived").await;
    let (_, client) = new_key(&installation, &tenant, &[Role::Emitter], 3_600).await;
    let emit = emitting(&client).await;
    let delete = DeleteTenantRequest {
        tenant_id: tenant,
        ..DeleteTenantRequest::default()
    };
    let deleted = installation.tenants().delete_tenant(delete).await;
    deleted.expect("it has no endpoints");
    assert_ends("EmitEvents", async {
        emit.await.expect("the task ends in order")
    })
    .await;
}
