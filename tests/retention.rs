//! What is old enough goes, unless it is still needed.

use posthorn::v1::{
    DeliveryActionKind, DeliveryState, EndpointSettings, Event, ExplicitRetry, GetDeliveryRequest,
    ListAuditRequest, ListEventsRequest, RetryPolicy, retry_policy::Schedule,
};
use posthorn_harness::{Answer, Deployment, Sql, StoreKind};

use super::support::{
    DEADLINE,
    follow::{await_delivery, await_state, delivery},
    passing::pass,
    pause::{pause, resume},
    time::{DAY, HOUR, from_now},
};

on_both! {
    a_day_goes_when_it_is_old_and_nothing_of_it_is_open,
    a_dead_letter_expires_at_the_end_of_its_retention,
}

/// Emits an event that is delivered; its id.
async fn delivered(deployment: &Deployment) -> String {
    let event_id = deployment.admin.emit("a.b", "{}").await.event_id;
    await_state(&deployment.admin, &event_id, DeliveryState::Delivered).await;
    event_id
}

/// The ids of all events, the newest first.
async fn events(deployment: &Deployment) -> Vec<String> {
    let request = ListEventsRequest {
        tenant_id: deployment.tenant_id.clone(),
        ..ListEventsRequest::default()
    };
    let answer = deployment.admin.events().list_events(request).await;
    let events = answer.expect("events are listed").into_inner().events;
    events
        .into_iter()
        .map(|event: Event| event.event_id)
        .collect()
}

async fn a_day_goes_when_it_is_old_and_nothing_of_it_is_open(store: StoreKind) {
    let mut deployment = Deployment::movable(store).await;
    let url = |path| deployment.receiver.url(path);
    let (posted, paused) = (url("/"), url("/paused"));
    deployment.admin.create_endpoint(&posted, &["a.*"]).await;
    let created = deployment.admin.create_endpoint(&paused, &["open.*"]).await;
    let endpoint = created.endpoint.expect("the answer holds it").endpoint_id;
    pause(&deployment.admin, &endpoint).await;

    // The retention is 30 days.
    let older = delivered(&deployment).await;
    pass(&mut deployment, 2 * DAY).await;
    let open = deployment.admin.emit("open.b", "{}").await.event_id;
    pass(&mut deployment, 2 * DAY).await;
    let newer = delivered(&deployment).await;
    pass(&mut deployment, 16 * DAY).await;
    let young = delivered(&deployment).await;
    assert_eq!(
        events(&deployment).await,
        [&young, &newer, &open, &older].map(Clone::clone)
    );
    pass(&mut deployment, 20 * DAY).await;
    assert_eq!(events(&deployment).await, [young.clone(), open.clone()]);
    let mut sql = Sql::open(&deployment.control.database()).await;
    let digits = sql.id_digits("delivery_id");
    let attempts = sql.texts(&format!("select {digits} from attempt")).await;
    assert_eq!(attempts.len(), 1, "{attempts:?}");

    // What was kept is whole: it can be delivered. Then it goes too.
    resume(&deployment.admin, &endpoint).await;
    await_state(&deployment.admin, &open, DeliveryState::Delivered).await;
    let received = deployment.receiver.received("/paused");
    received.await_distinct(1, DEADLINE).await;
    pass(&mut deployment, HOUR).await;
    assert_eq!(events(&deployment).await, [young]);
}

#[tokio::test]
async fn there_is_room_for_the_coming_days() {
    let deployment = Deployment::start(StoreKind::Postgres).await;
    let done = deployment.control.logged("a round of retention").await;
    assert!(done, "{}", deployment.control.logs());
    let mut sql = Sql::open(&deployment.control.database()).await;
    let partitions = sql
        .texts("select relname::text from pg_class where relispartition and relkind = 'r'")
        .await;
    let today = from_now(0).seconds / (24 * 60 * 60);
    for day in today..=today + 2 {
        for table in ["event", "attempt"] {
            let name = format!("{table}_d{day}");
            assert!(partitions.contains(&name), "{name}: {partitions:?}");
        }
    }
}

/// Emits an event whose only attempt fails, and returns the dead delivery's id.
async fn dead_letter(deployment: &Deployment) -> String {
    let event_id = deployment.admin.emit("a.b", "{}").await.event_id;
    let dead = await_state(&deployment.admin, &event_id, DeliveryState::Dead).await;
    dead.delivery_id
}

async fn a_dead_letter_expires_at_the_end_of_its_retention(store: StoreKind) {
    let mut deployment = Deployment::movable(store).await;
    deployment.receiver.answer("/", Answer::Status(500));
    let settings = EndpointSettings {
        url: deployment.receiver.url("/"),
        subscriptions: vec!["*".to_owned()],
        retry_policy: Some(RetryPolicy {
            schedule: Some(Schedule::Explicit(ExplicitRetry::default())),
        }),
        ..EndpointSettings::default()
    };
    deployment.admin.create_endpoint_with(settings).await;
    // The retention of dead letters is 7 days.
    let old = dead_letter(&deployment).await;
    pass(&mut deployment, 2 * DAY).await;
    let young = dead_letter(&deployment).await;
    pass(&mut deployment, 6 * DAY).await;

    await_delivery(&deployment.admin, &old, "expires", |delivery| {
        delivery.state() == DeliveryState::Cancelled
    })
    .await;
    let kept = delivery(&deployment.admin, &young).await;
    assert_eq!(kept.state(), DeliveryState::Dead);
    let request = GetDeliveryRequest {
        tenant_id: deployment.tenant_id.clone(),
        delivery_id: old,
    };
    let answer = deployment.admin.deliveries().get_delivery(request).await;
    let actions = answer.expect("it is there").into_inner().actions;
    assert_eq!(actions.len(), 1, "{actions:?}");
    assert_eq!(actions[0].kind(), DeliveryActionKind::Expire);
    assert!(actions[0].key_id.is_empty() && !actions[0].reason.is_empty());
    let request = ListAuditRequest {
        method: "ExpireDeadLetters".to_owned(),
        ..ListAuditRequest::default()
    };
    let records = deployment
        .admin
        .for_tenant("")
        .audit()
        .list_audit(request)
        .await;
    let records = records.expect("records are listed").into_inner().records;
    assert_eq!(records.len(), 1, "{records:?}");
}
