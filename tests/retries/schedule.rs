//! The schedule: its delays, its end, and whose it is.

use std::ops::Range;

use posthorn::v1::{
    CreateTenantRequest, DeadReason, DeliveryState, EndpointSettings, ErrorKind, ExponentialRetry,
    RetryDeliveryRequest, RetryPolicy, TenantSettings, retry_policy::Schedule,
};
use posthorn_harness::{Answer, Client, Deployment, StoreKind};
use tonic::Code;

use super::{explicit, numbers, one_event, settings};
use crate::support::{
    follow::{attempts_of, await_delivery, await_state, delivery_of},
    refusal::assert_refused,
    time::millis,
};

on_both! {
    a_failed_delivery_is_tried_again_until_it_succeeds,
    a_delivery_is_dead_after_the_last_attempt_of_its_schedule,
    a_retry_after_header_lengthens_the_delay,
    the_delay_of_the_schedule_is_kept,
    a_tenants_policy_applies_where_the_endpoint_has_none,
}

async fn a_failed_delivery_is_tried_again_until_it_succeeds(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let answer = Answer::Sequence(vec![500, 503, 200]);
    let event = one_event(&deployment, "/flaky", answer, &[0, 0, 0, 0]).await;
    let delivery = await_state(&deployment.admin, &event, DeliveryState::Delivered).await;
    assert_eq!(delivery.attempt_count, 3);
    assert!(delivery.next_attempt_at.is_none() && delivery.ended_at.is_some());

    let attempts = attempts_of(&deployment.admin, &delivery.delivery_id).await;
    assert_eq!(numbers(&attempts), [1, 2, 3]);
    let outcomes = attempts
        .iter()
        .map(|one| (one.succeeded, one.status_code, one.error_kind()));
    let outcomes: Vec<_> = outcomes.collect();
    let failed = |status| (false, status, ErrorKind::Http5xx);
    assert_eq!(
        outcomes,
        [
            failed(500),
            failed(503),
            (true, 200, ErrorKind::Unspecified)
        ]
    );
    assert!(
        attempts
            .iter()
            .all(|one| one.holder_id.starts_with("node_") && !one.late)
    );

    let requests = deployment.receiver.received("/flaky").requests();
    let headers = requests
        .iter()
        .map(|one| (one.webhook_id(), one.header("webhook-attempt")));
    let headers: Vec<_> = headers.collect();
    assert_eq!(headers, [(&*event, "1"), (&*event, "2"), (&*event, "3")]);
}

async fn a_delivery_is_dead_after_the_last_attempt_of_its_schedule(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let event = one_event(&deployment, "/dead", Answer::Status(500), &[0, 0]).await;
    let delivery = await_state(&deployment.admin, &event, DeliveryState::Dead).await;
    assert_eq!(delivery.dead_reason(), DeadReason::AttemptsExhausted);
    assert_eq!(delivery.attempt_count, 3);
    assert!(delivery.next_attempt_at.is_none() && delivery.ended_at.is_some());
    assert_eq!(deployment.receiver.received("/dead").count(), 3);

    // Brought back, it has its whole schedule again and goes on counting.
    deployment
        .receiver
        .answer("/dead", Answer::Sequence(vec![500, 500, 200]));
    let request = RetryDeliveryRequest {
        tenant_id: deployment.tenant_id.clone(),
        delivery_id: delivery.delivery_id.clone(),
        reason: "the receiver is mended".to_owned(),
        ..RetryDeliveryRequest::default()
    };
    let mut deliveries = deployment.admin.deliveries();
    let retried = deliveries.retry_delivery(request.clone()).await;
    let retried = retried.expect("it is retried").into_inner().delivery;
    let retried = retried.expect("the answer holds the delivery");
    assert_eq!(retried.state(), DeliveryState::Pending);
    await_state(&deployment.admin, &event, DeliveryState::Delivered).await;
    let attempts = attempts_of(&deployment.admin, &delivery.delivery_id).await;
    assert_eq!(numbers(&attempts), [1, 2, 3, 4, 5, 6]);

    let result = deliveries.retry_delivery(request).await;
    assert_refused("delivered is final", result, Code::FailedPrecondition);
}

