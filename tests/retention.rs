//! What is old enough goes, unless it is still needed. Time is what the rows say: they are dated back by hand.

use posthorn::v1::{
    DeliveryActionKind, DeliveryState, EndpointSettings, Event, ExplicitRetry, GetDeliveryRequest,
    ListAuditRequest, ListEventsRequest, RetryPolicy, retry_policy::Schedule,
};
use posthorn_harness::{Answer, Deployment, Sql, StoreKind};

use super::support::{
    DEADLINE,
    follow::{await_state, delivery},
    pause::{pause, resume},
    restart::{restart, start, stop},
    time::from_now,
};

on_both! {
    a_day_goes_when_it_is_old_and_nothing_of_it_is_open,
    a_dead_letter_expires_at_the_end_of_its_retention,
}

const DAY_SECONDS: i64 = 24 * 60 * 60;

/// Waits until the first round of retention since the start is over.
async fn await_round(deployment: &Deployment) {
    let done = deployment.control.logged("a round of retention").await;
    assert!(done, "{}", deployment.control.logs());
}

/// The instant `days` before now, in milliseconds since 1970.
fn days_ago(days: i64) -> i64 {
    from_now(-days * DAY_SECONDS).seconds * 1_000
}

/// An event with an open delivery, and where its copies of other days are made.
struct Past {
    sql: Sql,
    event: String,
    delivery: String,
    is_postgres: bool,
}

impl Past {
    /// Takes the only event and delivery of a database as the pattern.
    async fn new(deployment: &Deployment) -> Self {
        let mut sql = Sql::open(&deployment.control.database()).await;
        let mut only = Vec::new();
        for (table, id) in [("event", "event_id"), ("delivery", "delivery_id")] {
            let digits = sql.id_digits(id);
            let ids = sql.texts(&format!("select {digits} from {table}")).await;
            assert_eq!(ids.len(), 1, "{table}: {ids:?}");
            only.extend(ids);
        }
        Self {
            sql,
            event: only.remove(0),
            delivery: only.remove(0),
            is_postgres: deployment.postgres.is_some(),
        }
    }

    /// Makes the partitions of a day, as the control plane did when the day came.
    async fn make_day(&mut self, at_ms: i64) {
        if !self.is_postgres {
            return;
        }
        let day = at_ms / (DAY_SECONDS * 1_000);
        let bound = |day: i64| {
            let at_ms = day * DAY_SECONDS * 1_000;
            format!("'{at_ms:012x}{}'", "0".repeat(20))
        };
        let (from, below) = (bound(day), bound(day + 1));
        for table in ["event", "attempt"] {
            let statement = format!(
                "create table {table}_d{day} partition of {table} for values from ({from}) to ({below})"
            );
            self.sql.run(&statement).await;
        }
    }

    /// Copies the event to another instant.
    async fn copy_event(&mut self, at_ms: i64) {
        let (old, new) = (self.sql.id(&self.event), self.moved(&self.event, at_ms));
        let statement = format!(
            "insert into event
             select shard, {new}, tenant_id, event_type, payload, content_type, occurred_at, delivery_count, traceparent,
                    source_id, headers, batch_id
             from event where event_id = {old}"
        );
        assert_eq!(self.sql.run(&statement).await, 1);
    }

    /// Copies the open delivery to another instant.
    async fn copy_delivery(&mut self, at_ms: i64) {
        let (old, new) = (
            self.sql.id(&self.delivery),
            self.moved(&self.delivery, at_ms),
        );
        let statement = format!(
            "insert into delivery
             select shard, {new}, endpoint_id, tenant_id, state, attempt_count, attempt_base, next_attempt_at, dead_at,
                    dead_reason, retry_open
             from delivery where delivery_id = {old}"
        );
        assert_eq!(self.sql.run(&statement).await, 1);
    }

    /// Logs a successful attempt of the delivery's copy at another instant.
    async fn log_attempt(&mut self, at_ms: i64) {
        let (old, new) = (
            self.sql.id(&self.delivery),
            self.moved(&self.delivery, at_ms),
        );
        let statement = format!(
            "insert into attempt
             select shard, {new}, 1, 1, endpoint_id, tenant_id, true, 200, null, {at_ms}, 5, {new}, null, false
             from delivery where delivery_id = {old}"
        );
        assert_eq!(self.sql.run(&statement).await, 1);
    }

