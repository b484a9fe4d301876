//! What sources brought: as it was received, to those who want it from there, and answered by them.

use posthorn::v1::{
    ComputedAnswer, DeliveryState, Handler, ReplayInboundRequestRequest, SourceAnswer,
    SourceSettings, SynchronousAnswer, consume_request::Message as FromConsumer,
};
use posthorn_harness::{Provider, STANDARD_WEBHOOKS, StoreKind};

use super::Stage;
use crate::support::{
    follow::await_state,
    hand_consumer::{HandConsumer, handler},
    hand_edge::{HandEdge, forwarded, provider_of},
    time::millis,
};

on_both! {
    a_handout_holds_what_the_provider_posted,
    a_replay_is_no_inbound_request,
    a_handler_gets_from_its_sources_alone,
    the_answer_that_a_consumer_computes_is_the_providers,
    an_answer_from_whom_the_request_was_not_handed_to_is_dropped,
}

const SECRET: &str = "whsec_AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

/// An edge, a provider that posts to it, and the provider's source.
struct Posting {
    edge: HandEdge,
    provider: Provider,
    source_id: String,
}

impl Posting {
    async fn to(stage: &Stage, settings: SourceSettings) -> Self {
        let settings = SourceSettings {
            provider: STANDARD_WEBHOOKS.to_owned(),
            ..settings
        };
        let created = stage.admin().create_source_with(settings, &[SECRET]).await;
        let node = stage.admin().with_key(&stage.deployment.node_key);
        Self {
            edge: HandEdge::open(&node).await,
            provider: provider_of(&created, SECRET),
            source_id: created.source.expect("the answer holds it").source_id,
        }
    }
}

async fn a_handout_holds_what_the_provider_posted(store: StoreKind) {
    let stage = Stage::start(store).await;
    let settings = SourceSettings {
        forward_headers: vec!["x-kind".to_owned()],
        ..SourceSettings::default()
    };
    let mut posting = Posting::to(&stage, settings).await;
    let handlers = vec![handler("h", &["*"])];
    let mut consumer = HandConsumer::ready(&stage.consumer, "g", handlers, 1).await;
    let body = "{ \"type\": \"order.paid\", \"n\": 1e400 }";
    let mut request = posting.provider.request("msg_1", body);
    let kind = "blue".parse().expect("it is visible ASCII");
    request.headers_mut().insert("x-kind", kind);
    let answer = posting.edge.ask(forwarded(request).await).await;
    assert_eq!(answer.status, 200, "{answer:?}");

    let handout = consumer.handout().await;
    assert_eq!(&handout.payload[..], body.as_bytes());
    assert_eq!(handout.source_id, posting.source_id);
    assert_eq!(
        handout.inbound_request_id.strip_prefix("in_"),
        handout.event_id.strip_prefix("evt_")
    );
    assert_eq!(handout.answer_within_ms, 0);
    let headers = handout.headers.iter();
    let headers = headers.map(|header| (&*header.name, &*header.value));
    assert_eq!(headers.collect::<Vec<_>>(), [("x-kind", "blue")]);
    consumer.ack(&handout, "booked").await;
    await_state(stage.admin(), &handout.event_id, DeliveryState::Delivered).await;
}

async fn a_replay_is_no_inbound_request(store: StoreKind) {
    let stage = Stage::start(store).await;
    let mut posting = Posting::to(&stage, SourceSettings::default()).await;
    let handlers = vec![handler("h", &["*"])];
    let mut consumer = HandConsumer::ready(&stage.consumer, "g", handlers, 8).await;
    posting.edge.post(&posting.provider, "msg_1", "{}").await;
    let first = consumer.handout().await;
    consumer.ack(&first, "").await;
    let request = ReplayInboundRequestRequest {
        tenant_id: stage.deployment.tenant_id.clone(),
        inbound_request_id: first.inbound_request_id.clone(),
        reason: "the books were restored".to_owned(),
        ..ReplayInboundRequestRequest::default()
    };
    let replayed = stage
        .admin()
        .inbound()
        .replay_inbound_request(request)
        .await;
    let event_id = replayed.expect("it is replayed").into_inner().event_id;
    let again = consumer.handout().await;
    assert_eq!(again.event_id, event_id);
    assert_eq!(
        (&again.source_id, &again.payload, &again.event_type),
        (&first.source_id, &first.payload, &first.event_type)
    );
    assert!(again.inbound_request_id.is_empty());
}

