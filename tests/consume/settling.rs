//! Acks and nacks, and what of them is in the ledger.

use posthorn::v1::{
    Ack, Acks, DeadReason, DeliveryState, EmitEventRequest, ErrorKind, RedriveDeadLettersRequest,
    consume_request::Message as FromConsumer,
};
use posthorn_harness::StoreKind;

use super::{Stage, retrying};
use crate::support::{
    follow::{attempts_of, await_state, delivery, delivery_of},
    hand_consumer::{HandConsumer, handler},
};

on_both! {
    a_handout_holds_what_was_emitted,
    each_handler_gets_its_own_delivery_and_its_own_retries,
    a_permanent_nack_is_death_at_once,
    a_handler_that_fails_on_comes_to_the_dead_letters_and_is_redriven,
    what_was_emitted_without_a_stream_waits_for_one,
    words_on_what_the_stream_never_held_are_settled_and_change_nothing,
}

async fn a_handout_holds_what_was_emitted(store: StoreKind) {
    let stage = Stage::start(store).await;
    let handlers = vec![handler("book", &["order.*"])];
    let mut consumer = HandConsumer::ready(&stage.consumer, "billing", handlers, 4).await;
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let request = EmitEventRequest {
        traceparent: traceparent.to_owned(),
        content_type: "application/json; charset=utf-8".to_owned(),
        ..stage.admin().event("order.paid", r#"{"a": 1}"#)
    };
    let emitted = stage.admin().events().emit_event(request).await;
    let event_id = emitted.expect("it is accepted").into_inner().event_id;

    let handout = consumer.handout().await;
    let delivery_id = delivery_of(stage.admin(), &event_id).await.delivery_id;
    assert_eq!(
        (&handout.event_id, &handout.delivery_id),
        (&event_id, &delivery_id)
    );
    assert_eq!((&*handout.handler, handout.attempt), ("book", 1));
    assert_eq!(handout.event_type, "order.paid");
    assert_eq!(&handout.payload[..], br#"{"a": 1}"#);
    assert_eq!(handout.content_type, "application/json; charset=utf-8");
    assert_eq!(handout.traceparent, traceparent);
    assert!(handout.source_id.is_empty() && handout.inbound_request_id.is_empty());
    assert!(handout.headers.is_empty() && handout.answer_within_ms == 0);
    assert!(handout.occurred_at.is_some());

    consumer.ack(&handout, "booked order 7").await;
    let delivery = delivery(stage.admin(), &delivery_id).await;
    assert_eq!(delivery.state(), DeliveryState::Delivered);
    let attempts = attempts_of(stage.admin(), &delivery_id).await;
    let [attempt] = &attempts[..] else {
        panic!("{attempts:?}");
    };
    assert!(attempt.succeeded && !attempt.late && attempt.number == 1);
    assert_eq!((attempt.status_code, attempt.error_kind), (0, 0));
    assert_eq!(attempt.response_excerpt, "booked order 7");
    assert_eq!(attempt.holder_id, consumer.consumer_id);
}

async fn each_handler_gets_its_own_delivery_and_its_own_retries(store: StoreKind) {
    let stage = Stage::start(store).await;
    let handlers = vec![
        retrying("fails", &["a.b"], 1),
        handler("works", &["a.*"]),
        handler("other", &["c"]),
    ];
    let mut consumer = HandConsumer::ready(&stage.consumer, "g", handlers, 8).await;
    let event_id = stage.emit("a.b").await;
    let mut first = consumer.handouts(2).await;
    first.sort_by(|one, other| one.handler.cmp(&other.handler));
    let [fails, works] = &first[..] else {
        panic!("{first:?}");
    };
    assert_eq!((&*fails.handler, &*works.handler), ("fails", "works"));
    consumer.nack(fails, "the ledger is locked", false).await;
    consumer.ack(works, "").await;
    let again = consumer.handout().await;
    assert_eq!((&*again.handler, again.attempt), ("fails", 2));
    assert_eq!(again.delivery_id, fails.delivery_id);
    consumer.ack(&again, "booked").await;

    let attempts = attempts_of(stage.admin(), &fails.delivery_id).await;
    let said = attempts.iter().map(|one| {
        (
            one.number,
            one.succeeded,
            one.error_kind(),
            &*one.response_excerpt,
        )
    });
    assert_eq!(
        said.collect::<Vec<_>>(),
        [
            (1, false, ErrorKind::HandlerFailed, "the ledger is locked"),
            (2, true, ErrorKind::Unspecified, "booked"),
        ]
    );
    assert_eq!(
        attempts_of(stage.admin(), &works.delivery_id).await.len(),
        1
    );
    for name in ["g/fails", "g/works"] {
        let endpoint_id = stage.endpoint(name).await.endpoint_id;
        stage
            .await_delivery(&event_id, &endpoint_id, DeliveryState::Delivered)
            .await;
    }
}

async fn a_permanent_nack_is_death_at_once(store: StoreKind) {
    let stage = Stage::start(store).await;
    let handlers = vec![retrying("h", &["*"], 5)];
    let mut consumer = HandConsumer::ready(&stage.consumer, "g", handlers, 2).await;
    let event_id = stage.emit("a.b").await;
    let handout = consumer.handout().await;
    consumer.nack(&handout, "no such order", true).await;
    let delivery = await_state(stage.admin(), &event_id, DeliveryState::Dead).await;
    assert_eq!(delivery.dead_reason(), DeadReason::Rejected);
    assert_eq!(delivery.attempt_count, 1);
    let attempts = attempts_of(stage.admin(), &delivery.delivery_id).await;
    assert_eq!(attempts[0].error_kind(), ErrorKind::HandlerFailed);
    assert_eq!(attempts[0].response_excerpt, "no such order");
}

async fn a_handler_that_fails_on_comes_to_the_dead_letters_and_is_redriven(store: StoreKind) {
    let stage = Stage::start(store).await;
    let handlers = vec![retrying("h", &["*"], 2)];
    let mut consumer = HandConsumer::ready(&stage.consumer, "g", handlers, 8).await;
    let event_id = stage.emit("a.b").await;
    for attempt in 1..=3 {
        let handout = consumer.handout().await;
        assert_eq!(handout.attempt, attempt);
        consumer.nack(&handout, "not yet", false).await;
    }
    let dead = await_state(stage.admin(), &event_id, DeliveryState::Dead).await;
    assert_eq!(dead.dead_reason(), DeadReason::AttemptsExhausted);

    let request = RedriveDeadLettersRequest {
        tenant_id: stage.deployment.tenant_id.clone(),
        endpoint_id: dead.endpoint_id.clone(),
        reason: "the ledger is unlocked".to_owned(),
        ..RedriveDeadLettersRequest::default()
    };
    let mut deliveries = stage.admin().deliveries();
    let redriven = deliveries.redrive_dead_letters(request).await;
    redriven.expect("they are redriven");
    let handout = consumer.handout().await;
    assert_eq!((&handout.event_id, handout.attempt), (&event_id, 4));
    consumer.ack(&handout, "at last").await;
    await_state(stage.admin(), &event_id, DeliveryState::Delivered).await;
}

async fn what_was_emitted_without_a_stream_waits_for_one(store: StoreKind) {
    let stage = Stage::start(store).await;
    let handlers = || vec![handler("h", &["*"])];
    drop(HandConsumer::ready(&stage.consumer, "g", handlers(), 1).await);
    let mut events = Vec::new();
    for _ in 0..3 {
        events.push(stage.emit("a.b").await);
    }
    let mut consumer = HandConsumer::ready(&stage.consumer, "g", handlers(), 8).await;
    let handouts = consumer.handouts(3).await;
    let handed = handouts.iter().map(|one| one.event_id.clone());
    assert_eq!(handed.collect::<Vec<_>>(), events);
}

async fn words_on_what_the_stream_never_held_are_settled_and_change_nothing(store: StoreKind) {
    let stage = Stage::start(store).await;
    let handlers = || vec![handler("h", &["*"])];
    let mut one = HandConsumer::ready(&stage.consumer, "g", handlers(), 1).await;
    let event_id = stage.emit("a.b").await;
    let handout = one.handout().await;
    let mut other = HandConsumer::ready(&stage.consumer, "g", handlers(), 1).await;
    let acks = [handout.lease_id, 7].map(|lease_id| Ack {
        lease_id,
        effect: "stolen".to_owned(),
    });
    let acks = Acks {
        acks: acks.to_vec(),
    };
    other.send(FromConsumer::Acks(acks)).await;
    other.settled(handout.lease_id).await;
    other.settled(7).await;
    let pending = await_state(stage.admin(), &event_id, DeliveryState::Pending).await;
    assert_eq!(pending.attempt_count, 0);
    one.ack(&handout, "mine").await;
    // Twice is as good as once.
    one.ack(&handout, "mine again").await;
    let attempts = attempts_of(stage.admin(), &handout.delivery_id).await;
    assert_eq!(attempts.len(), 1);
    assert_eq!(attempts[0].response_excerpt, "mine");
}
