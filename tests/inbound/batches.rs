//! Batches: requests that bring several events at a time.

use std::collections::BTreeMap;

use posthorn::node::v1::ForwardedRequest;
use posthorn::v1::{
    ComputedAnswer, GetEventRequest, GetInboundRequestRequest, GetInboundRequestResponse,
    InboundActionKind, InboundRequest, ListDeliveriesRequest, ListInboundRequestsRequest,
    ReadInboundPayloadRequest, ReplayInboundRequestRequest, ReverifyInboundRequestRequest,
    RotateSourceSecretRequest, SourceAnswer, SourceSettings, SynchronousAnswer, Verdict,
    consume_request::Message as FromConsumer,
};
use posthorn_harness::{Deployment, Request, StoreKind, eventually};

use crate::support::{
    DEADLINE,
    batch_provider::{Batch, BatchProvider, PROVIDERS},
    hand_consumer::{HandConsumer, handler},
    hand_edge::{HandEdge, posted},
    time::millis,
};

on_both! {
    each_item_of_a_batch_is_one_event_with_its_type_however_it_is_repeated,
    a_batch_stays_as_it_was_signed_and_shows_what_became_of_its_items,
    a_batch_that_is_not_taken_apart_is_one_event_that_says_so,
    an_answer_for_an_item_is_that_of_its_batch_and_its_repeats_hear_it,
    a_rejected_batch_is_taken_apart_when_it_is_verified_again,
}

struct World {
    deployment: Deployment,
    edge: HandEdge,
}

impl World {
    async fn start(store: StoreKind) -> Self {
        let deployment = Deployment::start(store).await;
        let url = deployment.receiver.url("/");
        deployment.admin.create_endpoint(&url, &["*"]).await;
        let node = deployment.admin.with_key(&deployment.node_key);
        Self {
            edge: HandEdge::open(&node).await,
            deployment,
        }
    }

    async fn source(&self, settings: SourceSettings, secret: &str) -> String {
        let admin = &self.deployment.admin;
        let created = admin.create_source_with(settings, &[secret]).await;
        created.source.expect("the answer holds it").source_id
    }

    async fn take(&mut self, source_id: &str, batch: &Batch) {
        let answer = self.edge.ask(request(source_id, batch)).await;
        let name = &batch.body;
        assert!((200..300).contains(&answer.status), "{name}: {answer:?}");
    }

    /// What is listed, the oldest first.
    async fn list(&self, request: ListInboundRequestsRequest) -> Vec<InboundRequest> {
        let request = ListInboundRequestsRequest {
            tenant_id: self.deployment.tenant_id.clone(),
            page_size: 500,
            ..request
        };
        let mut inbound = self.deployment.admin.inbound();
        let answer = inbound.list_inbound_requests(request).await;
        let mut requests = answer.expect("they are listed").into_inner().requests;
        requests.reverse();
        requests
    }

    /// The batches of a provider's source, the oldest first.
    async fn batches(&self, provider: BatchProvider, source_id: &str) -> Vec<InboundRequest> {
        let batches = ListInboundRequestsRequest {
            source_id: source_id.to_owned(),
            event_type: format!("{}.batch", provider.name),
            ..ListInboundRequestsRequest::default()
        };
        let mut requests = self.list(batches).await;
        requests.retain(|request| request.batch_id == request.inbound_request_id);
        requests
    }

    async fn get(&self, id: &str) -> GetInboundRequestResponse {
        let request = GetInboundRequestRequest {
            tenant_id: self.deployment.tenant_id.clone(),
            inbound_request_id: id.to_owned(),
        };
        let mut inbound = self.deployment.admin.inbound();
        let answer = inbound.get_inbound_request(request).await;
        answer.expect("it is there").into_inner()
    }

    async fn read(&self, id: &str) -> Vec<u8> {
        let request = ReadInboundPayloadRequest {
            tenant_id: self.deployment.tenant_id.clone(),
            inbound_request_id: id.to_owned(),
            reason: "the test compares it".to_owned(),
        };
        let mut inbound = self.deployment.admin.inbound();
        let answer = inbound.read_inbound_payload(request).await;
        answer.expect("it is read").into_inner().body.to_vec()
    }