async fn a_handler_gets_from_its_sources_alone(store: StoreKind) {
    let stage = Stage::start(store).await;
    let mut wanted = Posting::to(&stage, SourceSettings::default()).await;
    let mut other = Posting::to(&stage, SourceSettings::default()).await;
    let of = |name, source_id: &String| Handler {
        sources: vec![source_id.clone()],
        ..handler(name, &["*"])
    };
    let handlers = vec![
        of("wanted", &wanted.source_id),
        of("other", &other.source_id),
    ];
    let mut consumer = HandConsumer::ready(&stage.consumer, "g", handlers, 8).await;
    stage.emit("emitted").await;
    for (posting, name) in [(&mut wanted, "wanted"), (&mut other, "other")] {
        posting.edge.post(&posting.provider, "msg_1", "{}").await;
        let handout = consumer.handout().await;
        assert_eq!(handout.handler, name);
        assert_eq!(handout.source_id, posting.source_id);
    }
    assert!(!consumer.has_handouts());
}

/// Settings of a source whose answers are computed, with room for slow machines.
fn synchronous() -> SourceSettings {
    SourceSettings {
        synchronous: Some(SynchronousAnswer {
            deadline: Some(millis(10_000)),
            fallback: Some(SourceAnswer {
                status: 202,
                ..SourceAnswer::default()
            }),
        }),
        ..SourceSettings::default()
    }
}

fn computed(inbound_request_id: &str, status: u32) -> FromConsumer {
    FromConsumer::Answer(ComputedAnswer {
        inbound_request_id: inbound_request_id.to_owned(),
        answer: Some(SourceAnswer {
            status,
            headers: Vec::new(),
            body: "no more of these".into(),
        }),
    })
}

async fn the_answer_that_a_consumer_computes_is_the_providers(store: StoreKind) {
    let stage = Stage::start(store).await;
    let mut posting = Posting::to(&stage, synchronous()).await;
    let handlers = vec![handler("h", &["*"])];
    let mut consumer = HandConsumer::ready(&stage.consumer, "g", handlers, 1).await;
    let request = forwarded(posting.provider.request("msg_1", "{}")).await;
    let number = posting.edge.forward(request).await;
    let handout = consumer.handout().await;
    assert!(handout.answer_within_ms > 0);
    let answer = computed(&handout.inbound_request_id, 422);
    consumer.send(answer).await;
    let answer = posting.edge.answer(number).await;
    assert_eq!(answer.status, 422);
    assert_eq!(&answer.body[..], b"no more of these");
    consumer.ack(&handout, "refused it").await;
}

async fn an_answer_from_whom_the_request_was_not_handed_to_is_dropped(store: StoreKind) {
    let stage = Stage::start(store).await;
    let mut posting = Posting::to(&stage, synchronous()).await;
    let handlers = vec![handler("h", &["*"])];
    let mut consumer = HandConsumer::ready(&stage.consumer, "g", handlers, 1).await;
    let request = forwarded(posting.provider.request("msg_1", "{}")).await;
    let number = posting.edge.forward(request).await;
    let handout = consumer.handout().await;

    let other = vec![handler("h", &["nothing"])];
    let mut other = HandConsumer::ready(&stage.consumer, "other", other, 1).await;
    other.send(computed(&handout.inbound_request_id, 500)).await;
    // What follows on the same stream shows that the answer was read.
    let event_id = stage.emit("nothing").await;
    let settled = loop {
        let handout = other.handout().await;
        if handout.event_id == event_id {
            break handout;
        }
    };
    other.ack(&settled, "").await;
    consumer
        .send(computed(&handout.inbound_request_id, 201))
        .await;
    assert_eq!(posting.edge.answer(number).await.status, 201);
}
