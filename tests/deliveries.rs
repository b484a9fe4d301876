//! What operators do to deliveries, and how they find them.

mod bulk;
mod list;
mod retry;
mod why;

use posthorn::v1::{
    DeliveryAction, DeliveryActionKind, EndpointSettings, ExplicitRetry, GetDeliveryRequest,
    RetryPolicy, retry_policy::Schedule,
};
use posthorn_harness::{Client, Deployment};

/// Makes an endpoint at `path` that gets events of one type and one attempt for each; returns its id.
async fn endpoint(deployment: &Deployment, path: &str, event_type: &str) -> String {
    let settings = EndpointSettings {
        url: deployment.receiver.url(path),
        subscriptions: vec![event_type.to_owned()],
        retry_policy: Some(RetryPolicy {
            schedule: Some(Schedule::Explicit(ExplicitRetry::default())),
        }),
        ..EndpointSettings::default()
    };
    let created = deployment.admin.create_endpoint_with(settings).await;
    created.endpoint.expect("the answer holds it").endpoint_id
}

/// What was done to a delivery.
async fn actions_of(client: &Client, delivery_id: &str) -> Vec<DeliveryAction> {
    let request = GetDeliveryRequest {
        tenant_id: client.tenant_id.clone(),
        delivery_id: delivery_id.to_owned(),
    };
    let answer = client.deliveries().get_delivery(request).await;
    answer.expect("it is there").into_inner().actions
}

fn kinds(actions: &[DeliveryAction]) -> Vec<DeliveryActionKind> {
    actions.iter().map(DeliveryAction::kind).collect()
}
