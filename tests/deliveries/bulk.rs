//! Dead letters, many at a time.

use posthorn::v1::{
    DeliveryActionKind, DeliveryState, DiscardDeadLettersRequest, RedriveDeadLettersRequest,
};
use posthorn_harness::{Answer, Deployment, StoreKind};
use prost_types::Timestamp;
use tonic::Code;

use super::{actions_of, endpoint, kinds};
use crate::support::{
    follow::{await_delivery, await_state, delivery},
    pause::pause,
    refusal::assert_refused,
};

on_both! {
    dead_letters_are_redriven_by_endpoint_and_time_and_limit,
    a_repeated_redrive_moves_nothing_again,
    dead_letters_are_discarded_by_endpoint_and_time_and_limit,
}

/// The path and the event type of each endpoint.
const ENDPOINTS: [(&str, &str); 2] = [("/one", "one"), ("/two", "two")];

/// Two endpoints with dead letters, and nothing that they refuse now.
struct Dead {
    deployment: Deployment,
    endpoints: Vec<String>,
    /// For each endpoint its dead letters with the instants of their deaths, oldest first.
    letters: Vec<Vec<(String, Timestamp)>>,
}

impl Dead {
    async fn start(store: StoreKind) -> Self {
        let deployment = Deployment::start(store).await;
        let (mut endpoints, mut letters) = (Vec::new(), Vec::new());
        for (path, event_type) in ENDPOINTS {
            deployment.receiver.answer(path, Answer::Status(500));
            endpoints.push(endpoint(&deployment, path, event_type).await);
            let mut dead = Vec::new();
            for _ in 0..4 {
                let event_id = deployment.admin.emit(event_type, "{}").await.event_id;
                let letter = await_state(&deployment.admin, &event_id, DeliveryState::Dead).await;
                dead.push((letter.delivery_id, letter.ended_at.expect("it is dead")));
            }
            letters.push(dead);
            deployment.receiver.answer(path, Answer::Status(200));
        }
        Self {
            deployment,
            endpoints,
            letters,
        }
    }

    async fn redrive(&self, request: RedriveDeadLettersRequest) -> (u32, bool) {
        let request = RedriveDeadLettersRequest {
            tenant_id: self.deployment.tenant_id.clone(),
            reason: "mended".to_owned(),
            ..request
        };
        let mut deliveries = self.deployment.admin.deliveries();
        let answer = deliveries.redrive_dead_letters(request).await;
        let answer = answer.expect("they are redriven").into_inner();
        (answer.redriven, answer.more)
    }

    async fn discard(&self, request: DiscardDeadLettersRequest) -> (u32, bool) {
        let request = DiscardDeadLettersRequest {
            tenant_id: self.deployment.tenant_id.clone(),
            reason: "not needed".to_owned(),
            ..request
        };
        let mut deliveries = self.deployment.admin.deliveries();
        let answer = deliveries.discard_dead_letters(request).await;
        let answer = answer.expect("they are discarded").into_inner();
        (answer.discarded, answer.more)
    }

    /// Waits until a letter of an endpoint is in this state.
    async fn await_letter(&self, endpoint: usize, letter: usize, state: DeliveryState) {
        let (delivery_id, _) = &self.letters[endpoint][letter];
        let what = format!("is {}", state.as_str_name());
        await_delivery(&self.deployment.admin, delivery_id, &what, |now| {
            now.state() == state
        })
        .await;
    }

    /// How many of an endpoint's letters are still dead.
    async fn left(&self, endpoint: usize) -> usize {
        let mut left = 0;
        for (delivery_id, _) in &self.letters[endpoint] {
            let now = delivery(&self.deployment.admin, delivery_id).await;
            left += usize::from(now.state() == DeliveryState::Dead);
        }
        left
    }
}

