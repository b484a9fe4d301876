//! The load generator against a server that acknowledges and keeps nothing.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering},
};

use posthorn::v1::{
    EmitEventResponse, EmitResult, GetEventRequest, GetEventResponse, ListEventsRequest,
    ListEventsResponse,
    event_service_server::{EventService, EventServiceServer},
};
use tokio::net::TcpListener;
use tokio_stream::{Stream, StreamExt as _, wrappers::TcpListenerStream};
use tonic::{Request, Response, Status, transport::Server};

use super::*;

const EVENTS: u64 = 1_050;

#[tokio::test]
async fn a_stream_emits_every_event_through_a_window_that_acknowledgements_reopen() {
    let server = Acknowledging::start().await;
    let load = load(
        &server.client,
        Arc::new(Semaphore::new(200)),
        Release::AtAcknowledgement,
    );
    load.run(&server.client).await;
    assert_eq!(server.count(), EVENTS);
}

#[tokio::test]
async fn a_stream_goes_on_as_arrivals_reopen_its_window() {
    let server = Acknowledging::start().await;
    let window = Arc::new(Semaphore::new(200));
    let load = load(&server.client, Arc::clone(&window), Release::AtArrival);
    let mut running = tokio::spawn({
        let client = server.client.clone();
        async move { load.run(&client).await }
    });
    loop {
        tokio::select! {
            done = &mut running => break done.expect("the load runs to its end"),
            () = tokio::task::yield_now() => {}
        }
        if window.available_permits() < 200 {
            window.add_permits(50);
        }
    }
    assert_eq!(server.count(), EVENTS);
}

#[tokio::test]
async fn unary_calls_emit_each_event_once() {
    let server = Acknowledging::start().await;
    let client = server.client.clone();
    let event = move |_| client.event("bench.test", "{}");
    unary(
        &[server.client.clone(), server.client.clone()],
        7,
        EVENTS,
        event,
    )
    .await;
    assert_eq!(server.count(), EVENTS);
}

#[tokio::test]
async fn an_open_loop_emits_each_event_once() {
    let server = Acknowledging::start().await;
    let client = server.client.clone();
    let event = move |_| client.event("bench.test", "{}");
    open_loop(&server.client, 100_000, EVENTS, event).await;
    assert_eq!(server.count(), EVENTS);
}

fn load(
    client: &Client,
    window: Arc<Semaphore>,
    release: Release,
) -> StreamLoad<impl Fn(u64) -> EmitEventRequest + Send + Sync + 'static> {
    let client = client.clone();
    StreamLoad {
        events: 0..EVENTS,
        batch: 100,
        window,
        permits: 1,
        release,
        event: move |_| client.event("bench.test", "{}"),
    }
}

struct Acknowledging {
    client: Client,
    emitted: Arc<AtomicU64>,
}

impl Acknowledging {
    async fn start() -> Self {
        let emitted = Arc::new(AtomicU64::new(0));
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback has a free port");
        let addr: SocketAddr = listener.local_addr().expect("a listener has an address");
        let service = EventServiceServer::new(Events(Arc::clone(&emitted)));
        tokio::spawn(
            Server::builder()
                .add_service(service)
                .serve_with_incoming(TcpListenerStream::new(listener)),
        );
        let client = Client::connect(addr, "").await;
        Self { client, emitted }
    }

    fn count(&self) -> u64 {
        self.emitted.load(Ordering::Relaxed)
    }
}

struct Events(Arc<AtomicU64>);

#[tonic::async_trait]
impl EventService for Events {
    type EmitEventsStream = Pin<Box<dyn Stream<Item = Result<EmitEventsResponse, Status>> + Send>>;

    async fn emit_event(
        &self,
        _: Request<EmitEventRequest>,
    ) -> Result<Response<EmitEventResponse>, Status> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(Response::new(EmitEventResponse::default()))
    }

    async fn emit_events(
        &self,
        request: Request<Streaming<EmitEventsRequest>>,
    ) -> Result<Response<Self::EmitEventsStream>, Status> {
        let emitted = Arc::clone(&self.0);
        let mut requests = request.into_inner();
        // A server may answer nothing at all before the first request.
        let first = requests.next().await;
        let requests = tokio_stream::iter(first).chain(requests);
        let responses = requests.map(move |request| {
            let EmitEventsRequest { sequence, events } = request?;
            emitted.fetch_add(events.len() as u64, Ordering::Relaxed);
            let accepted = emit_result::Result::Accepted(EmitEventResponse::default());
            let result = EmitResult {
                result: Some(accepted),
            };
            let results = vec![result; events.len()];
            Ok(EmitEventsResponse { sequence, results })
        });
        Ok(Response::new(Box::pin(responses)))
    }

    async fn get_event(
        &self,
        _: Request<GetEventRequest>,
    ) -> Result<Response<GetEventResponse>, Status> {
        Err(Status::unimplemented("the load emits only"))
    }

    async fn list_events(
        &self,
        _: Request<ListEventsRequest>,
    ) -> Result<Response<ListEventsResponse>, Status> {
        Err(Status::unimplemented("the load emits only"))
    }
}
