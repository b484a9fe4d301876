//! Streams that break, control planes that are killed or end, keys that are revoked.

use posthorn::v1::{DeadReason, DeliveryState, ListApiKeysRequest, RevokeApiKeyRequest, Role};
use posthorn_harness::{Client, StoreKind};
use tonic::Code;

use super::{Stage, retrying};
use crate::support::{
    follow::{attempts_of, await_state},
    hand_consumer::{HandConsumer, handler},
};

on_both! {
    what_a_broken_stream_held_goes_to_another_without_an_attempt,
    five_broken_streams_in_a_row_make_a_delivery_dead,
    an_event_that_consumers_die_of_falls_alone,
    what_was_handed_out_when_the_control_plane_was_killed_is_handed_out_again,
    streams_end_when_the_control_plane_does,
    a_revoked_key_ends_its_stream,
}

async fn what_a_broken_stream_held_goes_to_another_without_an_attempt(store: StoreKind) {
    let stage = Stage::start(store).await;
    let handlers = || vec![handler("h", &["*"])];
    let mut first = HandConsumer::ready(&stage.consumer, "g", handlers(), 1).await;
    stage.emit("a.b").await;
    let lost = first.handout().await;
    drop(first);
    let mut second = HandConsumer::ready(&stage.consumer, "g", handlers(), 1).await;
    let again = second.handout().await;
    assert_eq!(again.delivery_id, lost.delivery_id);
    assert_eq!(again.attempt, 1);
    assert_ne!(again.lease_id, lost.lease_id);
    second.ack(&again, "").await;
    assert_eq!(attempts_of(stage.admin(), &lost.delivery_id).await.len(), 1);
}

async fn five_broken_streams_in_a_row_make_a_delivery_dead(store: StoreKind) {
    let stage = Stage::start(store).await;
    let handlers = || vec![retrying("h", &["*"], 0)];
    let mut consumer = HandConsumer::ready(&stage.consumer, "g", handlers(), 1).await;
    let event_id = stage.emit("a.b").await;
    for _ in 0..4 {
        consumer.handout().await;
        consumer = HandConsumer::ready(&stage.consumer, "g", handlers(), 1).await;
    }
    consumer.handout().await;
    drop(consumer);
    let dead = await_state(stage.admin(), &event_id, DeliveryState::Dead).await;
    assert_eq!(dead.dead_reason(), DeadReason::LeaseLost);
    assert_eq!(dead.attempt_count, 0);
}

async fn an_event_that_consumers_die_of_falls_alone(store: StoreKind) {
    let stage = Stage::start(store).await;
    let handlers = || vec![handler("h", &["*"])];
    drop(HandConsumer::ready(&stage.consumer, "g", handlers(), 1).await);
    let poison = stage.emit("poison").await;
    let harmless = [stage.emit("a.b").await, stage.emit("a.b").await];
    // Each consumer dies as soon as it is handed the poison, with all that it holds.
    let (mut deaths, mut done) = (0, 0);
    while deaths < 5 || done < harmless.len() {
        let mut consumer = HandConsumer::ready(&stage.consumer, "g", handlers(), 8).await;
        while deaths < 5 || done < harmless.len() {
            let handout = consumer.handout().await;
            if handout.event_id == poison {
                deaths += 1;
                break;
            }
            consumer.ack(&handout, "").await;
            done += 1;
        }
    }
    let dead = await_state(stage.admin(), &poison, DeliveryState::Dead).await;
    assert_eq!(dead.dead_reason(), DeadReason::LeaseLost);
    for event_id in harmless {
        await_state(stage.admin(), &event_id, DeliveryState::Delivered).await;
    }
}

async fn what_was_handed_out_when_the_control_plane_was_killed_is_handed_out_again(
    store: StoreKind,
) {
    let mut stage = Stage::start(store).await;
    let handlers = || vec![handler("h", &["*"])];
    let mut consumer = HandConsumer::ready(&stage.consumer, "g", handlers(), 2).await;
    stage.emit("a.b").await;
    let acked = consumer.handout().await;
    consumer.ack(&acked, "before").await;
    let open = stage.emit("a.b").await;
    let held = consumer.handout().await;
    assert_eq!(held.event_id, open);

    stage.deployment.control.kill();
    consumer.end().await;
    stage.deployment.control.restart().await;
    let mut consumer = HandConsumer::ready(&stage.consumer, "g", handlers(), 2).await;
    let again = consumer.handout().await;
    assert_eq!((&again.delivery_id, again.attempt), (&held.delivery_id, 1));
    consumer.ack(&again, "after").await;
    assert!(!consumer.has_handouts());
    await_state(stage.admin(), &open, DeliveryState::Delivered).await;
}

async fn streams_end_when_the_control_plane_does(store: StoreKind) {
    let mut stage = Stage::start(store).await;
    let handlers = vec![handler("h", &["*"])];
    let mut consumer = HandConsumer::ready(&stage.consumer, "g", handlers, 1).await;
    stage.emit("a.b").await;
    consumer.handout().await;
    let (status, end) = tokio::join!(stage.deployment.control.terminate(), consumer.end());
    assert!(status.success(), "{}", stage.deployment.control.logs());
    assert_eq!(end.code(), Code::Unavailable, "{end:?}");
}

async fn a_revoked_key_ends_its_stream(store: StoreKind) {
    let stage = Stage::start(store).await;
    let client: Client = stage.deployment.client(&[Role::Consumer]).await;
    let handlers = vec![handler("h", &["*"])];
    let consumer = HandConsumer::ready(&client, "g", handlers, 1).await;
    let request = ListApiKeysRequest {
        tenant_id: stage.deployment.tenant_id.clone(),
        ..ListApiKeysRequest::default()
    };
    let keys = stage.admin().api_keys().list_api_keys(request).await;
    for key in keys.expect("keys are listed").into_inner().keys {
        let request = RevokeApiKeyRequest { key_id: key.key_id };
        let revoked = stage.admin().api_keys().revoke_api_key(request).await;
        revoked.expect("it is revoked");
    }
    assert_eq!(consumer.end().await.code(), Code::Unauthenticated);
}
