//! Consumers: what services are handed, what they say of it, and what becomes of it when they say nothing.

mod hello;
mod lost;
mod operators;
mod settling;
mod sharing;
mod silence;
mod sources;

use posthorn::v1::{
    DeliveryState, Endpoint, Handler, ListEndpointsRequest, RetryPolicy, Role,
    retry_policy::Schedule,
};
use posthorn_harness::{Client, Deployment, StoreKind};

use crate::support::{
    follow::{await_delivery, deliveries_of},
    hand_consumer::handler,
    time::millis,
};

/// A deployment, and a key that may do nothing but consume for its tenant.
struct Stage {
    deployment: Deployment,
    /// Under that key.
    consumer: Client,
}

impl Stage {
    async fn start(store: StoreKind) -> Self {
        let deployment = Deployment::start(store).await;
        let consumer = deployment.client(&[Role::Consumer]).await;
        Self {
            deployment,
            consumer,
        }
    }

    fn admin(&self) -> &Client {
        &self.deployment.admin
    }

    /// Emits an event and returns its id.
    async fn emit(&self, event_type: &str) -> String {
        self.admin().emit(event_type, "{}").await.event_id
    }

    /// The endpoints of the tenant, by id.
    async fn endpoints(&self) -> Vec<Endpoint> {
        let request = ListEndpointsRequest {
            tenant_id: self.deployment.tenant_id.clone(),
            ..ListEndpointsRequest::default()
        };
        let answer = self.admin().endpoints().list_endpoints(request).await;
        answer.expect("endpoints are listed").into_inner().endpoints
    }

    /// The endpoint that is called so.
    async fn endpoint(&self, name: &str) -> Endpoint {
        let mut endpoints = self.endpoints().await.into_iter();
        let found = endpoints.find(|one| one.settings.as_ref().is_some_and(|s| s.name == name));
        found.expect("there is such an endpoint")
    }

    /// Waits until the delivery of an event to an endpoint is in `state`, and returns its id.
    async fn await_delivery(
        &self,
        event_id: &str,
        endpoint_id: &str,
        state: DeliveryState,
    ) -> String {
        let deliveries = deliveries_of(self.admin(), event_id).await;
        let mut deliveries = deliveries.into_iter();
        let own = deliveries.find(|one| one.endpoint_id == endpoint_id);
        let delivery_id = own.expect("the event goes there").delivery_id;
        let what = format!("is {}", state.as_str_name());
        await_delivery(self.admin(), &delivery_id, &what, |delivery| {
            delivery.state() == state
        })
        .await;
        delivery_id
    }
}

/// A handler that takes these events and fails for good after so many retries, each at once.
fn retrying(name: &str, subscriptions: &[&str], retries: usize) -> Handler {
    let delays = vec![millis(0); retries];
    Handler {
        retry_policy: Some(RetryPolicy {
            schedule: Some(Schedule::Explicit(posthorn::v1::ExplicitRetry { delays })),
        }),
        ..handler(name, subscriptions)
    }
}

/// The same with one second for each handout.
fn hasty(name: &str, subscriptions: &[&str], retries: usize) -> Handler {
    Handler {
        ack_within: Some(millis(1_000)),
        ..retrying(name, subscriptions, retries)
    }
}
