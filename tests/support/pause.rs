//! Holding an endpoint's deliveries back, and letting them go.

use posthorn::v1::{EndpointState, SetEndpointStateRequest};
use posthorn_harness::Client;

/// Pauses an endpoint.
pub(crate) async fn pause(client: &Client, endpoint_id: &str) {
    let request = SetEndpointStateRequest {
        state: EndpointState::Paused.into(),
        tenant_id: client.tenant_id.clone(),
        endpoint_id: endpoint_id.to_owned(),
        ..SetEndpointStateRequest::default()
    };
    let answer = client.endpoints().set_endpoint_state(request).await;
    answer.expect("it is paused");
}

/// Resumes an endpoint.
pub(crate) async fn resume(client: &Client, endpoint_id: &str) {
    let request = SetEndpointStateRequest {
        state: EndpointState::Enabled.into(),
        tenant_id: client.tenant_id.clone(),
        endpoint_id: endpoint_id.to_owned(),
        ..SetEndpointStateRequest::default()
    };
    let answer = client.endpoints().set_endpoint_state(request).await;
    answer.expect("it is resumed");
}