    /// What arrived, once so many events did: the types and ids by body.
    async fn arrived(&self, count: usize) -> BTreeMap<Vec<u8>, Vec<Request>> {
        let received = self.deployment.receiver.received("/");
        let mut by_body: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for request in received.await_distinct(count, DEADLINE).await {
            by_body
                .entry(request.body.to_vec())
                .or_default()
                .push(request);
        }
        by_body
    }
}

fn request(source_id: &str, batch: &Batch) -> ForwardedRequest {
    let headers = batch.headers.iter();
    let headers = headers.map(|(name, value)| (name.as_str(), value.as_str()));
    let headers = headers.collect::<Vec<_>>();
    let request = posted(source_id, &headers, batch.body.clone());
    ForwardedRequest {
        path_query: format!("{}{}", request.path_query, batch.query),
        ..request
    }
}

fn ids(name: &str, numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| format!("{name}-{number}")).collect()
}

async fn each_item_of_a_batch_is_one_event_with_its_type_however_it_is_repeated(store: StoreKind) {
    let mut world = World::start(store).await;
    let mut expected = BTreeMap::new();
    for provider in PROVIDERS {
        let name = provider.name;
        let source_id = world.source(provider.settings(), &provider.secret()).await;
        let first = provider.batch(&ids(name, 0..3));
        for _ in 0..2 {
            world.take(&source_id, &first).await;
        }
        let batches = world.batches(provider, &source_id).await;
        let verdicts = batches.iter().map(InboundRequest::verdict);
        let verdicts = verdicts.collect::<Vec<_>>();
        assert_eq!(verdicts, [Verdict::Accepted, Verdict::Duplicate], "{name}");
        let mut items = first.items;
        // Items without anything of their own are told by their batch; others whatever batch they are in.
        if !["pusher", "statsig"].contains(&name) {
            let other = provider.batch(&ids(name, 1..5));
            world.take(&source_id, &other).await;
            items.extend(other.items.into_iter().skip(2));
        }
        let types = items.into_iter().map(|item| (item, provider.event_type));
        expected.extend(types);
    }
    let arrived = world.arrived(expected.len()).await;
    for (item, event_type) in &expected {
        let requests = &arrived[item.as_bytes()];
        assert_eq!(requests.len(), 1, "{item}");
        assert_eq!(requests[0].header("webhook-event-type"), *event_type);
        assert_eq!(requests[0].header("content-type"), "application/json");
    }
    assert_eq!(arrived.len(), expected.len());
}

