//! An endpoint that leads to a source of the same installation, by a way that the guard cannot see.

use std::net::{Ipv4Addr, SocketAddr};

use posthorn::v1::{
    DeliveryState, EndpointSettings, ExplicitRetry, ListEventsRequest, RetryPolicy, SourceSettings,
    retry_policy::Schedule,
};
use posthorn_harness::{Deployment, StoreKind};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};

use crate::support::follow::await_state;

on_both! {
    g2_an_endpoint_that_leads_back_to_a_source_goes_round_three_times_and_no_more,
}

#[expect(
    clippy::disallowed_methods,
    reason = "it is a proxy, which nothing guards"
)]
/// Passes connections on, as a proxy in front of the edge does. The address that it listens at.
async fn relay(edge: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    let listener = listener.expect("a listener");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                if let Ok(mut behind) = TcpStream::connect(edge).await {
                    let _ended = copy_bidirectional(&mut stream, &mut behind).await;
                }
            });
        }
    });
    address
}

async fn g2_an_endpoint_that_leads_back_to_a_source_goes_round_three_times_and_no_more(
    store: StoreKind,
) {
    let deployment = Deployment::start(store).await;
    let admin = &deployment.admin;
    let settings = SourceSettings {
        provider: "unsigned".to_owned(),
        ..SourceSettings::default()
    };
    let created = admin.create_source_with(settings, &[]).await;
    let source = created.source.expect("the answer holds it").source_id;
    let relay = relay(deployment.node.edge).await;
    let settings = EndpointSettings {
        url: format!("http://{relay}/in/{source}"),
        subscriptions: vec!["*".to_owned()],
        retry_policy: Some(RetryPolicy {
            schedule: Some(Schedule::Explicit(ExplicitRetry::default())),
        }),
        ..EndpointSettings::default()
    };
    admin.create_endpoint_with(settings).await;
    admin.emit("a.b", r#"{"type":"a.b"}"#).await;

    let newest = async || {
        let request = ListEventsRequest {
            tenant_id: deployment.tenant_id.clone(),
            ..ListEventsRequest::default()
        };
        let listed = admin.events().list_events(request).await;
        listed.expect("they are listed").into_inner().events
    };
    let mut events = newest().await;
    while events.len() < 3 {
        events = newest().await;
    }
    let last = await_state(admin, &events[0].event_id, DeliveryState::Dead).await;
    assert_eq!(last.last_status_code, 508);
    for event in &events[1..] {
        await_state(admin, &event.event_id, DeliveryState::Delivered).await;
    }
    assert_eq!(newest().await.len(), 3);
}
