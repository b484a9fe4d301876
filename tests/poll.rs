//! Sources that are pulled: beside a webhook, or instead of one.

use std::collections::BTreeSet;

use posthorn::v1::{
    CreateSourceRequest, GetDriftReportRequest, GetDriftReportResponse, GetSourceRequest, Header,
    InboundChannel, ListInboundRequestsRequest, PollSettings, SourceSettings, UpdateSourceRequest,
};
use posthorn_harness::{
    Answer, Client, Deployment, Provider, STANDARD_WEBHOOKS, StoreKind, eventually,
};
use prost_types::{Duration, FieldMask};

use super::support::DEADLINE;

on_both! {
    every_item_of_every_page_is_one_event_with_its_bytes,
    what_the_webhook_had_missed_is_delivered_and_reported_as_drift,
    a_list_that_fails_is_reported_and_loses_nothing,
}

const HOOK: &str = "/hook";

fn poll(url: String) -> PollSettings {
    PollSettings {
        url,
        items: "/data".to_owned(),
        item_id: "/id".to_owned(),
        item_type: "/type".to_owned(),
        interval: Some(Duration {
            seconds: 10,
            nanos: 0,
        }),
        ..PollSettings::default()
    }
}

fn list(body: &str) -> Answer {
    Answer::Full {
        status: 200,
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: body.to_owned().into(),
    }
}