async fn a_batch_stays_as_it_was_signed_and_shows_what_became_of_its_items(store: StoreKind) {
    let mut world = World::start(store).await;
    let provider = BatchProvider::named("sendgrid");
    let source_id = world.source(provider.settings(), &provider.secret()).await;
    let batch = provider.batch(&ids("a", 0..3));
    world.take(&source_id, &batch).await;
    world
        .take(&source_id, &provider.batch(&ids("a", 2..4)))
        .await;
    let batches = world.batches(provider, &source_id).await;
    let (first, second) = (&batches[0], &batches[1]);
    assert_eq!(first.event_type, "sendgrid.batch");
    assert_eq!(first.event_id, "");
    let id = &first.inbound_request_id;
    assert_eq!(world.read(id).await, batch.body.as_bytes());

    let items = world.get(id).await.items;
    assert_eq!(items.len(), 3);
    for (item, json) in items.iter().zip(&batch.items) {
        assert_eq!(item.verdict(), Verdict::Accepted);
        assert_eq!(item.batch_id, *id);
        assert_eq!(item.event_type, "sendgrid.delivered");
        assert_eq!(world.read(&item.inbound_request_id).await, json.as_bytes());
    }
    let provider_ids = items.iter().map(|item| item.provider_event_id.as_str());
    assert!(provider_ids.eq(["a-0", "a-1", "a-2"]));
    let of_second = ListInboundRequestsRequest {
        batch_id: second.inbound_request_id.clone(),
        ..ListInboundRequestsRequest::default()
    };
    let of_second = world.list(of_second).await;
    let verdicts = of_second.iter().map(InboundRequest::verdict);
    assert!(verdicts.eq([Verdict::Duplicate, Verdict::Accepted]));
    assert_eq!(of_second[0].original_id, items[2].inbound_request_id);

    // An event and its deliveries name the request that brought them.
    let tenant_id = world.deployment.tenant_id.clone();
    let event = GetEventRequest {
        tenant_id: tenant_id.clone(),
        event_id: items[1].event_id.clone(),
        ..GetEventRequest::default()
    };
    let event = world.deployment.admin.events().get_event(event).await;
    let event = event.expect("it is there").into_inner().event;
    assert_eq!(event.expect("it is there").inbound_request_id, *id);
    let deliveries = ListDeliveriesRequest {
        tenant_id: tenant_id.clone(),
        event_id: items[1].event_id.clone(),
        ..ListDeliveriesRequest::default()
    };
    eventually("its delivery names it", DEADLINE, async || {
        let mut client = world.deployment.admin.deliveries();
        let listed = client.list_deliveries(deliveries.clone()).await;
        let listed = listed.expect("they are listed").into_inner().deliveries;
        listed.len() == 1 && listed[0].inbound_request_id == *id
    })
    .await;

    // A replay is one new event for each item.
    let replay = ReplayInboundRequestRequest {
        tenant_id,
        inbound_request_id: id.clone(),
        reason: "the consumer lost it".to_owned(),
        ..ReplayInboundRequestRequest::default()
    };
    let mut inbound = world.deployment.admin.inbound();
    let answer = inbound.replay_inbound_request(replay).await;
    let answer = answer.expect("it is replayed").into_inner();
    assert_eq!((answer.delivery_count, answer.event_ids.len()), (3, 3));
    let arrived = world.arrived(4 + 3).await;
    for json in &batch.items {
        assert_eq!(arrived[json.as_bytes()].len(), 2, "{json}");
    }
    for (place, id) in [(0, id), (1, &items[0].inbound_request_id)] {
        let actions = world.get(id).await.actions;
        let action = actions.last().expect("it is recorded");
        assert_eq!(action.kind(), InboundActionKind::Replay);
        let event_id = if place == 0 { "" } else { &answer.event_ids[0] };
        assert_eq!(action.event_id, event_id);
    }
}

async fn a_batch_that_is_not_taken_apart_is_one_event_that_says_so(store: StoreKind) {
    let mut world = World::start(store).await;
    let provider = BatchProvider::named("gocardless");
    let whole = SourceSettings {
        split: Some(false),
        ..provider.settings()
    };
    let whole = world.source(whole, &provider.secret()).await;
    let split = world.source(provider.settings(), &provider.secret()).await;
    let small = provider.batch(&ids("a", 0..2));
    let large = provider.batch(&ids("b", 0..1_001));
    world.take(&whole, &small).await;
    world.take(&split, &large).await;
    let arrived = world.arrived(2).await;
    for batch in [small, large] {
        let requests = &arrived[batch.body.as_bytes()];
        assert_eq!(requests.len(), 1);
        let event_type = requests[0].header("webhook-event-type");
        assert_eq!(event_type, "gocardless.batch");
    }
    // As many as may be are taken apart.
    let most = provider.batch(&ids("c", 0..1_000));
    world.take(&split, &most).await;
    let arrived = world.arrived(2 + 1_000).await;
    assert!(
        most.items
            .iter()
            .all(|item| arrived[item.as_bytes()].len() == 1)
    );
    let batches = world.batches(provider, &split).await;
    let items = world.get(&batches[0].inbound_request_id).await.items;
    assert_eq!(items.len(), 1_000);
}

