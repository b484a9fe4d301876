//! The protocol between nodes and the control plane, spoken by hand.

mod forged;
mod given_back;
mod leases;
mod lost;
mod sessions;
mod versions;

use posthorn::v1::{EndpointSettings, ExplicitRetry, RetryPolicy, Role, retry_policy::Schedule};
use posthorn_harness::{Client, Deployment, StoreKind};

use super::support::time::millis;

/// A deployment whose node is the test.
struct Stage {
    deployment: Deployment,
    /// Under the node's key.
    node: Client,
}

impl Stage {
    /// Everything but a node of the deployment's own.
    async fn start(store: StoreKind) -> Self {
        let mut deployment = Deployment::start(store).await;
        let status = deployment.node.terminate().await;
        assert!(status.success(), "{}", deployment.node.logs());
        let node = deployment.admin.with_key(&deployment.node_key);
        Self { deployment, node }
    }

    /// Under a fresh key of a node, for tests that open more sessions than one key may within a second.
    async fn another_key(&self) -> Client {
        let admin = &self.deployment.admin;
        let key = admin.for_tenant("").create_key(&[Role::Node]).await;
        admin.with_key(&key)
    }

    /// Makes an endpoint that gets `event_type` and retries at once, so often.
    async fn endpoint(&self, event_type: &str, retries: usize) -> String {
        let delays = vec![millis(0); retries];
        let settings = EndpointSettings {
            url: self.deployment.receiver.url("/"),
            subscriptions: vec![event_type.to_owned()],
            retry_policy: Some(RetryPolicy {
                schedule: Some(Schedule::Explicit(ExplicitRetry { delays })),
            }),
            ..EndpointSettings::default()
        };
        let created = self.deployment.admin.create_endpoint_with(settings).await;
        created.endpoint.expect("the answer holds it").endpoint_id
    }

    /// Emits an event and returns its id.
    async fn emit(&self, event_type: &str) -> String {
        self.deployment.admin.emit(event_type, "{}").await.event_id
    }
}
