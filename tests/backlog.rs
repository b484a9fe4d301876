//! More waits for an endpoint than memory holds: it is paged in, in order, and nothing is lost or sent twice.

use std::{collections::HashMap, time::Duration};

use posthorn::v1::{EmitEventsRequest, EndpointSettings, emit_result::Result as EmitResult};
use posthorn_harness::{Deployment, Request, StoreKind};

use super::support::{
    DEADLINE,
    pause::{pause, resume},
    restart::restart,
};

on_both! {
    a_backlog_larger_than_memory_arrives_once_and_in_order,
    a_backlog_goes_on_in_order_after_restarts,
}

/// Several times what the control plane keeps of one endpoint in memory.
const EVENTS: usize = 5_000;
/// How many events one message carries: they are emitted at one instant, in no order.
const BATCH: usize = 100;
/// How long all of it may take: one request after the other.
const LONG: Duration = Duration::from_mins(3);

/// Makes an endpoint that takes one request at a time, paused.
async fn paused_endpoint(deployment: &Deployment) -> String {
    let settings = EndpointSettings {
        url: deployment.receiver.url("/"),
        subscriptions: vec!["*".to_owned()],
        concurrency: 1,
        ..EndpointSettings::default()
    };
    let created = deployment.admin.create_endpoint_with(settings).await;
    let endpoint = created.endpoint.expect("the answer holds it").endpoint_id;
    pause(&deployment.admin, &endpoint).await;
    endpoint
}

/// Emits all events, one message after the other; returns the number of the message that each event was in.
async fn emit(deployment: &Deployment) -> HashMap<String, usize> {
    let mut numbers = HashMap::new();
    for number in 0..EVENTS / BATCH {
        let batch = EmitEventsRequest {
            sequence: 1,
            events: vec![deployment.admin.event("a.b", number.to_string()); BATCH],
        };
        let mut events = deployment.admin.events();
        let answers = events.emit_events(tokio_stream::once(batch)).await;
        let mut answers = answers.expect("the stream is open").into_inner();
        let answer = answers.message().await.expect("the stream is well");
        for result in answer.expect("the batch is answered").results {
            match result.result {
                Some(EmitResult::Accepted(accepted)) => numbers.insert(accepted.event_id, number),
                other => panic!("not accepted: {other:?}"),
            };
        }
    }
    assert_eq!(numbers.len(), EVENTS);
    numbers
}

/// Every event came exactly once, and none before one of an earlier message.
fn assert_in_order(requests: &[Request], numbers: &HashMap<String, usize>) {
    assert_eq!(requests.len(), EVENTS, "nothing twice");
    let order: Vec<usize> = requests
        .iter()
        .map(|request| numbers[request.webhook_id()])
        .collect();
    let swapped = order.windows(2).position(|pair| pair[0] > pair[1]);
    assert_eq!(swapped, None, "{order:?}");
}

async fn a_backlog_larger_than_memory_arrives_once_and_in_order(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let endpoint = paused_endpoint(&deployment).await;
    let numbers = emit(&deployment).await;
    resume(&deployment.admin, &endpoint).await;
    let received = deployment.receiver.received("/");
    let requests = received.await_distinct(EVENTS, LONG).await;
    assert_in_order(&requests, &numbers);
}

async fn a_backlog_goes_on_in_order_after_restarts(store: StoreKind) {
    let mut deployment = Deployment::start(store).await;
    let endpoint = paused_endpoint(&deployment).await;
    let numbers = emit(&deployment).await;
    restart(&mut deployment).await;
    resume(&deployment.admin, &endpoint).await;
    let received = deployment.receiver.received("/");
    received.await_distinct(EVENTS / 3, DEADLINE).await;
    restart(&mut deployment).await;
    let requests = received.await_distinct(EVENTS, LONG).await;
    assert_in_order(&requests, &numbers);
}
