//! Orderly ends under load: what was acknowledged is there, what was held is given back.

use std::{collections::BTreeSet, convert::Infallible, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::{body::Frame, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use posthorn::v1::{
    DeliveryState, EmitEventsRequest, EmitEventsResponse, EndpointSettings, GetTenantRequest, Role,
    emit_result::Result as EmitResult,
};
use posthorn_harness::{Answer, Client, Deployment, StoreKind, eventually, get};
use prost::Message as _;
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tonic::{Code, Status};

use super::support::{
    DEADLINE,
    follow::{attempts_of, await_state, delivery_of},
    raw::{self, call, frame},
    refusal::Refusal,
    restart::start,
};

on_both! {
    what_a_stream_acknowledged_before_the_end_is_there_after_it,
    a_node_that_ends_leaves_the_rest_to_another,
    a_node_that_drains_is_not_ready_and_finishes_its_attempt,
    a_control_plane_that_drains_is_not_ready_and_finishes_its_calls,
}

/// Emits batches on one stream until it ends. Sends every answer to the test, and returns how the stream ended.
fn emit_until_the_end(
    client: &Client,
    answers: mpsc::UnboundedSender<EmitEventsResponse>,
) -> JoinHandle<Status> {
    let client = client.clone();
    tokio::spawn(async move {
        let (requests, stream) = mpsc::channel(4);
        let batch = vec![client.event("a.b", "{}"); 20];
        tokio::spawn(async move {
            for sequence in 0.. {
                let events = batch.clone();
                let request = EmitEventsRequest { sequence, events };
                if requests.send(request).await.is_err() {
                    break;
                }
            }
        });
        let stream = client
            .events()
            .emit_events(ReceiverStream::new(stream))
            .await;
        let mut stream = stream.expect("the stream is open").into_inner();
        loop {
            match stream.message().await {
                Ok(Some(answer)) => {
                    // The test reads until this ends.
                    let _ = answers.send(answer);
                }
                Ok(None) => return Status::ok("the stream ended"),
                Err(status) => return status,
            }
        }
    })
}

async fn what_a_stream_acknowledged_before_the_end_is_there_after_it(store: StoreKind) {
    let mut deployment = Deployment::start(store).await;
    let url = deployment.receiver.url("/");
    deployment.admin.create_endpoint(&url, &["*"]).await;
    let (sender, mut answers) = mpsc::unbounded_channel();
    let emitting = emit_until_the_end(&deployment.admin, sender);
    let mut seen = Vec::new();
    for _ in 0..10 {
        seen.push(answers.recv().await.expect("the stream goes on"));
    }
    let status = deployment.control.terminate().await;
    assert!(status.success(), "{}", deployment.control.logs());
    let end = Refusal::from(emitting.await.expect("the caller does not panic"));
    assert_eq!(end.code, Code::Unavailable, "{end:?}");
    assert!(end.says_when_to_retry, "{end:?}");
    while let Some(answer) = answers.recv().await {
        seen.push(answer);
    }
    let results = seen.into_iter().flat_map(|answer| answer.results);
    let acknowledged: BTreeSet<String> = results
        .filter_map(|result| match result.result {
            Some(EmitResult::Accepted(accepted)) => Some(accepted.event_id),
            _ => None,
        })
        .collect();
    assert!(acknowledged.len() >= 200, "{}", acknowledged.len());

    start(&mut deployment).await;
    let received = deployment.receiver.received("/");
    eventually("all that was acknowledged came", DEADLINE, async || {
        let came = received.by_webhook_id();
        acknowledged
            .iter()
            .all(|event_id| came.contains_key(event_id))
    })
    .await;
    for event_id in acknowledged.iter().step_by(50) {
        await_state(&deployment.admin, event_id, DeliveryState::Delivered).await;
    }
    let twice = received.by_webhook_id().into_iter();
    let twice: Vec<_> = twice.filter(|(_, count)| *count > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
}

async fn a_node_that_ends_leaves_the_rest_to_another(store: StoreKind) {
    let mut deployment = Deployment::start(store).await;
    let slow = Answer::Delay(Duration::from_millis(100));
    deployment.receiver.answer("/", slow);
    let settings = EndpointSettings {
        url: deployment.receiver.url("/"),
        subscriptions: vec!["*".to_owned()],
        concurrency: 8,
        ..EndpointSettings::default()
    };
    deployment.admin.create_endpoint_with(settings).await;
    let other = deployment.another_node().await;
    for number in 0..200 {
        deployment.admin.emit("a.b", number.to_string()).await;
    }
    let received = deployment.receiver.received("/");
    received.await_count(16, DEADLINE).await;
    let status = deployment.node.terminate().await;
    assert!(status.success(), "{}", deployment.node.logs());
    for number in 200..250 {
        deployment.admin.emit("a.b", number.to_string()).await;
    }
    received.await_distinct(250, DEADLINE).await;
    assert_eq!(received.count(), 250, "nothing twice: {}", other.logs());
}

async fn a_node_that_drains_is_not_ready_and_finishes_its_attempt(store: StoreKind) {
    let mut deployment = Deployment::start(store).await;
    let slow = Answer::Delay(Duration::from_secs(2));
    deployment.receiver.answer("/", slow);
    let url = deployment.receiver.url("/");
    deployment.admin.create_endpoint(&url, &["*"]).await;
    let event_id = deployment.admin.emit("a.b", "{}").await.event_id;
    let received = deployment.receiver.received("/");
    received.await_count(1, DEADLINE).await;
    let metrics = deployment.node.metrics;
    let (status, ()) = tokio::join!(
        deployment.node.terminate(),
        eventually("the node is not ready", DEADLINE, async || {
            get(metrics, "/readyz")
                .await
                .is_ok_and(|page| page.status == 503)
        })
    );
    assert!(status.success(), "{}", deployment.node.logs());
    let delivery = delivery_of(&deployment.admin, &event_id).await;
    assert_eq!(delivery.state(), DeliveryState::Delivered);
    let attempts = attempts_of(&deployment.admin, &delivery.delivery_id).await;
    assert_eq!((attempts.len(), received.count()), (1, 1));
}

async fn a_control_plane_that_drains_is_not_ready_and_finishes_its_calls(store: StoreKind) {
    let mut deployment = Deployment::start(store).await;
    let (addr, metrics) = (deployment.control.grpc, deployment.control.metrics);
    let key = deployment.admin.create_key(&[Role::Viewer]).await;
    let connection = TokioIo::new(raw::connect(addr).await);
    let connection = http2::handshake(TokioExecutor::new(), connection).await;
    let (mut sender, connection) = connection.expect("the control plane speaks HTTP/2");
    tokio::spawn(connection);

    // One call whose message is yet to come, and a whole one after it, whose answer says that the first has begun.
    let message = frame(false, &GetTenantRequest::default().encode_to_vec());
    let message = Bytes::from(message);
    let mut send = |body: mpsc::Receiver<Bytes>| {
        let frames = ReceiverStream::new(body).map(|bytes| Ok::<_, Infallible>(Frame::data(bytes)));
        let request = call(addr, "/posthorn.v1.TenantService/GetTenant", &key);
        let request = request.body(StreamBody::new(frames).boxed());
        sender.send_request(request.expect("the headers are well-formed"))
    };
    let (stalled, body) = mpsc::channel(1);
    let stalled_answer = send(body);
    let (whole, body) = mpsc::channel(1);
    let whole_answer = send(body);
    whole.send(message.clone()).await.expect("it is read");
    drop(whole);
    let answer = raw::read(whole_answer.await.expect("it is answered")).await;
    assert_eq!(answer.code, Some(Code::Ok), "{answer:?}");

    let finish = async {
        eventually("the control plane is not ready", DEADLINE, async || {
            get(metrics, "/readyz")
                .await
                .is_ok_and(|page| page.status == 503)
        })
        .await;
        stalled.send(message).await.expect("it is read");
        drop(stalled);
        raw::read(stalled_answer.await.expect("it is answered")).await
    };
    let (status, answer) = tokio::join!(deployment.control.terminate(), finish);
    assert!(status.success(), "{}", deployment.control.logs());
    assert_eq!(answer.code, Some(Code::Ok), "{answer:?}");
}
