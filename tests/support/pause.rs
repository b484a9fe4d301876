//! Holding an endpoint's deliveries back, and letting them go.

use posthorn::v1::{PauseEndpointRequest, ResumeEndpointRequest};
use posthorn_harness::Client;

/// Pauses an endpoint.
pub(crate) async fn pause(client: &Client, endpoint_id: &str) {
    let request = PauseEndpointRequest {
        tenant_id: client.tenant_id.clone(),
        endpoint_id: endpoint_id.to_owned(),
        ..PauseEndpointRequest::default()
    };
    let answer = client.endpoints().pause_endpoint(request).await;
    answer.expect("it is paused");
}

/// Resumes an endpoint.
pub(crate) async fn resume(client: &Client, endpoint_id: &str) {
    let request = ResumeEndpointRequest {
        tenant_id: client.tenant_id.clone(),
        endpoint_id: endpoint_id.to_owned(),
        ..ResumeEndpointRequest::default()
    };
    let answer = client.endpoints().resume_endpoint(request).await;
    answer.expect("it is resumed");
}
