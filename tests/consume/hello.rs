//! How a stream begins: who may, with what, and what a hello changes.

use posthorn::v1::{
    ConsumeCredit, ConsumeHello, Handler, ListAuditRequest, Role,
    consume_request::Message as FromConsumer,
};
use posthorn_harness::{Client, StoreKind};
use tonic::{Code, Status};

use super::Stage;
use crate::support::{
    hand_consumer::{HandConsumer, handler, hello},
    refusal::Refusal,
    time::millis,
    unknown,
};

on_both! {
    a_hello_registers_its_handlers_once,
    a_hello_that_says_otherwise_changes_the_handler_for_the_next_event,
    s14_a_change_that_a_hello_makes_is_on_record_with_its_key,
    the_first_message_is_a_hello_and_only_that,
    a_hello_out_of_its_limits_is_refused_by_field,
    a_name_that_an_endpoint_has_is_refused,
    only_admins_and_consumers_of_the_tenant_may_consume,
}

async fn join(client: &Client, hello: ConsumeHello) -> Refusal {
    match HandConsumer::join(client, hello).await {
        Ok(consumer) => panic!("{} is welcome", consumer.consumer_id),
        Err(status) => status.into(),
    }
}

async fn a_hello_registers_its_handlers_once(store: StoreKind) {
    let stage = Stage::start(store).await;
    let handlers = || {
        let slow = Handler {
            ack_within: Some(millis(60_000)),
            ..handler("slow", &["a.*", "b"])
        };
        vec![slow, handler("plain", &["*"])]
    };
    let consumer = HandConsumer::ready(&stage.consumer, "billing", handlers(), 1).await;
    assert!(consumer.consumer_id.starts_with("con_"));
    let endpoint = stage.endpoint("billing/slow").await;
    let settings = endpoint.settings.clone().expect("it has settings");
    let of = settings.consumer.expect("it is a handler");
    assert_eq!((&*of.group, &*of.handler), ("billing", "slow"));
    assert_eq!(settings.url, "");
    assert_eq!(settings.subscriptions, ["a.*", "b"]);
    assert_eq!(settings.timeout, Some(millis(60_000)));
    assert!(endpoint.secret_fingerprint.is_empty());
    let plain = stage.endpoint("billing/plain").await.settings;
    assert_eq!(plain.and_then(|plain| plain.timeout), Some(millis(30_000)));

    drop(consumer);
    HandConsumer::ready(&stage.consumer, "billing", handlers(), 1).await;
    assert_eq!(stage.endpoint("billing/slow").await, endpoint);
    assert_eq!(stage.endpoints().await.len(), 2);
}

async fn a_hello_that_says_otherwise_changes_the_handler_for_the_next_event(store: StoreKind) {
    let stage = Stage::start(store).await;
    let before = vec![handler("h", &["a"])];
    drop(HandConsumer::ready(&stage.consumer, "g", before, 1).await);
    let former = stage.endpoint("g/h").await;
    let after = vec![handler("h", &["b"])];
    let mut consumer = HandConsumer::ready(&stage.consumer, "g", after, 4).await;
    let changed = stage.endpoint("g/h").await;
    assert_eq!(changed.endpoint_id, former.endpoint_id);
    assert_ne!(changed.etag, former.etag);
    stage.emit("a").await;
    let wanted = stage.emit("b").await;
    assert_eq!(consumer.handout().await.event_id, wanted);
}

async fn s14_a_change_that_a_hello_makes_is_on_record_with_its_key(store: StoreKind) {
    let stage = Stage::start(store).await;
    for event_type in ["a", "b"] {
        let handlers = vec![handler("h", &[event_type])];
        drop(HandConsumer::ready(&stage.consumer, "g", handlers, 1).await);
    }
    let request = ListAuditRequest {
        method: "Consume".to_owned(),
        target: stage.endpoint("g/h").await.endpoint_id,
        ..ListAuditRequest::default()
    };
    let admin = &stage.deployment.admin;
    let listed = admin.audit().list_audit(request).await;
    let records = listed.expect("they are listed").into_inner().records;
    assert_eq!(records.len(), 2, "{records:?}");
    assert!(records.iter().all(|record| !record.key_id.is_empty()));
    let change = format!("{:?}", records[0].changes);
    assert!(change.contains("subscriptions"), "{change}");
}

