//! One endpoint's trouble is not another's.

use std::time::Duration;

use posthorn::v1::{EmitEventsRequest, EndpointSettings};
use posthorn_harness::{Answer, Deployment, Refused, StoreKind};

use super::{explicit, settings};
use crate::support::time::millis;

on_both! {
    one_endpoints_failure_does_not_keep_another_waiting,
}

async fn one_endpoints_failure_does_not_keep_another_waiting(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let refused = Refused::new();
    let hanging = deployment.receiver.url("/hangs");
    deployment.receiver.answer("/hangs", Answer::Hang);
    for url in [refused.url(), hanging] {
        let settings = EndpointSettings {
            timeout: Some(millis(60_000)),
            ..settings(url, explicit(&[0; 99]))
        };
        deployment.admin.create_endpoint_with(settings).await;
    }
    let well = deployment.receiver.url("/well");
    deployment.admin.create_endpoint(&well, &["*"]).await;
    // More than every slot of the node, so that the hanging ones would take all of them if they could.
    let events = vec![deployment.admin.event("a.b", "{}"); 1_000];
    for sequence in 0..3 {
        let batch = EmitEventsRequest {
            sequence,
            events: events.clone(),
        };
        let stream = deployment
            .admin
            .events()
            .emit_events(tokio_stream::iter([batch]))
            .await;
        let mut answers = stream.expect("the stream opens").into_inner();
        let answer = answers.message().await.expect("the batch is answered");
        assert!(answer.is_some());
    }
    let received = deployment.receiver.received("/well");
    let deadline = Duration::from_secs(45);
    received.await_distinct(3_000, deadline).await;
    assert_eq!(received.count(), 3_000);
}
