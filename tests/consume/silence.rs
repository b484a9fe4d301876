//! Handlers that say nothing in time, and those that ask for more.

use posthorn::v1::{DeadReason, DeliveryState, ErrorKind};
use posthorn_harness::StoreKind;

use super::{Stage, hasty};
use crate::support::{
    follow::{attempts_of, await_state},
    hand_consumer::HandConsumer,
};

on_both! {
    silence_is_a_failed_attempt_and_the_next_one_follows,
    a_handler_that_stays_silent_comes_to_the_dead_letters,
    a_late_ack_is_believed_and_logged_as_late,
    an_extension_gives_more_time,
}

async fn silence_is_a_failed_attempt_and_the_next_one_follows(store: StoreKind) {
    let stage = Stage::start(store).await;
    let handlers = vec![hasty("h", &["*"], 3)];
    let mut consumer = HandConsumer::ready(&stage.consumer, "g", handlers, 8).await;
    stage.emit("a.b").await;
    let silent = consumer.handout().await;
    consumer.lost(silent.lease_id).await;
    let again = consumer.handout().await;
    assert_eq!(again.delivery_id, silent.delivery_id);
    assert_eq!(again.attempt, 2);
    assert_ne!(again.lease_id, silent.lease_id);
    consumer.ack(&again, "done").await;
    let attempts = attempts_of(stage.admin(), &silent.delivery_id).await;
    let said = attempts
        .iter()
        .map(|one| (one.number, one.error_kind(), &*one.response_excerpt));
    assert_eq!(
        said.collect::<Vec<_>>(),
        [
            (1, ErrorKind::Timeout, "no word within 1 s"),
            (2, ErrorKind::Unspecified, "done"),
        ]
    );
}

async fn a_handler_that_stays_silent_comes_to_the_dead_letters(store: StoreKind) {
    let stage = Stage::start(store).await;
    let handlers = vec![hasty("h", &["*"], 1)];
    let mut consumer = HandConsumer::ready(&stage.consumer, "g", handlers, 8).await;
    let event_id = stage.emit("a.b").await;
    for _ in 0..2 {
        let silent = consumer.handout().await;
        consumer.lost(silent.lease_id).await;
    }
    let dead = await_state(stage.admin(), &event_id, DeliveryState::Dead).await;
    assert_eq!(dead.dead_reason(), DeadReason::AttemptsExhausted);
    assert_eq!(dead.attempt_count, 2);
}

async fn a_late_ack_is_believed_and_logged_as_late(store: StoreKind) {
    let stage = Stage::start(store).await;
    let handlers = vec![hasty("h", &["*"], 1)];
    // Credit for one only: the next try stays where it is.
    let mut consumer = HandConsumer::ready(&stage.consumer, "g", handlers, 1).await;
    let event_id = stage.emit("a.b").await;
    let silent = consumer.handout().await;
    consumer.lost(silent.lease_id).await;
    consumer.ack(&silent, "slow, but done").await;
    let delivered = await_state(stage.admin(), &event_id, DeliveryState::Delivered).await;
    let attempts = attempts_of(stage.admin(), &delivered.delivery_id).await;
    let mut said = attempts
        .iter()
        .map(|one| (one.number, one.succeeded, one.late, &*one.response_excerpt))
        .collect::<Vec<_>>();
    said.sort_unstable();
    assert_eq!(
        said,
        [
            (1, false, false, "no word within 1 s"),
            (1, true, true, "slow, but done"),
        ]
    );
    // Nothing is left to hand out.
    consumer.credit(8).await;
    let next = stage.emit("a.b").await;
    assert_eq!(consumer.handout().await.event_id, next);
}

async fn an_extension_gives_more_time(store: StoreKind) {
    let stage = Stage::start(store).await;
    let handlers = vec![hasty("slow", &["a"], 1), hasty("quick", &["b"], 0)];
    let mut consumer = HandConsumer::ready(&stage.consumer, "g", handlers, 8).await;
    stage.emit("a").await;
    let extended = consumer.handout().await;
    consumer.extend(&extended, 3_600_000).await;
    // Another handout's time passes meanwhile.
    stage.emit("b").await;
    let silent = consumer.handout().await;
    consumer.lost(silent.lease_id).await;
    consumer.ack(&extended, "took its time").await;
    let attempts = attempts_of(stage.admin(), &extended.delivery_id).await;
    assert_eq!(attempts.len(), 1, "{attempts:?}");
    assert!(attempts[0].succeeded && !attempts[0].late);
}
