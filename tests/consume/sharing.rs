//! Credit, several streams of one group, and consumers that do not read.

use std::collections::HashSet;

use posthorn_harness::StoreKind;

use super::Stage;
use crate::support::{
    DEADLINE,
    follow::delivery_of,
    hand_consumer::{HandConsumer, handler},
};

on_both! {
    no_more_is_handed_out_than_credit_allows,
    streams_of_one_group_share_its_work,
    groups_do_not_share,
    a_consumer_that_does_not_read_holds_up_nobody,
    more_than_one_message_can_hold_is_handed_out_in_several,
}

async fn no_more_is_handed_out_than_credit_allows(store: StoreKind) {
    let stage = Stage::start(store).await;
    let handlers = vec![handler("h", &["*"])];
    let mut consumer = HandConsumer::ready(&stage.consumer, "g", handlers, 2).await;
    for _ in 0..5 {
        stage.emit("a.b").await;
    }
    let first = consumer.handouts(2).await;
    // A word is no credit: what is handed out next came of the credit that follows it.
    consumer.ack(&first[0], "").await;
    consumer.ack(&first[1], "").await;
    assert!(!consumer.has_handouts());
    consumer.credit(1).await;
    let third = consumer.handout().await;
    consumer.ack(&third, "").await;
    assert!(!consumer.has_handouts());
    consumer.credit(u32::MAX).await;
    consumer.handouts(2).await;
}

async fn streams_of_one_group_share_its_work(store: StoreKind) {
    let stage = Stage::start(store).await;
    let handlers = || vec![handler("h", &["*"])];
    let mut one = HandConsumer::ready(&stage.consumer, "g", handlers(), 2).await;
    let mut other = HandConsumer::ready(&stage.consumer, "g", handlers(), 2).await;
    let mut emitted = HashSet::new();
    for _ in 0..4 {
        emitted.insert(stage.emit("a.b").await);
    }
    let mut handed = HashSet::new();
    for handout in one.handouts(2).await {
        one.ack(&handout, "").await;
        handed.insert(handout.event_id);
    }
    for handout in other.handouts(2).await {
        other.ack(&handout, "").await;
        handed.insert(handout.event_id);
    }
    assert_eq!(handed, emitted);
    assert_eq!(stage.endpoints().await.len(), 1);
}

async fn groups_do_not_share(store: StoreKind) {
    let stage = Stage::start(store).await;
    let handlers = || vec![handler("h", &["*"])];
    let mut one = HandConsumer::ready(&stage.consumer, "one", handlers(), 2).await;
    let mut two = HandConsumer::ready(&stage.consumer, "two", handlers(), 2).await;
    let event_id = stage.emit("a.b").await;
    for consumer in [&mut one, &mut two] {
        let handout = consumer.handout().await;
        assert_eq!(handout.event_id, event_id);
        consumer.ack(&handout, "").await;
    }
}

async fn a_consumer_that_does_not_read_holds_up_nobody(store: StoreKind) {
    let stage = Stage::start(store).await;
    let receiver = &stage.deployment.receiver;
    stage
        .admin()
        .create_endpoint(&receiver.url("/"), &["*"])
        .await;
    let stuck = vec![handler("stuck", &["*"])];
    let stuck = HandConsumer::ready(&stage.consumer, "stuck", stuck, 1_024).await;
    let payload = format!("\"{}\"", "x".repeat(200 * 1_024));
    for _ in 0..100 {
        stage.admin().emit("a.b", payload.clone()).await;
    }
    let handlers = vec![handler("h", &["last"])];
    let mut consumer = HandConsumer::ready(&stage.consumer, "g", handlers, 1).await;
    let event_id = stage.emit("last").await;
    let handout = consumer.handout().await;
    assert_eq!(handout.event_id, event_id);
    consumer.ack(&handout, "").await;
    receiver.received("/").await_count(101, DEADLINE).await;
    drop(stuck);
}

async fn more_than_one_message_can_hold_is_handed_out_in_several(store: StoreKind) {
    let stage = Stage::start(store).await;
    let handlers = vec![handler("h", &["*"])];
    let mut consumer = HandConsumer::ready(&stage.consumer, "g", handlers, 64).await;
    let payload = format!("\"{}\"", "x".repeat(250 * 1_024));
    let mut last = String::new();
    for _ in 0..40 {
        last = stage.admin().emit("a.b", payload.clone()).await.event_id;
    }
    for handout in consumer.handouts(40).await {
        assert_eq!(handout.payload.len(), payload.len());
        consumer.ack(&handout, "").await;
    }
    delivery_of(stage.admin(), &last).await;
}
