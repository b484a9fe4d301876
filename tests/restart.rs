//! Orderly restarts keep everything.

use posthorn::v1::{
    DeliveryState, EmitEventRequest, EndpointSettings, GetEndpointRequest, RetryPolicy,
    RetryPreset, retry_policy::Schedule,
};
use posthorn_harness::{Answer, Client, Deployment, Sql, StoreKind};

use super::support::{
    DEADLINE,
    follow::{attempts_of, await_delivery, await_state, delivery, delivery_of},
    pause::{pause, resume},
    restart,
};

on_both! {
    a_restarted_control_plane_knows_everything,
    what_waited_at_a_restart_is_delivered_after_it,
    a_node_that_is_told_to_end_finishes_what_it_holds,
    a_node_finds_its_control_plane_again,
    a_delivery_in_flight_at_a_restart_arrives_once,
    what_is_open_for_a_deleted_endpoint_is_cancelled_though_a_crash_came_between,
}

/// Ends the control plane in good order and starts it again; returns a client of the new one.
async fn restart(deployment: &mut Deployment) -> Client {
    restart::restart(deployment).await;
    deployment.admin.clone()
}

async fn a_restarted_control_plane_knows_everything(store: StoreKind) {
    let mut deployment = Deployment::start(store).await;
    deployment.receiver.answer("/", Answer::Status(500));
    let settings = EndpointSettings {
        name: "kept".to_owned(),
        url: deployment.receiver.url("/"),
        subscriptions: vec!["order.*".to_owned()],
        retry_policy: Some(RetryPolicy {
            schedule: Some(Schedule::Preset(RetryPreset::Default.into())),
        }),
        ..EndpointSettings::default()
    };
    let created = deployment.admin.create_endpoint_with(settings).await;
    let endpoint = created.endpoint.expect("the answer holds the endpoint");
    let keyed = EmitEventRequest {
        idempotency_key: "once".to_owned(),
        ..deployment.admin.event("order.paid", "{}")
    };
    let emitted = deployment.admin.events().emit_event(keyed.clone()).await;
    let event_id = emitted.expect("it is accepted").into_inner().event_id;
    let open = delivery_of(&deployment.admin, &event_id).await;
    let before = await_delivery(&deployment.admin, &open.delivery_id, "failed", |delivery| {
        delivery.attempt_count == 1
    })
    .await;
    let attempts = attempts_of(&deployment.admin, &open.delivery_id).await;

    let admin = restart(&mut deployment).await;
    let request = GetEndpointRequest {
        tenant_id: deployment.tenant_id.clone(),
        endpoint_id: endpoint.endpoint_id.clone(),
    };
    let answer = admin.endpoints().get_endpoint(request).await;
    assert_eq!(
        answer.expect("it is there").into_inner().endpoint,
        Some(endpoint)
    );
    assert_eq!(delivery(&admin, &open.delivery_id).await, before);
    assert_eq!(attempts_of(&admin, &open.delivery_id).await, attempts);
    let again = admin.events().emit_event(keyed).await;
    let again = again.expect("it is accepted").into_inner();
    assert!(again.deduplicated);
    assert_eq!(again.event_id, event_id);
    assert!(!deployment.control.admin_key.is_empty());
}

async fn what_waited_at_a_restart_is_delivered_after_it(store: StoreKind) {
    let mut deployment = Deployment::start(store).await;
    let url = deployment.receiver.url("/");
    let created = deployment.admin.create_endpoint(&url, &["*"]).await;
    let endpoint = created.endpoint.expect("the answer holds it").endpoint_id;
    pause(&deployment.admin, &endpoint).await;
    for number in 0..500 {
        deployment.admin.emit("a.b", number.to_string()).await;
    }
    let admin = restart(&mut deployment).await;
    resume(&admin, &endpoint).await;
    let received = deployment.receiver.received("/");
    received.await_distinct(500, DEADLINE).await;
    assert_eq!(received.count(), 500);
}

async fn a_node_that_is_told_to_end_finishes_what_it_holds(store: StoreKind) {
    let mut deployment = Deployment::start(store).await;
    let url = deployment.receiver.url("/");
    deployment.admin.create_endpoint(&url, &["*"]).await;
    for number in 0..500 {
        deployment.admin.emit("a.b", number.to_string()).await;
        if number == 250 {
            let status = deployment.node.terminate().await;
            assert!(status.success(), "{}", deployment.node.logs());
        }
    }
    deployment.node.restart().await;
    let received = deployment.receiver.received("/");
    received.await_distinct(500, DEADLINE).await;
    assert_eq!(received.count(), 500, "nothing twice");
}

async fn a_node_finds_its_control_plane_again(store: StoreKind) {
    let mut deployment = Deployment::start(store).await;
    let url = deployment.receiver.url("/");
    deployment.admin.create_endpoint(&url, &["*"]).await;
    let node = deployment.node.pid();
    for round in 1..=3 {
        let admin = restart(&mut deployment).await;
        deployment.node.ready().await;
        admin.emit("a.b", round.to_string()).await;
        let received = deployment.receiver.received("/");
        received.await_count(round, DEADLINE).await;
    }
    assert_eq!(deployment.node.pid(), node);
}

async fn a_delivery_in_flight_at_a_restart_arrives_once(store: StoreKind) {
    let mut deployment = Deployment::start(store).await;
    let url = deployment.receiver.url("/slow");
    let slow = Answer::Delay(std::time::Duration::from_secs(2));
    deployment.receiver.answer("/slow", slow);
    deployment.admin.create_endpoint(&url, &["*"]).await;
    let event_id = deployment.admin.emit("a.b", "{}").await.event_id;
    let received = deployment.receiver.received("/slow");
    received.await_count(1, DEADLINE).await;
    let admin = restart(&mut deployment).await;
    let open = delivery_of(&admin, &event_id).await;
    await_delivery(&admin, &open.delivery_id, "is delivered", |delivery| {
        delivery.state() == DeliveryState::Delivered
    })
    .await;
    assert_eq!(received.count(), 1);
    assert_eq!(attempts_of(&admin, &open.delivery_id).await.len(), 1);
}

async fn what_is_open_for_a_deleted_endpoint_is_cancelled_though_a_crash_came_between(
    store: StoreKind,
) {
    let mut deployment = Deployment::start(store).await;
    let url = deployment.receiver.url("/");
    deployment.receiver.answer("/", Answer::Status(500));
    deployment.admin.create_endpoint(&url, &["*"]).await;
    let event = deployment.admin.emit("a.b", "{}").await.event_id;
    let id = delivery_of(&deployment.admin, &event).await.delivery_id;
    await_delivery(&deployment.admin, &id, "has failed once", |delivery| {
        delivery.attempt_count == 1
    })
    .await;
    restart::stop(&mut deployment).await;
    // The endpoint is gone, and what it had was not cancelled.
    let mut sql = Sql::open(&deployment.control.database()).await;
    sql.run("delete from secret").await;
    assert_eq!(sql.run("delete from object").await, 1);
    restart::start(&mut deployment).await;
    await_state(&deployment.admin, &event, DeliveryState::Cancelled).await;
}