async fn the_first_message_is_a_hello_and_only_that(store: StoreKind) {
    let stage = Stage::start(store).await;
    let mut impolite = HandConsumer::silent(&stage.consumer)
        .await
        .expect("it opens");
    let credit = FromConsumer::Credit(ConsumeCredit { handouts: 1 });
    impolite.send(credit).await;
    assert_eq!(impolite.end().await.code(), Code::InvalidArgument);

    let handlers = || vec![handler("h", &["*"])];
    let mut polite = HandConsumer::ready(&stage.consumer, "g", handlers(), 1).await;
    let again = hello(&stage.consumer, "g", handlers());
    polite.send(FromConsumer::Hello(again)).await;
    let refusal: Refusal = polite.end().await.into();
    assert_eq!(refusal.code, Code::InvalidArgument);
    assert_eq!(refusal.fields, ["message"]);

    let mute = HandConsumer::silent(&stage.consumer)
        .await
        .expect("it opens");
    assert_eq!(mute.end().await.code(), Code::DeadlineExceeded);
}

async fn a_hello_out_of_its_limits_is_refused_by_field(store: StoreKind) {
    let stage = Stage::start(store).await;
    let of = |handlers| hello(&stage.consumer, "g", handlers);
    let foreign = Handler {
        sources: vec![unknown::SOURCE.to_owned()],
        ..handler("h", &["*"])
    };
    for (hello, field) in [
        (
            hello(&stage.consumer, "G", vec![handler("h", &["*"])]),
            "hello.group",
        ),
        (of(Vec::new()), "hello.handlers"),
        (of(vec![handler("a/b", &["*"])]), "hello.handlers[0].name"),
        (
            of(vec![handler("h", &[])]),
            "hello.handlers[0].subscriptions",
        ),
        (of(vec![foreign]), "hello.handlers[0].sources[0]"),
    ] {
        let refusal = join(&stage.consumer, hello).await;
        assert_eq!(refusal.code, Code::InvalidArgument, "{refusal:?}");
        assert_eq!(refusal.fields, [field]);
    }
    assert!(stage.endpoints().await.is_empty());
}

async fn a_name_that_an_endpoint_has_is_refused(store: StoreKind) {
    let stage = Stage::start(store).await;
    let url = stage.deployment.receiver.url("/");
    let settings = posthorn::v1::EndpointSettings {
        name: "g/taken".to_owned(),
        url,
        subscriptions: vec!["*".to_owned()],
        ..posthorn::v1::EndpointSettings::default()
    };
    stage.admin().create_endpoint_with(settings).await;
    let handlers = vec![handler("free", &["*"]), handler("taken", &["*"])];
    let refusal = join(&stage.consumer, hello(&stage.consumer, "g", handlers)).await;
    assert_eq!(refusal.code, Code::AlreadyExists, "{refusal:?}");
    assert_eq!(stage.endpoints().await.len(), 1, "all or nothing");
}

async fn only_admins_and_consumers_of_the_tenant_may_consume(store: StoreKind) {
    let stage = Stage::start(store).await;
    let handlers = || vec![handler("h", &["*"])];
    for role in [Role::Operator, Role::Emitter, Role::Viewer] {
        let client = stage.deployment.client(&[role]).await;
        let opened: Result<_, Status> = HandConsumer::silent(&client).await;
        let refused = opened.err().expect("it is refused");
        assert_eq!(refused.code(), Code::PermissionDenied, "{role:?}");
    }
    let other = stage.admin().create_tenant("other").await;
    let mut foreign = hello(&stage.consumer, "g", handlers());
    foreign.tenant_id = other;
    let refusal = join(&stage.consumer, foreign).await;
    assert_eq!(refusal.code, Code::PermissionDenied, "{refusal:?}");

    let mut nobodys = hello(stage.admin(), "g", handlers());
    nobodys.tenant_id = String::new();
    let refusal = join(stage.admin(), nobodys).await;
    assert_eq!(refusal.fields, ["tenant_id"]);
    let mut own = HandConsumer::ready(stage.admin(), "g", handlers(), 1).await;
    let event_id = stage.emit("a.b").await;
    assert_eq!(own.handout().await.event_id, event_id);
}
