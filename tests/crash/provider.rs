//! A provider under faults: posts each event until it hears 2xx, and every fifth once more after that.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::StatusCode;
use posthorn_harness::{Client, Provider, STANDARD_WEBHOOKS};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{interval, timeout},
};

use super::SETTLING;

/// How many posts are under way at one time.
pub(super) const POSTERS: usize = 8;
/// How long one post may take before it is made again.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// How long a provider waits before it posts again. Real ones wait longer.
pub(super) const PAUSE: Duration = Duration::from_millis(20);
/// Every so many events are posted again although they were answered.
pub(super) const REPEATED: usize = 5;

/// Posters at work.
pub(super) struct Posting {
    shared: Arc<Shared>,
    posters: JoinSet<()>,
}

struct Shared {
    provider: Provider,
    edges: watch::Receiver<Vec<SocketAddr>>,
    next: AtomicUsize,
    count: usize,
    answered: watch::Sender<usize>,
}

impl Posting {
    /// Begins to post so many events, numbered from 0, to a new source.
    pub(super) async fn start(
        client: &Client,
        edges: watch::Receiver<Vec<SocketAddr>>,
        count: usize,
    ) -> Self {
        let created = client.create_source(STANDARD_WEBHOOKS).await;
        let source = created.source.expect("the answer holds the source");
        let edge = edges.borrow()[0];
        let shared = Arc::new(Shared {
            provider: Provider::new(edge, &source.source_id, &created.secret),
            edges,
            next: AtomicUsize::new(0),
            count,
            answered: watch::Sender::new(0),
        });
        let mut posters = JoinSet::new();
        for _ in 0..POSTERS {
            posters.spawn(post_all(Arc::clone(&shared)));
        }
        Self { shared, posters }
    }

    /// Waits until so many events are answered 2xx.
    pub(super) async fn answered(&self, count: usize) {
        let mut answered = self.shared.answered.subscribe();
        let waiting = answered.wait_for(|done| *done >= count);
        let done = timeout(SETTLING, waiting).await;
        done.expect("the posters get on").expect("the posters live");
    }

    /// Waits until all are.
    pub(super) async fn finish(self) {
        self.posters.join_all().await;
    }
}

async fn post_all(shared: Arc<Shared>) {
    loop {
        let number = shared.next.fetch_add(1, Ordering::Relaxed);
        if number >= shared.count {
            return;
        }
        post(&shared, number).await;
        if number.is_multiple_of(REPEATED) {
            post(&shared, number).await;
        }
        shared.answered.send_modify(|answered| *answered += 1);
    }
}

/// Posts one event, again and again until it is answered 2xx.
async fn post(shared: &Shared, number: usize) {
    let id = format!("msg_{number}");
    let trying = async {
        let mut pauses = interval(PAUSE);
        for turn in number.. {
            pauses.tick().await;
            let edge = {
                let edges = shared.edges.borrow();
                edges[turn % edges.len()]
            };
            let provider = shared.provider.at(edge);
            let posted = timeout(PATIENCE, provider.post(&id, body(number))).await;
            // A connection that breaks and an answer that does not come are what faults look like.
            let Ok(Ok(posted)) = posted else { continue };
            if posted.status.is_success() {
                return;
            }
            // Anything else would be a fault of the provider.
            assert_eq!(posted.status, StatusCode::SERVICE_UNAVAILABLE, "{posted:?}");
            assert!(posted.headers.contains_key("retry-after"), "{posted:?}");
        }
    };
    let answered = timeout(SETTLING, trying).await;
    answered.unwrap_or_else(|_| panic!("event {number} is not answered within {SETTLING:?}"));
}

/// The body of an event.
pub(super) fn body(number: usize) -> String {
    format!("{{\"number\": {number}}}")
}
