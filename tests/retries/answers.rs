//! What each answer leads to: success, another attempt, or the end.

use posthorn::v1::{DeadReason, DeliveryState, EndpointSettings, ErrorKind};
use posthorn_harness::{Answer, Deployment, Refused, StoreKind};

use super::{explicit, numbers, one_event, settings};
use crate::support::follow::{attempts_of, await_state};

on_both! {
    a_status_that_a_retry_cannot_mend_is_dead_at_once,
    statuses_that_pass_are_tried_again,
    no_redirect_is_followed,
    a_refused_connection_and_a_timeout_are_tried_again,
}

async fn a_status_that_a_retry_cannot_mend_is_dead_at_once(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    for status in [400, 403, 404, 405, 413, 422, 451] {
        let path = format!("/rejected{status}");
        let event = one_event(&deployment, &path, Answer::Status(status), &[0, 0]).await;
        let delivery = await_state(&deployment.admin, &event, DeliveryState::Dead).await;
        assert_eq!(delivery.dead_reason(), DeadReason::Rejected, "{status}");
        assert_eq!(delivery.attempt_count, 1, "{status}");
        let attempts = attempts_of(&deployment.admin, &delivery.delivery_id).await;
        assert_eq!(attempts[0].error_kind(), ErrorKind::Http4xx, "{status}");
        assert_eq!(deployment.receiver.received(&path).count(), 1, "{status}");
    }
}

async fn statuses_that_pass_are_tried_again(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    for status in [408, 425, 429, 500, 502, 503, 504, 599] {
        let path = format!("/passes{status}");
        let answer = Answer::Sequence(vec![status, 204]);
        let event = one_event(&deployment, &path, answer, &[0]).await;
        let delivery = await_state(&deployment.admin, &event, DeliveryState::Delivered).await;
        assert_eq!(delivery.attempt_count, 2, "{status}");
    }
}

async fn no_redirect_is_followed(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    for status in [301, 302, 303, 307, 308] {
        let path = format!("/redirect{status}");
        let elsewhere = deployment.receiver.url("/elsewhere");
        let answer = Answer::Full {
            status,
            headers: vec![("location".to_owned(), elsewhere)],
            body: "".into(),
        };
        let event = one_event(&deployment, &path, answer, &[]).await;
        let delivery = await_state(&deployment.admin, &event, DeliveryState::Dead).await;
        let attempts = attempts_of(&deployment.admin, &delivery.delivery_id).await;
        assert_eq!(attempts[0].error_kind(), ErrorKind::Http3xx, "{status}");
        assert_eq!(attempts[0].status_code, u32::from(status));
    }
    assert_eq!(deployment.receiver.received("/elsewhere").count(), 0);
}

async fn a_refused_connection_and_a_timeout_are_tried_again(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let refused = Refused::new();
    deployment.receiver.answer("/silent", Answer::Hang);
    for (url, kind) in [
        (refused.url(), ErrorKind::ConnectionRefused),
        (deployment.receiver.url("/silent"), ErrorKind::AnswerTimeout),
    ] {
        let event_type = format!("kind.{}", i32::from(kind));
        let settings = EndpointSettings {
            subscriptions: vec![event_type.clone()],
            ..settings(url, explicit(&[0]))
        };
        deployment.admin.create_endpoint_with(settings).await;
        let event = deployment.admin.emit(&event_type, "{}").await.event_id;
        let delivery = await_state(&deployment.admin, &event, DeliveryState::Dead).await;
        assert_eq!(delivery.dead_reason(), DeadReason::AttemptsExhausted);
        let attempts = attempts_of(&deployment.admin, &delivery.delivery_id).await;
        assert_eq!(numbers(&attempts), [1, 2]);
        assert!(
            attempts
                .iter()
                .all(|one| one.error_kind() == kind && one.status_code == 0)
        );
    }
}
