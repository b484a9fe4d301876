//! Finding deliveries: by state, endpoint, event and time, page by page.

use std::collections::BTreeSet;

use posthorn::v1::{
    CancelDeliveryRequest, Delivery, DeliveryState, ErrorKind, GetEventRequest,
    ListDeliveriesRequest,
};
use posthorn_harness::{Answer, Deployment, StoreKind};
use prost_types::Timestamp;
use tonic::Code;

use super::endpoint;
use crate::support::{
    follow::{await_state, delivery_of},
    pause::pause,
    refusal::assert_refused,
};

on_both! {
    deliveries_are_found_by_state_endpoint_event_and_time,
    o2_deliveries_are_found_by_type_error_status_and_death,
    a_page_belongs_to_its_question,
}

/// The states that a delivery can be in.
const STATES: [DeliveryState; 4] = [
    DeliveryState::Pending,
    DeliveryState::Dead,
    DeliveryState::Delivered,
    DeliveryState::Cancelled,
];
/// How many deliveries there are in each state.
const OF_EACH: usize = 5;

/// An endpoint for each state with deliveries in this state, their events emitted in turns.
struct Found {
    deployment: Deployment,
    /// One for each of [`STATES`].
    endpoints: Vec<String>,
    /// All deliveries, those of the newest events first.
    all: Vec<Delivery>,
}

impl Found {
    async fn start(store: StoreKind) -> Self {
        let deployment = Deployment::start(store).await;
        let mut endpoints = Vec::new();
        for (number, state) in STATES.into_iter().enumerate() {
            let path = format!("/{number}");
            let endpoint_id = endpoint(&deployment, &path, &event_type(number)).await;
            match state {
                DeliveryState::Delivered => {}
                DeliveryState::Dead => deployment.receiver.answer(&path, Answer::Status(500)),
                _ => pause(&deployment.admin, &endpoint_id).await,
            }
            endpoints.push(endpoint_id);
        }
        let mut all = Vec::new();
        for _ in 0..OF_EACH {
            for (number, state) in STATES.into_iter().enumerate() {
                all.push(one(&deployment, &event_type(number), state).await);
            }
        }
        all.reverse();
        Self {
            deployment,
            endpoints,
            all,
        }
    }

    /// Every delivery that matches, page by page.
    async fn list(&self, request: ListDeliveriesRequest, page_size: i32) -> Vec<Delivery> {
        let mut request = ListDeliveriesRequest {
            tenant_id: self.deployment.tenant_id.clone(),
            page_size,
            ..request
        };
        let mut listed = Vec::new();
        loop {
            let mut deliveries = self.deployment.admin.deliveries();
            let answer = deliveries.list_deliveries(request.clone()).await;
            let page = answer.expect("deliveries are listed").into_inner();
            assert!(i32::try_from(page.deliveries.len()).is_ok_and(|length| length <= page_size));
            listed.extend(page.deliveries);
            if page.next_page_token.is_empty() {
                return listed;
            }
            request.page_token = page.next_page_token;
        }
    }

    /// The question is answered with exactly the deliveries that match, in order, whatever the size of a page.
    async fn assert_finds(
        &self,
        what: &str,
        request: ListDeliveriesRequest,
        matches: impl Fn(&Delivery) -> bool,
    ) {
        let expected: Vec<_> = self
            .all
            .iter()
            .filter(|one| matches(one))
            .cloned()
            .collect();
        for page_size in [1, 2, 7, 500] {
            let listed = self.list(request.clone(), page_size).await;
            assert_eq!(ids(&listed), ids(&expected), "{what} by {page_size}");
            assert_eq!(listed, expected, "{what} by {page_size}");
        }
    }

    /// When an event was emitted.
    async fn created_at(&self, delivery: &Delivery) -> Timestamp {
        let request = GetEventRequest {
            tenant_id: self.deployment.tenant_id.clone(),
            event_id: delivery.event_id.clone(),
            ..GetEventRequest::default()
        };
        let answer = self.deployment.admin.events().get_event(request).await;
        let event = answer.expect("it is there").into_inner().event;
        let event = event.expect("the answer holds it");
        event.created_at.expect("an event has its time")
    }
}

fn event_type(number: usize) -> String {
    format!("type.{number}")
}

fn ids(deliveries: &[Delivery]) -> Vec<&str> {
    let ids = deliveries.iter();
    ids.map(|one| one.delivery_id.as_str()).collect()
}

/// Emits an event to one endpoint, and returns its delivery once it is in its state.
async fn one(deployment: &Deployment, event_type: &str, state: DeliveryState) -> Delivery {
    let event_id = deployment.admin.emit(event_type, "{}").await.event_id;
    if state == DeliveryState::Cancelled {
        let request = CancelDeliveryRequest {
            tenant_id: deployment.tenant_id.clone(),
            delivery_id: delivery_of(&deployment.admin, &event_id).await.delivery_id,
            reason: "to be found".to_owned(),
            ..CancelDeliveryRequest::default()
        };
        let cancelled = deployment.admin.deliveries().cancel_delivery(request).await;
        cancelled.expect("it is cancelled");
    }
    await_state(&deployment.admin, &event_id, state).await
}

