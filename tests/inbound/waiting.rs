//! Providers that wait for an answer that a consumer computes.

use posthorn::node::v1::ForwardedAnswer;
use posthorn::v1::{
    ComputedAnswer, Header, SourceAnswer, SourceSettings, SynchronousAnswer,
    consume_request::Message as FromConsumer,
};
use posthorn_harness::{Deployment, Provider, STANDARD_WEBHOOKS, StoreKind};

use crate::support::{
    hand_consumer::{HandConsumer, handler},
    hand_edge::{HandEdge, forwarded, provider_of},
    time::millis,
};

on_both! {
    a_computed_answer_reaches_the_provider_and_every_repeat,
    a_provider_that_has_waited_long_enough_hears_the_fallback_and_so_do_its_repeats,
    nobody_waits_for_a_consumer_that_there_is_not,
}

const SECRET: &str = "whsec_AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

struct World {
    deployment: Deployment,
    edge: HandEdge,
    provider: Provider,
}

fn text(status: u32, body: &str) -> SourceAnswer {
    SourceAnswer {
        status,
        headers: vec![Header {
            name: "x-part".to_owned(),
            value: body.to_owned(),
        }],
        body: body.to_owned().into(),
    }
}

fn assert_is(answer: &ForwardedAnswer, expected: &SourceAnswer) {
    assert_eq!(
        (answer.status, &answer.body),
        (expected.status, &expected.body)
    );
    let headers = answer.headers.iter();
    let headers = headers.filter(|field| field.name != "posthorn-request-id");
    let headers = headers.map(|field| (field.name.as_str(), &field.value[..]));
    let expected = expected.headers.iter();
    let expected = expected.map(|header| (header.name.as_str(), header.value.as_bytes()));
    assert!(headers.eq(expected), "{answer:?}");
}

impl World {
    /// A source whose providers wait for so many milliseconds.
    async fn start(store: StoreKind, deadline_ms: u64) -> Self {
        let deployment = Deployment::start(store).await;
        let settings = SourceSettings {
            provider: STANDARD_WEBHOOKS.to_owned(),
            synchronous: Some(SynchronousAnswer {
                deadline: Some(millis(deadline_ms)),
                fallback: Some(text(202, "later")),
            }),
            ..SourceSettings::default()
        };
        let created = deployment
            .admin
            .create_source_with(settings, &[SECRET])
            .await;
        let node = deployment.admin.with_key(&deployment.node_key);
        let edge = HandEdge::open(&node).await;
        let waits = &edge.settings().sources[0];
        assert!(u64::from(waits.answer_within_ms) > deadline_ms);
        Self {
            edge,
            provider: provider_of(&created, SECRET),
            deployment,
        }
    }

    async fn consumer(&self) -> HandConsumer {
        let handlers = vec![handler("answers", &["*"])];
        HandConsumer::ready(&self.deployment.admin, "group", handlers, 10).await
    }

    async fn forward(&mut self, id: &str) -> u64 {
        let request = forwarded(self.provider.request(id, "{}")).await;
        self.edge.forward(request).await
    }
}

async fn answer(consumer: &mut HandConsumer, inbound_request_id: &str, answer: SourceAnswer) {
    consumer
        .send(FromConsumer::Answer(ComputedAnswer {
            inbound_request_id: inbound_request_id.to_owned(),
            answer: Some(answer),
        }))
        .await;
}

async fn a_computed_answer_reaches_the_provider_and_every_repeat(store: StoreKind) {
    let mut world = World::start(store, 10_000).await;
    let mut consumer = world.consumer().await;
    let first = world.forward("msg_1").await;
    let handout = consumer.handout().await;
    assert!(handout.answer_within_ms > 0);
    // The repeat comes while the first still waits.
    let joined = world.forward("msg_1").await;
    let computed = text(409, "computed");
    answer(&mut consumer, &handout.inbound_request_id, computed.clone()).await;
    answer(
        &mut consumer,
        &handout.inbound_request_id,
        text(200, "again"),
    )
    .await;
    assert_is(&world.edge.answer(first).await, &computed);
    assert_is(&world.edge.answer(joined).await, &computed);
    consumer.ack(&handout, "answered").await;
    let late = world.forward("msg_1").await;
    assert_is(&world.edge.answer(late).await, &computed);
    assert!(!consumer.has_handouts(), "a repeat is no event");
}

async fn a_provider_that_has_waited_long_enough_hears_the_fallback_and_so_do_its_repeats(
    store: StoreKind,
) {
    let mut world = World::start(store, 100).await;
    let mut consumer = world.consumer().await;
    let fallback = text(202, "later");
    let first = world.forward("msg_1").await;
    assert_is(&world.edge.answer(first).await, &fallback);
    // The request stays queued, and its answer comes too late.
    let handout = consumer.handout().await;
    answer(
        &mut consumer,
        &handout.inbound_request_id,
        text(200, "late"),
    )
    .await;
    consumer.ack(&handout, "answered").await;
    let repeat = world.forward("msg_1").await;
    assert_is(&world.edge.answer(repeat).await, &fallback);
}

async fn nobody_waits_for_a_consumer_that_there_is_not(store: StoreKind) {
    let mut world = World::start(store, 10_000).await;
    let first = world.forward("msg_1").await;
    assert_is(&world.edge.answer(first).await, &text(202, "later"));
}
