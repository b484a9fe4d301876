//! Why deliveries failed: in each of them, in their attempts, and for an endpoint in a time.

use posthorn::v1::{
    Attempt, DeliveryState, EndpointSettings, ErrorKind, ExplicitRetry, ListFailedAttemptsRequest,
    RetryPolicy, Role, retry_policy::Schedule,
};
use posthorn_harness::{Answer, Client, Deployment, Refused, StoreKind};
use prost_types::Timestamp;
use tonic::Code;

use crate::support::{
    follow::{attempts_of, await_state},
    refusal::{assert_invalid, assert_refused},
};

on_both! {
    o2_a_delivery_says_what_it_is_of_and_why_its_last_attempt_failed,
    o2_the_failures_of_an_endpoint_are_listed_newest_first,
    o1_an_attempt_says_where_it_went_and_what_took_how_long,
}

/// Makes an endpoint with two attempts for each event of its type.
async fn endpoint(deployment: &Deployment, name: &str, url: String) -> String {
    let delays = vec![prost_types::Duration::default()];
    let settings = EndpointSettings {
        url,
        name: name.to_owned(),
        subscriptions: vec![format!("to.{name}")],
        retry_policy: Some(RetryPolicy {
            schedule: Some(Schedule::Explicit(ExplicitRetry { delays })),
        }),
        ..EndpointSettings::default()
    };
    let created = deployment.admin.create_endpoint_with(settings).await;
    created.endpoint.expect("the answer holds it").endpoint_id
}

async fn emit(deployment: &Deployment, name: &str, state: DeliveryState) -> String {
    let emitted = deployment.admin.emit(&format!("to.{name}"), "{}").await;
    let delivery = await_state(&deployment.admin, &emitted.event_id, state).await;
    delivery.delivery_id
}

async fn o2_a_delivery_says_what_it_is_of_and_why_its_last_attempt_failed(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let refused = Refused::new();
    deployment.receiver.answer("/bad", Answer::Status(502));
    let url = |path| deployment.receiver.url(path);
    for (name, url, kind, status, state) in [
        (
            "good",
            url("/good"),
            ErrorKind::Unspecified,
            200,
            DeliveryState::Delivered,
        ),
        (
            "bad",
            url("/bad"),
            ErrorKind::Http5xx,
            502,
            DeliveryState::Dead,
        ),
        (
            "gone",
            refused.url(),
            ErrorKind::ConnectionRefused,
            0,
            DeliveryState::Dead,
        ),
    ] {
        endpoint(&deployment, name, url).await;
        let event_type = format!("to.{name}");
        let emitted = deployment.admin.emit(&event_type, "{}").await;
        let delivery = await_state(&deployment.admin, &emitted.event_id, state).await;
        assert_eq!(delivery.event_type, event_type);
        assert_eq!(delivery.endpoint_name, name);
        assert_eq!(delivery.last_error_kind(), kind, "{name}");
        let answered = if status == 200 { 204 } else { status };
        assert!(
            [status, answered].contains(&delivery.last_status_code),
            "{delivery:?}"
        );
    }
}

async fn failures(client: &Client, request: &ListFailedAttemptsRequest) -> Vec<Attempt> {
    let mut request = request.clone();
    let mut attempts = Vec::new();
    loop {
        let page = client
            .deliveries()
            .list_failed_attempts(request.clone())
            .await;
        let page = page.expect("they are listed").into_inner();
        attempts.extend(page.attempts);
        if page.next_page_token.is_empty() {
            return attempts;
        }
        request.page_token = page.next_page_token;
    }
}

async fn o2_the_failures_of_an_endpoint_are_listed_newest_first(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    deployment.receiver.answer("/bad", Answer::Status(500));
    let bad = endpoint(&deployment, "bad", deployment.receiver.url("/bad")).await;
    let good = endpoint(&deployment, "good", deployment.receiver.url("/good")).await;
    emit(&deployment, "good", DeliveryState::Delivered).await;
    let mut dead = Vec::new();
    for _ in 0..3 {
        dead.push(emit(&deployment, "bad", DeliveryState::Dead).await);
    }
    let of = |endpoint_id: &str| ListFailedAttemptsRequest {
        tenant_id: deployment.tenant_id.clone(),
        endpoint_id: endpoint_id.to_owned(),
        ..ListFailedAttemptsRequest::default()
    };
    let admin = &deployment.admin;
    assert!(failures(admin, &of(&good)).await.is_empty());
    let expected = dead.iter().rev().flat_map(|id| [(id, 2), (id, 1)]);
    let expected = expected.collect::<Vec<_>>();
    for page_size in [0, 1, 4] {
        let request = ListFailedAttemptsRequest {
            page_size,
            ..of(&bad)
        };
        let listed = failures(admin, &request).await;
        let places = listed.iter().map(|one| (&one.delivery_id, one.number));
        assert_eq!(places.collect::<Vec<_>>(), expected, "by {page_size}");
        assert!(
            listed
                .iter()
                .all(|one| one.error_kind() == ErrorKind::Http5xx)
        );
    }
    let first = attempts_of(admin, &dead[0]).await[0].started_at;
    let later = first.map(|at| Timestamp {
        seconds: at.seconds + 3_600,
        ..at
    });
    for (from, before, count) in [(first, later, 6), (later, None, 0), (None, first, 0)] {
        let request = ListFailedAttemptsRequest {
            started_from: from,
            started_before: before,
            ..of(&bad)
        };
        assert_eq!(failures(admin, &request).await.len(), count, "{from:?}");
    }
    let refused = admin.deliveries().list_failed_attempts(of("")).await;
    assert_invalid("no endpoint", refused, "endpoint_id");
    let other = admin.create_tenant("another").await;
    let request = ListFailedAttemptsRequest {
        tenant_id: other,
        ..of(&bad)
    };
    let refused = admin.deliveries().list_failed_attempts(request).await;
    assert_refused("another tenant's", refused, Code::NotFound);
}

async fn o1_an_attempt_says_where_it_went_and_what_took_how_long(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    deployment.receiver.answer("/bad", Answer::Status(500));
    let url = deployment.receiver.url("/bad");
    endpoint(&deployment, "bad", url.clone()).await;
    endpoint(&deployment, "good", deployment.receiver.url("/good")).await;
    let dead = emit(&deployment, "bad", DeliveryState::Dead).await;
    let delivered = emit(&deployment, "good", DeliveryState::Delivered).await;

    let failed = attempts_of(&deployment.admin, &dead).await;
    let trace = failed[0].trace.clone().expect("a node tells it");
    assert_eq!(
        (trace.url, trace.http_version),
        (url.clone(), "1.1".to_owned())
    );
    assert!(url.contains(&trace.peer), "{} of {url}", trace.peer);
    assert!(trace.connect.is_some() && trace.answer.is_some() && trace.tls.is_none());
    let kept = failed[1].trace.as_ref().expect("a node tells it");
    assert!(kept.connect.is_none() && kept.answer.is_some());
    let succeeded = attempts_of(&deployment.admin, &delivered).await;
    let trace = succeeded[0].trace.as_ref().expect("a node tells it");
    assert_eq!(trace.url, "");

    for roles in [&[Role::Operator][..], &[Role::Viewer]] {
        let key = deployment.admin.create_key(roles).await;
        let of_tenant = deployment.admin.with_key(&key);
        let attempts = attempts_of(&of_tenant, &dead).await;
        let trace = attempts[0].trace.as_ref().expect("a node tells it");
        assert_eq!(
            (trace.url.as_str(), trace.peer.as_str()),
            (url.as_str(), "")
        );
    }
}