async fn every_item_of_every_page_is_one_event_with_its_bytes(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let (admin, receiver) = (&deployment.admin, &deployment.receiver);
    admin.create_endpoint(&receiver.url(HOOK), &["*"]).await;
    let first =
        r#"{"data": [{"id":"i1", "type":"order.paid", "n": 1.0}, {"id":"i2"}], "next": "p2"}"#;
    receiver.answer("/list/p1", list(first));
    receiver.answer(
        "/list/p2",
        list(r#"{"data": [{"id":"i3"},{"id":"i1", "type":"order.paid", "n": 1.0}]}"#),
    );
    let settings = SourceSettings {
        poll: Some(PollSettings {
            cursor: "/next".to_owned(),
            initial_cursor: "p1".to_owned(),
            headers: vec![Header {
                name: "authorization".to_owned(),
                value: "{secret}".to_owned(),
            }],
            ..poll(receiver.url("/list/{cursor}"))
        }),
        ..SourceSettings::default()
    };
    let request = CreateSourceRequest {
        tenant_id: admin.tenant_id.clone(),
        settings: Some(settings),
        poll_secret: "Bearer of-the-list".to_owned(),
        ..CreateSourceRequest::default()
    };
    let created = admin.sources().create_source(request).await;
    created.expect("the source is created");

    let arrivals = receiver.received(HOOK);
    let mut bodies: Vec<_> = arrivals
        .await_distinct(3, DEADLINE)
        .await
        .into_iter()
        .map(|request| {
            (
                String::from_utf8_lossy(&request.body).into_owned(),
                request.header("webhook-event-type").to_owned(),
            )
        })
        .collect();
    bodies.sort();
    let expected = [
        (
            r#"{"id":"i1", "type":"order.paid", "n": 1.0}"#,
            "poll.order.paid",
        ),
        (r#"{"id":"i2"}"#, "poll.event"),
        (r#"{"id":"i3"}"#, "poll.event"),
    ];
    assert_eq!(
        bodies,
        expected.map(|(body, kind)| (body.to_owned(), kind.to_owned()))
    );
    let asked = receiver.received("/list/p1").requests();
    assert_eq!(asked[0].header("authorization"), "Bearer of-the-list");
}

async fn what_the_webhook_had_missed_is_delivered_and_reported_as_drift(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let (admin, receiver) = (&deployment.admin, &deployment.receiver);
    admin.create_endpoint(&receiver.url(HOOK), &["*"]).await;
    let created = admin.create_source(STANDARD_WEBHOOKS).await;
    let source = created.source.expect("the answer holds the source");
    let provider = Provider::new(deployment.node.edge, &source.source_id, &created.secret);
    let posted = provider.post("w1", r#"{"id":"w1","from":"webhook"}"#).await;
    assert!(posted.expect("the edge answers").status.is_success());

    // The list shows the same event in other words, and two that never came.
    receiver.answer(
        "/list",
        list(r#"{"data": [{"id":"w1","full":true},{"id":"w2","full":true},{"id":"w3","full":true}]}"#),
    );
    add_poll(admin, &source.source_id, poll(receiver.url("/list"))).await;
    let arrivals = receiver.received(HOOK).await_distinct(3, DEADLINE).await;
    let bodies = arrivals.iter().map(|request| &request.body[..]);
    let expected = [
        &br#"{"id":"w1","from":"webhook"}"#[..],
        br#"{"id":"w2","full":true}"#,
        br#"{"id":"w3","full":true}"#,
    ];
    assert_eq!(bodies.collect::<BTreeSet<_>>(), BTreeSet::from(expected));

    eventually("the pull is noted", DEADLINE, async || {
        drift(admin, &source.source_id).await.polled_at.is_some()
    })
    .await;
    let report = drift(admin, &source.source_id).await;
    assert_eq!((report.by_webhook, report.by_poll), (1, 2), "{report:?}");
    let missed = report.items.iter().map(|item| &item.provider_event_id[..]);
    // Found at one instant, so their ids are in no order.
    assert_eq!(
        missed.collect::<BTreeSet<_>>(),
        BTreeSet::from(["w2", "w3"])
    );
    let request = ListInboundRequestsRequest {
        tenant_id: admin.tenant_id.clone(),
        source_id: source.source_id.clone(),
        provider_event_id: "w2".to_owned(),
        ..ListInboundRequestsRequest::default()
    };
    let listed = admin.inbound().list_inbound_requests(request).await;
    let listed = listed
        .expect("requests can be listed")
        .into_inner()
        .requests;
    assert_eq!(listed[0].channel(), InboundChannel::Poll);

    // The webhook comes after all: it is answered, and is no second event.
    let posted = provider.post("w2", r#"{"id":"w2","from":"webhook"}"#).await;
    assert!(posted.expect("the edge answers").status.is_success());
    assert_eq!(receiver.received(HOOK).count(), 3);
}

async fn a_list_that_fails_is_reported_and_loses_nothing(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let (admin, receiver) = (&deployment.admin, &deployment.receiver);
    receiver.answer("/list", Answer::Status(500));
    let settings = SourceSettings {
        poll: Some(poll(receiver.url("/list"))),
        ..SourceSettings::default()
    };
    let created = admin.create_source_with(settings, &[]).await;
    let source = created.source.expect("the answer holds the source");
    eventually("the failure is noted", DEADLINE, async || {
        drift(admin, &source.source_id).await.failures == 1
    })
    .await;
    let report = drift(admin, &source.source_id).await;
    assert_eq!(report.last_error, "http_status_500");
    assert_eq!(report.polled_at, None);
    assert!(report.next_poll_at.is_some());
}

async fn add_poll(admin: &Client, source_id: &str, poll: PollSettings) {
    let request = GetSourceRequest {
        tenant_id: admin.tenant_id.clone(),
        source_id: source_id.to_owned(),
    };
    let source = admin.sources().get_source(request).await;
    let source = source.expect("the source is there").into_inner().source;
    let request = UpdateSourceRequest {
        tenant_id: admin.tenant_id.clone(),
        source_id: source_id.to_owned(),
        settings: Some(SourceSettings {
            poll: Some(poll),
            ..SourceSettings::default()
        }),
        update_mask: Some(FieldMask {
            paths: vec!["poll".to_owned()],
        }),
        etag: source.expect("the answer holds it").etag,
        ..UpdateSourceRequest::default()
    };
    let updated = admin.sources().update_source(request).await;
    updated.expect("the source is updated");
}

/// The report on a source, with all items, which come one at a time.
async fn drift(admin: &Client, source_id: &str) -> GetDriftReportResponse {
    let mut request = GetDriftReportRequest {
        tenant_id: admin.tenant_id.clone(),
        source_id: source_id.to_owned(),
        page_size: 1,
        ..GetDriftReportRequest::default()
    };
    let mut items = Vec::new();
    loop {
        let report = admin.sources().get_drift_report(request.clone()).await;
        let mut report = report.expect("there is a report").into_inner();
        items.append(&mut report.items);
        if report.next_page_token.is_empty() {
            return GetDriftReportResponse { items, ..report };
        }
        request.page_token = report.next_page_token;
    }
}
