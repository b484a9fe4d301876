//! Emitting over a stream: a result for each event, whatever becomes of the others.

use posthorn::v1::{
    EmitEventRequest, EmitEventsRequest, EmitEventsResponse, emit_result::Result as EmitResult,
};
use posthorn_harness::{Client, Deployment, StoreKind};
use tokio_stream::StreamExt as _;
use tonic::{Code, Status};
use tonic_types::RpcStatusExt as _;

use crate::support::{DEADLINE, refusal::Refusal};

on_both! {
    each_event_of_a_batch_gets_its_own_result_in_order,
    two_events_of_a_batch_with_one_key_are_one_event,
    every_request_of_a_stream_is_answered_under_its_sequence,
    a_request_without_an_event_or_with_too_many_ends_the_stream,
    a_request_over_the_limit_of_a_message_ends_the_stream_after_what_came_before,
}

/// Sends these requests on one stream, ends it, and returns what came back until the stream ended.
async fn stream(
    client: &Client,
    requests: Vec<EmitEventsRequest>,
) -> (Vec<EmitEventsResponse>, Result<(), Status>) {
    let mut events = client.events();
    let answers = events.emit_events(tokio_stream::iter(requests)).await;
    let mut answers = match answers {
        Ok(answers) => answers.into_inner(),
        Err(status) => return (Vec::new(), Err(status)),
    };
    let mut responses = Vec::new();
    while let Some(response) = answers.next().await {
        match response {
            Ok(response) => responses.push(response),
            Err(status) => return (responses, Err(status)),
        }
    }
    (responses, Ok(()))
}

async fn each_event_of_a_batch_gets_its_own_result_in_order(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let url = deployment.receiver.url("/");
    deployment.admin.create_endpoint(&url, &["*"]).await;
    let good = deployment.admin.event("order.paid", "{}");
    let bad_type = deployment.admin.event("a..b", "{}");
    let bad_payload = deployment.admin.event("order.paid", "{");
    let other = deployment.admin.create_tenant("other").await;
    let elsewhere = EmitEventRequest {
        tenant_id: other,
        ..good.clone()
    };
    let emitter = deployment.client(&[posthorn::v1::Role::Emitter]).await;
    let events = vec![
        good.clone(),
        bad_type,
        good.clone(),
        bad_payload,
        elsewhere,
        good,
    ];
    let batch = EmitEventsRequest {
        sequence: 7,
        events,
    };
    let (responses, end) = stream(&emitter, vec![batch]).await;
    end.expect("the stream ends well");
    assert_eq!(responses.len(), 1);
    assert_eq!(responses[0].sequence, 7);
    let outcomes = responses[0].results.iter().map(outcome);
    let accepted = (Code::Ok, "");
    assert_eq!(
        outcomes.collect::<Vec<_>>(),
        [
            accepted,
            (Code::InvalidArgument, "event_type"),
            accepted,
            (Code::InvalidArgument, "payload"),
            (Code::PermissionDenied, ""),
            accepted,
        ]
        .map(|(code, field)| (code, field.to_owned()))
    );
    let received = deployment.receiver.received("/");
    received.await_distinct(3, DEADLINE).await;
    assert_eq!(received.count(), 3);
}

/// The code of a result, and the field when that is what the code is about.
fn outcome(result: &posthorn::v1::EmitResult) -> (Code, String) {
    match result.result.as_ref().expect("a result is set") {
        EmitResult::Accepted(_) => (Code::Ok, String::new()),
        EmitResult::Refused(refused) => {
            assert!(!refused.message.is_empty(), "{refused:?}");
            let fields = refused.get_details_bad_request();
            let fields = fields
                .map(|details| details.field_violations)
                .unwrap_or_default();
            let first = fields.into_iter().next();
            let field = first.map(|violation| violation.field);
            (Code::from_i32(refused.code), field.unwrap_or_default())
        }
    }
}

