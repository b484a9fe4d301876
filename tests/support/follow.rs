//! Following deliveries from the emit to their end, through the contract.

use posthorn::v1::{
    Attempt, Delivery, DeliveryState, GetDeliveryRequest, ListAttemptsRequest,
    ListDeliveriesRequest,
};
use posthorn_harness::{Client, eventually};

use super::DEADLINE;

/// The deliveries of an event, in the order of their ids.
pub(crate) async fn deliveries_of(client: &Client, event_id: &str) -> Vec<Delivery> {
    let request = ListDeliveriesRequest {
        tenant_id: client.tenant_id.clone(),
        event_id: event_id.to_owned(),
        page_size: 500,
        ..ListDeliveriesRequest::default()
    };
    let answer = client.deliveries().list_deliveries(request).await;
    let mut deliveries = answer
        .expect("deliveries are listed")
        .into_inner()
        .deliveries;
    deliveries.sort_by(|one, other| one.delivery_id.cmp(&other.delivery_id));
    deliveries
}

/// The only delivery of an event.
pub(crate) async fn delivery_of(client: &Client, event_id: &str) -> Delivery {
    let mut deliveries = deliveries_of(client, event_id).await;
    assert_eq!(deliveries.len(), 1, "{event_id}: {deliveries:?}");
    deliveries.remove(0)
}

/// A delivery as it stands.
pub(crate) async fn delivery(client: &Client, delivery_id: &str) -> Delivery {
    let request = GetDeliveryRequest {
        tenant_id: client.tenant_id.clone(),
        delivery_id: delivery_id.to_owned(),
    };
    let answer = client.deliveries().get_delivery(request).await;
    let answer = answer.expect("the delivery is there").into_inner();
    answer.delivery.expect("the answer holds the delivery")
}

/// Waits until a delivery is as asked for, and returns it.
pub(crate) async fn await_delivery(
    client: &Client,
    delivery_id: &str,
    what: &str,
    mut holds: impl FnMut(&Delivery) -> bool,
) -> Delivery {
    let mut last = None;
    let what = format!("{delivery_id} {what}");
    eventually(&what, DEADLINE, async || {
        let now = delivery(client, delivery_id).await;
        let done = holds(&now);
        last = Some(now);
        done
    })
    .await;
    last.expect("the condition above was met by one")
}

/// Waits until the only delivery of an event is in `state`, and returns it.
pub(crate) async fn await_state(client: &Client, event_id: &str, state: DeliveryState) -> Delivery {
    let delivery_id = delivery_of(client, event_id).await.delivery_id;
    let what = format!("is {}", state.as_str_name());
    await_delivery(client, &delivery_id, &what, |delivery| {
        delivery.state() == state
    })
    .await
}

/// The attempts of a delivery, by number.
pub(crate) async fn attempts_of(client: &Client, delivery_id: &str) -> Vec<Attempt> {
    let request = ListAttemptsRequest {
        tenant_id: client.tenant_id.clone(),
        delivery_id: delivery_id.to_owned(),
        page_size: 500,
        ..ListAttemptsRequest::default()
    };
    let answer = client.deliveries().list_attempts(request).await;
    answer.expect("attempts are listed").into_inner().attempts
}