async fn dead_letters_are_redriven_by_endpoint_and_time_and_limit(store: StoreKind) {
    let dead = Dead::start(store).await;
    let of_one = RedriveDeadLettersRequest {
        endpoint_id: dead.endpoints[0].clone(),
        ..RedriveDeadLettersRequest::default()
    };
    // The bounds take the second letter in and leave the third out.
    let bounded = RedriveDeadLettersRequest {
        died_from: Some(dead.letters[0][1].1),
        died_before: Some(dead.letters[0][2].1),
        ..of_one.clone()
    };
    assert_eq!(dead.redrive(bounded).await, (1, false));
    dead.await_letter(0, 1, DeliveryState::Delivered).await;
    assert_eq!((dead.left(0).await, dead.left(1).await), (3, 4));
    let limited = RedriveDeadLettersRequest {
        limit: 2,
        ..of_one.clone()
    };
    assert_eq!(dead.redrive(limited).await, (2, true));
    for oldest in [0, 2] {
        dead.await_letter(0, oldest, DeliveryState::Delivered).await;
    }
    assert_eq!((dead.left(0).await, dead.left(1).await), (1, 4));
    let all = RedriveDeadLettersRequest::default();
    assert_eq!(dead.redrive(all.clone()).await, (5, false));
    for letter in 0..4 {
        dead.await_letter(1, letter, DeliveryState::Delivered).await;
    }
    assert_eq!(dead.redrive(all.clone()).await, (0, false));
    let counts = ENDPOINTS.map(|(path, _)| dead.deployment.receiver.received(path).count());
    assert_eq!(counts, [8, 8], "each letter failed once and arrived once");

    let too_many = RedriveDeadLettersRequest {
        tenant_id: dead.deployment.tenant_id.clone(),
        reason: "mended".to_owned(),
        limit: 10_001,
        ..all
    };
    let mut deliveries = dead.deployment.admin.deliveries();
    let result = deliveries.redrive_dead_letters(too_many).await;
    assert_refused("too many", result, Code::InvalidArgument);
}

async fn a_repeated_redrive_moves_nothing_again(store: StoreKind) {
    let dead = Dead::start(store).await;
    let request = RedriveDeadLettersRequest {
        request_id: "once".to_owned(),
        limit: 3,
        ..RedriveDeadLettersRequest::default()
    };
    for _ in 0..3 {
        assert_eq!(dead.redrive(request.clone()).await, (3, true));
    }
    for letter in 0..3 {
        dead.await_letter(0, letter, DeliveryState::Delivered).await;
        let (delivery_id, _) = &dead.letters[0][letter];
        let actions = actions_of(&dead.deployment.admin, delivery_id).await;
        assert_eq!(kinds(&actions), [DeliveryActionKind::Redrive]);
    }
    assert_eq!((dead.left(0).await, dead.left(1).await), (1, 4));
}

async fn dead_letters_are_discarded_by_endpoint_and_time_and_limit(store: StoreKind) {
    let dead = Dead::start(store).await;
    // A delivery that waits is no dead letter and stays.
    pause(&dead.deployment.admin, &dead.endpoints[1]).await;
    let waiting = dead.deployment.admin.emit("two", "{}").await.event_id;
    let of_two = DiscardDeadLettersRequest {
        endpoint_id: dead.endpoints[1].clone(),
        ..DiscardDeadLettersRequest::default()
    };
    let young = DiscardDeadLettersRequest {
        died_from: Some(dead.letters[1][3].1),
        ..of_two.clone()
    };
    assert_eq!(dead.discard(young).await, (1, false));
    let limited = DiscardDeadLettersRequest { limit: 2, ..of_two };
    assert_eq!(dead.discard(limited).await, (2, true));
    for gone in [0, 1, 3] {
        let (delivery_id, _) = &dead.letters[1][gone];
        let now = delivery(&dead.deployment.admin, delivery_id).await;
        assert_eq!(now.state(), DeliveryState::Cancelled, "letter {gone}");
        let actions = actions_of(&dead.deployment.admin, delivery_id).await;
        assert_eq!(kinds(&actions), [DeliveryActionKind::Discard]);
    }
    assert_eq!((dead.left(0).await, dead.left(1).await), (4, 1));
    let all = DiscardDeadLettersRequest::default();
    assert_eq!(dead.discard(all).await, (5, false));
    await_state(&dead.deployment.admin, &waiting, DeliveryState::Pending).await;
}