async fn two_events_of_a_batch_with_one_key_are_one_event(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let keyed = EmitEventRequest {
        idempotency_key: "once".to_owned(),
        ..deployment.admin.event("order.paid", "{}")
    };
    let changed = EmitEventRequest {
        event_type: "order.lost".to_owned(),
        ..keyed.clone()
    };
    let batch = EmitEventsRequest {
        sequence: 1,
        events: vec![keyed.clone(), keyed, changed],
    };
    let (mut responses, end) = stream(&deployment.admin, vec![batch]).await;
    end.expect("the stream ends well");
    let results = responses.remove(0).results;
    let accepted: Vec<_> = results[..2]
        .iter()
        .map(|result| match result.result.clone() {
            Some(EmitResult::Accepted(accepted)) => accepted,
            other => panic!("not accepted: {other:?}"),
        })
        .collect();
    assert_eq!(accepted[0].event_id, accepted[1].event_id);
    assert!(!accepted[0].deduplicated && accepted[1].deduplicated);
    assert_eq!(outcome(&results[2]).0, Code::AlreadyExists);
}

async fn every_request_of_a_stream_is_answered_under_its_sequence(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let url = deployment.receiver.url("/");
    deployment.admin.create_endpoint(&url, &["*"]).await;
    let requests = (0..40).map(|sequence| EmitEventsRequest {
        sequence: sequence * 3,
        events: vec![deployment.admin.event("order.paid", "{}"); 25],
    });
    let (responses, end) = stream(&deployment.admin, requests.collect()).await;
    end.expect("the stream ends well");
    let mut sequences: Vec<u64> = responses.iter().map(|one| one.sequence).collect();
    sequences.sort_unstable();
    let expected: Vec<u64> = (0..40).map(|sequence| sequence * 3).collect();
    assert_eq!(sequences, expected);
    let results = responses.iter().flat_map(|one| &one.results);
    assert_eq!(results.clone().count(), 1_000);
    assert!(
        results
            .into_iter()
            .all(|result| outcome(result).0 == Code::Ok)
    );
    let received = deployment.receiver.received("/");
    received.await_distinct(1_000, DEADLINE).await;
    assert_eq!(received.count(), 1_000);
}

async fn a_request_without_an_event_or_with_too_many_ends_the_stream(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let event = deployment.admin.event("order.paid", "{}");
    for count in [0, 1_001] {
        let batch = EmitEventsRequest {
            sequence: 1,
            events: vec![event.clone(); count],
        };
        let (responses, end) = stream(&deployment.admin, vec![batch]).await;
        assert!(responses.is_empty());
        let refusal = Refusal::from(end.expect_err("the stream is refused"));
        assert_eq!(refusal.code, Code::InvalidArgument, "{count}: {refusal:?}");
    }
    let batch = EmitEventsRequest {
        sequence: 1,
        events: vec![event; 1_000],
    };
    let (responses, end) = stream(&deployment.admin, vec![batch]).await;
    end.expect("the stream ends well");
    assert_eq!(responses[0].results.len(), 1_000);
}

async fn a_request_over_the_limit_of_a_message_ends_the_stream_after_what_came_before(
    store: StoreKind,
) {
    let deployment = Deployment::start(store).await;
    let payload = format!("\"{}\"", "x".repeat(256 * 1024 - 2));
    let event = deployment.admin.event("order.paid", payload);
    // 15 of these events and what is around them are less than 4 MiB; 16 are more.
    let requests = [15, 16, 1].map(|count| EmitEventsRequest {
        sequence: count,
        events: vec![event.clone(); usize::try_from(count).expect("a small number")],
    });
    let (responses, end) = stream(&deployment.admin, requests.into()).await;
    let refusal = Refusal::from(end.expect_err("the stream is refused"));
    assert_eq!(refusal.code, Code::OutOfRange, "{refusal:?}");
    assert_eq!(responses.len(), 1);
    assert_eq!(responses[0].sequence, 15);
    let results = responses[0].results.iter();
    assert_eq!(results.clone().count(), 15);
    assert!(results.map(outcome).all(|(code, _)| code == Code::Ok));
}
