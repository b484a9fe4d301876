//! How much of each kind a tenant can have.

use posthorn::v1::{
    CreateApiKeyRequest, CreateEventTypeRequest, CreateSourceRequest, DeleteEventTypeRequest,
    ListApiKeysRequest, RevokeApiKeyRequest, Role, SourceSettings,
};
use posthorn_harness::{
    Client, ControlPlaneOptions, Deployment, STANDARD_WEBHOOKS, Sql, StoreKind,
};
use tokio::task::JoinSet;
use tonic::{Code, Status};

use super::{create, settings};
use crate::support::hand_consumer::{HandConsumer, handler, hello};

on_both! {
    a_tenant_has_so_many_of_each_and_no_more,
    ended_keys_make_room_for_new_ones,
    what_is_over_a_cap_already_stays,
}

async fn start(store: StoreKind) -> Deployment {
    let kinds = ["event-types", "endpoints", "sources", "api-keys"];
    let args = kinds.map(|kind| format!("--tenant-{kind}-max=3"));
    let options = ControlPlaneOptions {
        args: args.to_vec(),
        ..ControlPlaneOptions::default()
    };
    Deployment::start_with(store, options, &[]).await
}

/// Makes ten calls at a time, of which three are to succeed.
async fn assert_three<T, F>(kind: &str, call: impl Fn(usize) -> F)
where
    T: Send + 'static,
    F: Future<Output = Result<T, Status>> + Send + 'static,
{
    let mut calls = (0..10).map(call).collect::<JoinSet<_>>();
    let mut made = 0;
    while let Some(answer) = calls.join_next().await {
        match answer.expect("the call ends in order") {
            Ok(_) => made += 1,
            Err(status) => assert_cap(kind, &status),
        }
    }
    assert_eq!(made, 3, "{kind}");
}

fn assert_cap(kind: &str, status: &Status) {
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    assert!(status.message().contains(kind), "{status:?}");
    assert!(status.message().contains("3 "), "{status:?}");
}

fn event_type(client: &Client, name: String) -> CreateEventTypeRequest {
    CreateEventTypeRequest {
        tenant_id: client.tenant_id.clone(),
        name,
        ..CreateEventTypeRequest::default()
    }
}

async fn a_tenant_has_so_many_of_each_and_no_more(store: StoreKind) {
    let deployment = start(store).await;
    let admin = &deployment.admin;
    assert_three("event types", |number| {
        let request = event_type(admin, format!("a.n{number}"));
        let mut client = admin.event_types();
        async move { client.create_event_type(request).await }
    })
    .await;
    assert_three("endpoints", |_| {
        let request = create(&deployment, settings(&deployment, "/hook"));
        let mut client = admin.endpoints();
        async move { client.create_endpoint(request).await }
    })
    .await;
    assert_three("sources", |_| {
        let request = CreateSourceRequest {
            tenant_id: admin.tenant_id.clone(),
            settings: Some(SourceSettings {
                provider: STANDARD_WEBHOOKS.to_owned(),
                ..SourceSettings::default()
            }),
            ..CreateSourceRequest::default()
        };
        let mut client = admin.sources();
        async move { client.create_source(request).await }
    })
    .await;
    let handlers = vec![handler("h", &["*"])];
    let refused = HandConsumer::join(admin, hello(admin, "g", handlers)).await;
    let Err(refused) = refused else {
        panic!("a handler is an endpoint");
    };
    assert_cap("endpoints", &refused);
    // Another tenant has room of its own, and what is deleted makes room.
    let other = deployment
        .control
        .admin()
        .await
        .create_tenant("other")
        .await;
    let other = admin.for_tenant(&other);
    let fine = event_type(&other, "a".to_owned());
    let mut types = admin.event_types();
    types.create_event_type(fine).await.expect("there is room");
    let listed = posthorn::v1::ListEventTypesRequest {
        tenant_id: admin.tenant_id.clone(),
        ..posthorn::v1::ListEventTypesRequest::default()
    };
    let listed = types
        .list_event_types(listed)
        .await
        .expect("they are listed");
    let delete = DeleteEventTypeRequest {
        tenant_id: admin.tenant_id.clone(),
        name: listed.into_inner().event_types[0].name.clone(),
        ..DeleteEventTypeRequest::default()
    };
    types.delete_event_type(delete).await.expect("it is there");
    let again = event_type(admin, "again".to_owned());
    types.create_event_type(again).await.expect("there is room");
}

async fn ended_keys_make_room_for_new_ones(store: StoreKind) {
    let deployment = start(store).await;
    let mut keys = deployment.admin.api_keys();
    let request = |number: usize| CreateApiKeyRequest {
        tenant_id: deployment.tenant_id.clone(),
        name: format!("key {number}"),
        roles: vec![Role::Viewer.into()],
        ..CreateApiKeyRequest::default()
    };
    assert_three("API keys", |number| {
        let (mut keys, request) = (keys.clone(), request(number));
        async move { keys.create_api_key(request).await }
    })
    .await;
    let list = ListApiKeysRequest {
        tenant_id: deployment.tenant_id.clone(),
        ..ListApiKeysRequest::default()
    };
    let listed = keys.list_api_keys(list.clone()).await;
    let first = listed.expect("they are listed").into_inner().keys[0]
        .key_id
        .clone();
    let revoke = RevokeApiKeyRequest {
        key_id: first.clone(),
    };
    keys.revoke_api_key(revoke).await.expect("it is revoked");
    keys.create_api_key(request(10))
        .await
        .expect("there is room");
    let full = keys.create_api_key(request(11)).await;
    assert_cap("API keys", &full.expect_err("every key works"));
    let listed = keys.list_api_keys(list).await;
    let listed = listed.expect("they are listed").into_inner().keys;
    assert_eq!(listed.len(), 3);
    assert!(listed.iter().all(|key| key.key_id != first));
}

async fn what_is_over_a_cap_already_stays(store: StoreKind) {
    let mut deployment = start(store).await;
    let mut types = deployment.admin.event_types();
    let first = event_type(&deployment.admin, "n0".to_owned());
    types.create_event_type(first).await.expect("there is room");
    let mut sql = Sql::open(&deployment.control.database()).await;
    for number in 1..6 {
        let copy = format!(
            "insert into event_type (tenant_id, name, description, version, created_at, updated_at)
             select tenant_id, 'n{number}', description, 1, 1, 1 from event_type where name = 'n0'"
        );
        assert_eq!(sql.run(&copy).await, 1);
    }
    deployment.control.restart().await;
    deployment.admin.emit("n5", "{}").await;
    let one_more = event_type(&deployment.admin, "n6".to_owned());
    let refused = types.create_event_type(one_more).await;
    assert_cap("event types", &refused.expect_err("there is no room"));
}