    async fn attempts(&mut self) -> usize {
        let digits = self.sql.id_digits("delivery_id");
        let attempts = format!("select {digits} from attempt");
        self.sql.texts(&attempts).await.len()
    }

    /// The literal of an id with another time in it.
    fn moved(&self, id: &str, at_ms: i64) -> String {
        self.sql.id(&format!("{at_ms:012x}{}", &id[12..]))
    }
}

/// The events that were emitted more than a day ago, newest first.
async fn old_events(deployment: &Deployment) -> Vec<Event> {
    let request = ListEventsRequest {
        tenant_id: deployment.tenant_id.clone(),
        created_before: Some(from_now(-DAY_SECONDS)),
        ..ListEventsRequest::default()
    };
    let answer = deployment.admin.events().list_events(request).await;
    answer.expect("events are listed").into_inner().events
}

async fn a_day_goes_when_it_is_old_and_nothing_of_it_is_open(store: StoreKind) {
    let mut deployment = Deployment::start(store).await;
    let url = deployment.receiver.url("/");
    let created = deployment.admin.create_endpoint(&url, &["*"]).await;
    let endpoint = created.endpoint.expect("the answer holds it").endpoint_id;
    pause(&deployment.admin, &endpoint).await;
    deployment.admin.emit("a.b", "{}").await;
    await_round(&deployment).await;
    stop(&mut deployment).await;

    // The retention is 30 days.
    let mut past = Past::new(&deployment).await;
    let (older, open, newer, young) = (days_ago(40), days_ago(38), days_ago(36), days_ago(20));
    for at_ms in [older, open, newer, young] {
        past.make_day(at_ms).await;
        past.copy_event(at_ms).await;
    }
    past.copy_delivery(open).await;
    for at_ms in [older, newer, young] {
        past.log_attempt(at_ms).await;
    }
    start(&mut deployment).await;
    await_round(&deployment).await;

    let kept = old_events(&deployment).await;
    let seconds = kept.iter().filter_map(|event| event.created_at);
    let seconds: Vec<i64> = seconds.map(|at| at.seconds).collect();
    assert_eq!(seconds, [young / 1_000, open / 1_000]);
    assert_eq!(past.attempts().await, 1);

    // What was kept is whole: it can be delivered. Then it goes too.
    resume(&deployment.admin, &endpoint).await;
    let late = &kept[1].event_id;
    await_state(&deployment.admin, late, DeliveryState::Delivered).await;
    let received = deployment.receiver.received("/");
    received.await_distinct(2, DEADLINE).await;
    restart(&mut deployment).await;
    await_round(&deployment).await;
    let kept = old_events(&deployment).await;
    assert_eq!(kept.len(), 1, "{kept:?}");
}

#[tokio::test]
async fn there_is_room_for_the_coming_days() {
    let deployment = Deployment::start(StoreKind::Postgres).await;
    await_round(&deployment).await;
    let mut sql = Sql::open(&deployment.control.database()).await;
    let partitions = sql
        .texts("select relname::text from pg_class where relispartition and relkind = 'r'")
        .await;
    let today = days_ago(0) / (DAY_SECONDS * 1_000);
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
    let mut deployment = Deployment::start(store).await;
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
    let old = dead_letter(&deployment).await;
    let young = dead_letter(&deployment).await;
    await_round(&deployment).await;
    stop(&mut deployment).await;
    // The retention of dead letters is 7 days.
    let mut sql = Sql::open(&deployment.control.database()).await;
    let (eight, six) = (days_ago(8), days_ago(6));
    sql.run(&format!("update delivery set dead_at = {six}"))
        .await;
    let first = "select delivery_id from delivery order by delivery_id limit 1";
    let statement = format!("update delivery set dead_at = {eight} where delivery_id in ({first})");
    assert_eq!(sql.run(&statement).await, 1);
    start(&mut deployment).await;
    await_round(&deployment).await;

    let expired = delivery(&deployment.admin, &old).await;
    assert_eq!(expired.state(), DeliveryState::Cancelled);
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
    assert_eq!(records[0].changes[0].new_value(), "1");
    let kept = delivery(&deployment.admin, &young).await;
    assert_eq!(kept.state(), DeliveryState::Dead);
}
