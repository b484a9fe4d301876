//! What the demo does as a caller: registers two endpoints and emits a dozen events, over gRPC like everybody else.

use std::{error::Error, net::SocketAddr, time::Duration};

use posthorn::v1::{
    CreateEndpointRequest, Delivery, DeliveryState, EmitEventRequest, EndpointSettings,
    ExplicitRetry, ListDeliveriesRequest, RetryPolicy,
    delivery_service_client::DeliveryServiceClient, emit_event_request::Content,
    endpoint_service_client::EndpointServiceClient, event_service_client::EventServiceClient,
    retry_policy::Schedule,
};
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};

use super::receiver::{FLAKY, STEADY};

const EVENTS: usize = 12;
const EVENT_TYPES: [&str; 3] = ["order.created", "order.paid", "order.shipped"];
/// The delays of the endpoint that fails, in seconds.
const DELAYS_S: [i64; 3] = [1, 2, 4];

/// How long to wait before looking again whether all is delivered.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

type Deliveries = DeliveryServiceClient<InterceptedService<Channel, Authorize>>;

/// Adds the key to every call.
#[derive(Clone)]
struct Authorize(MetadataValue<Ascii>);

impl Interceptor for Authorize {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request
            .metadata_mut()
            .insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// Plays the scene.
pub(super) async fn play(
    grpc: SocketAddr,
    key: &str,
    receiver: SocketAddr,
) -> Result<(), Box<dyn Error>> {
    let authorize = Authorize(format!("Bearer {key}").parse()?);
    #[expect(
        clippy::disallowed_methods,
        reason = "a caller of this very process, over loopback"
    )]
    let channel = Endpoint::from_shared(format!("http://{grpc}"))?
        .connect()
        .await?;
    let caller = InterceptedService::new(channel, authorize);

    println!(
        "Two endpoints: {STEADY} takes everything, {FLAKY} fails twice first and is tried again after 1 s, 2 s, 4 s."
    );
    let mut endpoints = EndpointServiceClient::new(caller.clone());
    for path in [STEADY, FLAKY] {
        endpoints
            .create_endpoint(endpoint(format!("http://{receiver}{path}")))
            .await?;
    }
    println!("A dozen events:");
    let mut events = EventServiceClient::new(caller.clone());
    for number in 1..=EVENTS {
        events.emit_event(event(number)).await?;
    }
    let mut deliveries = DeliveryServiceClient::new(caller);
    let retried = await_all(&mut deliveries).await?;
    println!(
        "\nAll {} deliveries are done, {retried} of them after a retry. Posthorn goes on serving; Ctrl-C ends it.",
        2 * EVENTS
    );
    Ok(())
}

fn endpoint(url: String) -> CreateEndpointRequest {
    let delays = DELAYS_S.map(|seconds| prost_types::Duration { seconds, nanos: 0 });
    let schedule = Schedule::Explicit(ExplicitRetry {
        delays: delays.to_vec(),
    });
    let settings = EndpointSettings {
        url,
        subscriptions: vec!["order.*".to_owned()],
        retry_policy: Some(RetryPolicy {
            schedule: Some(schedule),
        }),
        ..EndpointSettings::default()
    };
    CreateEndpointRequest {
        settings: Some(settings),
        ..CreateEndpointRequest::default()
    }
}

fn event(number: usize) -> EmitEventRequest {
    EmitEventRequest {
        event_type: EVENT_TYPES[number % EVENT_TYPES.len()].to_owned(),
        content: Some(Content::Payload(format!("{{\"order\":{number}}}").into())),
        ..EmitEventRequest::default()
    }
}

/// Waits until nothing is pending. Returns how many deliveries took more than one attempt.
async fn await_all(deliveries: &mut Deliveries) -> Result<usize, Status> {
    while !list(deliveries, DeliveryState::Pending).await?.is_empty() {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    let delivered = list(deliveries, DeliveryState::Delivered).await?;
    Ok(delivered
        .iter()
        .filter(|delivery| delivery.attempt_count > 1)
        .count())
}

async fn list(deliveries: &mut Deliveries, state: DeliveryState) -> Result<Vec<Delivery>, Status> {
    let request = ListDeliveriesRequest {
        state: state.into(),
        ..ListDeliveriesRequest::default()
    };
    Ok(deliveries
        .list_deliveries(request)
        .await?
        .into_inner()
        .deliveries)
}