async fn an_answer_for_an_item_is_that_of_its_batch_and_its_repeats_hear_it(store: StoreKind) {
    let mut world = World::start(store).await;
    let provider = BatchProvider::named("line");
    let settings = SourceSettings {
        synchronous: Some(SynchronousAnswer {
            deadline: Some(millis(10_000)),
            fallback: None,
        }),
        ..provider.settings()
    };
    let source_id = world.source(settings, &provider.secret()).await;
    let handlers = vec![handler("answers", &["*"])];
    let admin = &world.deployment.admin;
    let mut consumer = HandConsumer::ready(admin, "group", handlers, 10).await;
    let batch = provider.batch(&ids("a", 0..2));
    let first = world.edge.forward(request(&source_id, &batch)).await;
    let handout = consumer.handout().await;
    assert!(handout.answer_within_ms > 0);
    let batches = world.batches(provider, &source_id).await;
    assert_eq!(handout.inbound_request_id, batches[0].inbound_request_id);
    for status in [202, 409] {
        consumer
            .send(FromConsumer::Answer(ComputedAnswer {
                inbound_request_id: handout.inbound_request_id.clone(),
                answer: Some(SourceAnswer {
                    status,
                    ..SourceAnswer::default()
                }),
            }))
            .await;
    }
    assert_eq!(world.edge.answer(first).await.status, 202);
    // The same batch, and another one of the same items.
    let other = provider.batch(&ids("a", 1..2));
    for repeat in [&batch, &other] {
        let answer = world.edge.ask(request(&source_id, repeat)).await;
        assert_eq!(answer.status, 202, "{answer:?}");
    }
}

async fn a_rejected_batch_is_taken_apart_when_it_is_verified_again(store: StoreKind) {
    let mut world = World::start(store).await;
    let provider = BatchProvider::named("xero");
    let source_id = world.source(provider.settings(), "another-secret").await;
    let batch = provider.batch(&ids("a", 0..3));
    let answer = world.edge.ask(request(&source_id, &batch)).await;
    assert_eq!(answer.status, 401);
    let rejected = ListInboundRequestsRequest {
        verdict: Verdict::Rejected.into(),
        ..ListInboundRequestsRequest::default()
    };
    eventually("it is kept", DEADLINE, async || {
        world.list(rejected.clone()).await.len() == 1
    })
    .await;
    let id = world
        .list(rejected.clone())
        .await
        .swap_remove(0)
        .inbound_request_id;
    let tenant_id = world.deployment.tenant_id.clone();
    let rotate = RotateSourceSecretRequest {
        tenant_id: tenant_id.clone(),
        source_id: source_id.clone(),
        secret: provider.secret(),
        ..RotateSourceSecretRequest::default()
    };
    let mut sources = world.deployment.admin.sources();
    let rotated = sources.rotate_source_secret(rotate).await;
    rotated.expect("it is rotated");
    // One of its items comes in the meantime.
    world
        .take(&source_id, &provider.batch(&ids("a", 1..2)))
        .await;
    let reverify = ReverifyInboundRequestRequest {
        tenant_id,
        inbound_request_id: id.clone(),
        reason: "the secret was wrong".to_owned(),
        ..ReverifyInboundRequestRequest::default()
    };
    let mut inbound = world.deployment.admin.inbound();
    let answer = inbound.reverify_inbound_request(reverify).await;
    let request = answer.expect("it passes").into_inner().request;
    let request = request.expect("the answer holds it");
    assert_eq!(request.verdict(), Verdict::Accepted);
    assert_eq!(request.batch_id, id);
    let items = world.get(&id).await.items;
    let verdicts = items.iter().map(InboundRequest::verdict);
    let (accepted, duplicate) = (Verdict::Accepted, Verdict::Duplicate);
    assert!(verdicts.eq([accepted, duplicate, accepted]), "{items:?}");
    assert_eq!(world.read(&id).await, batch.body.as_bytes());
    let arrived = world.arrived(3).await;
    for item in &batch.items {
        assert_eq!(arrived[item.as_bytes()].len(), 1, "{item}");
    }
}