/// The seconds from the last attempt to the next one, for a delivery that waits for its second.
async fn waits(client: &Client, event_id: &str) -> i64 {
    let delivery_id = delivery_of(client, event_id).await.delivery_id;
    let delivery = await_delivery(client, &delivery_id, "has failed once", |delivery| {
        delivery.attempt_count == 1
    })
    .await;
    assert_eq!(delivery.state(), DeliveryState::Pending);
    let next = delivery.next_attempt_at.expect("it is set while pending");
    let attempts = attempts_of(client, &delivery_id).await;
    let last = attempts[0].started_at.expect("an attempt has a start");
    next.seconds - last.seconds
}

/// A delay of so many seconds, spread by 20 % either way, and the second that rounding may cost. The time that an
/// attempt took comes on top, so there is room above.
fn spread(seconds: i64) -> Range<i64> {
    seconds * 4 / 5 - 1..seconds * 6 / 5 + 60
}

async fn a_retry_after_header_lengthens_the_delay(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    for (case, (status, retry_after, seconds)) in [
        (429, "1800", 1_800..1_900),
        (503, "1800", 1_800..1_900),
        (503, "999999999", 3_600..3_700),
        (503, "Fri, 31 Dec 9999 23:59:59 GMT", 3_600..3_700),
        (503, "Fri, 31 Dec 1999 23:59:59 GMT", spread(600)),
        (503, "5", spread(600)),
        (503, "-5", spread(600)),
        (503, "soon", spread(600)),
        (500, "1800", spread(600)),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = Answer::Full {
            status,
            headers: vec![("retry-after".to_owned(), retry_after.to_owned())],
            body: "".into(),
        };
        let path = format!("/later{case}");
        let event = one_event(&deployment, &path, answer, &[600_000]).await;
        let waits = waits(&deployment.admin, &event).await;
        assert!(
            seconds.contains(&waits),
            "{status} {retry_after}: {waits} s"
        );
    }
}

async fn the_delay_of_the_schedule_is_kept(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let exponential = RetryPolicy {
        schedule: Some(Schedule::Exponential(ExponentialRetry {
            initial: Some(millis(7_200_000)),
            factor: 2.0,
            max: Some(millis(72_000_000)),
            attempts: 3,
        })),
    };
    for (case, policy, seconds) in [
        ("explicit", explicit(&[86_400_000]), 86_400),
        ("exponential", exponential, 7_200),
    ] {
        let path = format!("/{case}");
        deployment.receiver.answer(&path, Answer::Status(500));
        let settings = EndpointSettings {
            subscriptions: vec![case.to_owned()],
            ..settings(deployment.receiver.url(&path), policy)
        };
        deployment.admin.create_endpoint_with(settings).await;
        let event = deployment.admin.emit(case, "{}").await.event_id;
        let waits = waits(&deployment.admin, &event).await;
        assert!(spread(seconds).contains(&waits), "{case}: {waits} s");
    }
}

async fn a_tenants_policy_applies_where_the_endpoint_has_none(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let settings = TenantSettings {
        name: "impatient".to_owned(),
        retry_policy: Some(explicit(&[0])),
        ..TenantSettings::default()
    };
    let request = CreateTenantRequest {
        settings: Some(settings),
        ..CreateTenantRequest::default()
    };
    let tenant = deployment.admin.tenants().create_tenant(request).await;
    let tenant = tenant.expect("it is created").into_inner().tenant;
    let tenant_id = tenant.expect("the answer holds the tenant").tenant_id;
    let client = deployment.admin.for_tenant(&tenant_id);
    deployment.receiver.answer("/dead", Answer::Status(500));
    let url = deployment.receiver.url("/dead");
    client.create_endpoint(&url, &["*"]).await;
    let event = client.emit("a.b", "{}").await.event_id;
    let delivery = await_state(&client, &event, DeliveryState::Dead).await;
    assert_eq!(delivery.attempt_count, 2);
}