async fn deliveries_are_found_by_state_endpoint_event_and_time(store: StoreKind) {
    let found = Found::start(store).await;
    let any = ListDeliveriesRequest::default();
    found.assert_finds("all", any.clone(), |_| true).await;
    for (number, state) in STATES.into_iter().enumerate() {
        let endpoint = &found.endpoints[number];
        let by_state = ListDeliveriesRequest {
            state: state.into(),
            ..any.clone()
        };
        let what = state.as_str_name();
        found
            .assert_finds(what, by_state.clone(), |one| one.state() == state)
            .await;
        let by_endpoint = ListDeliveriesRequest {
            endpoint_id: endpoint.clone(),
            ..any.clone()
        };
        found
            .assert_finds(what, by_endpoint, |one| one.endpoint_id == *endpoint)
            .await;
        let elsewhere = ListDeliveriesRequest {
            endpoint_id: found.endpoints[(number + 1) % STATES.len()].clone(),
            ..by_state
        };
        found.assert_finds(what, elsewhere, |_| false).await;
    }
    let event_id = &found.all[7].event_id;
    let by_event = ListDeliveriesRequest {
        event_id: event_id.clone(),
        ..any.clone()
    };
    found
        .assert_finds("by event", by_event, |one| one.event_id == *event_id)
        .await;

    // The bounds take the earlier event in and leave the later out.
    let (later, earlier) = (&found.all[3], &found.all[12]);
    let by_time = ListDeliveriesRequest {
        created_from: Some(found.created_at(earlier).await),
        created_before: Some(found.created_at(later).await),
        ..any
    };
    let between: BTreeSet<&str> = ids(&found.all[4..=12]).into_iter().collect();
    for state in [
        None,
        Some(DeliveryState::Pending),
        Some(DeliveryState::Cancelled),
    ] {
        let request = ListDeliveriesRequest {
            state: state.map_or(0, i32::from),
            ..by_time.clone()
        };
        found
            .assert_finds("by time", request, |one| {
                between.contains(one.delivery_id.as_str())
                    && state.is_none_or(|state| one.state() == state)
            })
            .await;
    }
}

async fn o2_deliveries_are_found_by_type_error_status_and_death(store: StoreKind) {
    let found = Found::start(store).await;
    let any = ListDeliveriesRequest::default();
    let by_type = ListDeliveriesRequest {
        event_type: event_type(2),
        ..any.clone()
    };
    found
        .assert_finds("by type", by_type, |one| one.event_type == event_type(2))
        .await;
    let by_error = ListDeliveriesRequest {
        error_kind: ErrorKind::Http5xx.into(),
        ..any.clone()
    };
    let is_dead = |one: &Delivery| one.state() == DeliveryState::Dead;
    found.assert_finds("by error", by_error, is_dead).await;
    for code in [500, 200, 204, 503] {
        let by_status = ListDeliveriesRequest {
            status_code: code,
            ..any.clone()
        };
        found
            .assert_finds("by status", by_status, |one| one.last_status_code == code)
            .await;
    }
    let dead = found.all.iter().filter(|one| is_dead(one));
    let died = dead.map(|one| one.ended_at.expect("it died"));
    let died = died.collect::<Vec<_>>();
    let by_death = ListDeliveriesRequest {
        died_from: Some(died[3]),
        died_before: Some(died[1]),
        ..any
    };
    found
        .assert_finds("by death", by_death, |one| {
            let at = one.ended_at.map(|at| (at.seconds, at.nanos));
            let [from, before] = [died[3], died[1]].map(|at| Some((at.seconds, at.nanos)));
            is_dead(one) && from <= at && at < before
        })
        .await;
}

async fn a_page_belongs_to_its_question(store: StoreKind) {
    let found = Found::start(store).await;
    let request = ListDeliveriesRequest {
        tenant_id: found.deployment.tenant_id.clone(),
        state: DeliveryState::Dead.into(),
        page_size: 2,
        ..ListDeliveriesRequest::default()
    };
    let mut deliveries = found.deployment.admin.deliveries();
    let answer = deliveries.list_deliveries(request.clone()).await;
    let page_token = answer.expect("deliveries are listed").into_inner();
    let page_token = page_token.next_page_token;
    for (what, other) in [
        (
            "another state",
            ListDeliveriesRequest {
                state: DeliveryState::Pending.into(),
                ..request.clone()
            },
        ),
        (
            "another endpoint",
            ListDeliveriesRequest {
                endpoint_id: found.endpoints[0].clone(),
                ..request.clone()
            },
        ),
        (
            "another time",
            ListDeliveriesRequest {
                created_before: Some(found.created_at(&found.all[0]).await),
                ..request
            },
        ),
    ] {
        let other = ListDeliveriesRequest {
            page_token: page_token.clone(),
            ..other
        };
        let result = deliveries.list_deliveries(other).await;
        assert_refused(what, result, Code::InvalidArgument);
    }
}
