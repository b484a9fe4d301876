//! The load generator: events over a stream with a window, events by unary calls, and events at a fixed rate.

mod provider;

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use posthorn::v1::{EmitEventRequest, EmitEventsRequest, EmitEventsResponse, emit_result};
use posthorn_harness::Client;
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

pub(crate) use provider::{Answered, ProviderLoad};

/// How many requests may wait between the generator and the connection.
const QUEUE: usize = 4;

/// Events to be emitted over one stream.
pub(crate) struct StreamLoad<E> {
    /// The numbers of the events.
    pub(crate) events: Range<u64>,
    /// Events to a request.
    pub(crate) batch: u32,
    /// Holds back what would exceed the window. Each event takes as many permits as it has deliveries.
    pub(crate) window: Arc<Semaphore>,
    /// How many permits an event takes.
    pub(crate) permits: u32,
    /// When the permits come back.
    pub(crate) release: Release,
    /// Makes the event of a number.
    pub(crate) event: E,
}

/// When an event leaves the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Release {
    /// When it is acknowledged.
    AtAcknowledgement,
    /// When its deliveries arrive: the receiver gives the permits back.
    AtArrival,
}

impl<E: Fn(u64) -> EmitEventRequest> StreamLoad<E> {
    /// Emits all, and returns when every event is acknowledged.
    ///
    /// Panics when an event is refused.
    pub(crate) async fn run(self, client: &Client) {
        let (requests, receiver) = mpsc::channel(QUEUE);
        let mut events = client.events();
        let acknowledged = async {
            let responses = events.emit_events(ReceiverStream::new(receiver)).await;
            self.acknowledge(responses.expect("the stream opens").into_inner())
                .await
        };
        let ((), acknowledged) = tokio::join!(self.send(requests), acknowledged);
        assert_eq!(
            acknowledged,
            self.events.end - self.events.start,
            "the stream ended early"
        );
    }

    async fn send(&self, requests: mpsc::Sender<EmitEventsRequest>) {
        let mut sequence = 0;
        let mut next = self.events.start;
        while next < self.events.end {
            let end = self.events.end.min(next + u64::from(self.batch));
            let permits = u32::try_from(end - next).expect("a batch is small") * self.permits;
            self.window
                .acquire_many(permits)
                .await
                .expect("the window stays open")
                .forget();
            let events = (next..end).map(&self.event).collect();
            if requests
                .send(EmitEventsRequest { sequence, events })
                .await
                .is_err()
            {
                // The stream ended; what it was acknowledged tells.
                return;
            }
            sequence += 1;
            next = end;
        }
    }

    async fn acknowledge(&self, mut responses: Streaming<EmitEventsResponse>) -> u64 {
        let mut acknowledged = 0;
        while let Some(response) = responses.message().await.expect("the stream goes on") {
            for result in &response.results {
                let accepted = matches!(result.result, Some(emit_result::Result::Accepted(_)));
                assert!(accepted, "an event is not accepted: {result:?}");
            }
            acknowledged += response.results.len() as u64;
            if self.release == Release::AtAcknowledgement {
                self.window
                    .add_permits(response.results.len() * self.permits as usize);
            }
        }
        acknowledged
    }
}

/// Emits events by unary calls, `calls` of them at one time spread over the connections, until `events` are
/// acknowledged.
pub(crate) async fn unary(
    connections: &[Client],
    calls: u32,
    events: u64,
    event: impl Fn(u64) -> EmitEventRequest + Clone + Send + 'static,
) {
    let next = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    for client in connections.iter().cycle().take(calls as usize) {
        let (next, event, mut client) = (Arc::clone(&next), event.clone(), client.events());
        tasks.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= events {
                    return;
                }
                client
                    .emit_event(event(number))
                    .await
                    .expect("the event is accepted");
            }
        });
    }
    tasks.join_all().await;
}

/// Emits events at a fixed rate, whether or not earlier ones are acknowledged, and returns when all are.
///
/// `event` is called right before its event is sent.
pub(crate) async fn open_loop(
    client: &Client,
    per_second: u32,
    events: u64,
    event: impl Fn(u64) -> EmitEventRequest + Clone + Send + 'static,
) {
    let mut ticks = interval(Duration::from_secs(1) / per_second);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut calls = JoinSet::new();
    for number in 0..events {
        ticks.tick().await;
        let (mut client, event) = (client.events(), event.clone());
        calls.spawn(async move {
            client
                .emit_event(event(number))
                .await
                .expect("the event is accepted");
        });
        while calls.try_join_next().is_some() {}
    }
    calls.join_all().await;
}

#[cfg(test)]
mod tests;
