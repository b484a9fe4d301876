//! Providers of batches under faults: each posts a batch until it hears 2xx, and every fifth once more after that, as it
//! was signed the first time.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::Full;
use posthorn_harness::{Client, Provider};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{interval, timeout},
};

use super::{
    SETTLING,
    provider::{PATIENCE, PAUSE, POSTERS, REPEATED},
};
use crate::support::batch_provider::{Batch, BatchProvider, PROVIDERS};

/// How many items a batch has.
pub(super) const ITEMS: usize = 3;

/// Posters at work, the providers in rotation.
pub(super) struct Batches {
    shared: Arc<Shared>,
    posters: JoinSet<()>,
}

struct Shared {
    /// The sources of the providers, in their order.
    sources: Vec<String>,
    edges: watch::Receiver<Vec<SocketAddr>>,
    next: AtomicUsize,
    count: usize,
    answered: watch::Sender<usize>,
}

/// The provider of a batch by its number, and the ids of its items.
fn of(number: usize) -> (BatchProvider, Vec<String>) {
    let provider = PROVIDERS[number % PROVIDERS.len()];
    let ids = (0..ITEMS).map(|item| format!("{}-{number}-{item}", provider.name));
    (provider, ids.collect())
}

/// The items of a batch by its number, with their type.
pub(super) fn items(number: usize) -> Vec<(String, &'static str)> {
    let (provider, ids) = of(number);
    let items = provider.batch(&ids).items.into_iter();
    items.map(|item| (item, provider.event_type)).collect()
}

impl Batches {
    /// Begins to post so many batches, numbered from 0, to a new source of each provider.
    pub(super) async fn start(
        client: &Client,
        edges: watch::Receiver<Vec<SocketAddr>>,
        count: usize,
    ) -> Self {
        let mut sources = Vec::new();
        for provider in PROVIDERS {
            let (settings, secret) = (provider.settings(), provider.secret());
            let created = client.create_source_with(settings, &[&secret]).await;
            let source = created.source.expect("the answer holds the source");
            sources.push(source.source_id);
        }
        let shared = Arc::new(Shared {
            sources,
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

    /// Waits until so many batches are answered 2xx.
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
        let (provider, ids) = of(number);
        let batch = provider.batch(&ids);
        post(&shared, number, &batch).await;
        if number.is_multiple_of(REPEATED) {
            post(&shared, number, &batch).await;
        }
        shared.answered.send_modify(|answered| *answered += 1);
    }
}

/// Posts one batch, again and again until it is answered 2xx.
async fn post(shared: &Shared, number: usize, batch: &Batch) {
    let source_id = &shared.sources[number % PROVIDERS.len()];
    let trying = async {
        let mut pauses = interval(PAUSE);
        for turn in number.. {
            pauses.tick().await;
            let edge = {
                let edges = shared.edges.borrow();
                edges[turn % edges.len()]
            };
            let sending = async {
                let mut connection = Provider::new(edge, source_id, "").connect().await.ok()?;
                connection.send(request(edge, source_id, batch)).await.ok()
            };
            // A connection that breaks and an answer that does not come are what faults look like.
            let Ok(Some(posted)) = timeout(PATIENCE, sending).await else {
                continue;
            };
            if posted.status.is_success() {
                return;
            }
            // Anything else would be a fault of the provider.
            assert_eq!(posted.status, StatusCode::SERVICE_UNAVAILABLE, "{posted:?}");
        }
    };
    let answered = timeout(SETTLING, trying).await;
    answered.unwrap_or_else(|_| panic!("batch {number} is not answered within {SETTLING:?}"));
}

fn request(edge: SocketAddr, source_id: &str, batch: &Batch) -> Request<Full<Bytes>> {
    let mut request = Request::post(format!("/in/{source_id}{}", batch.query));
    for (name, value) in &batch.headers {
        request = request.header(name, value);
    }
    request
        .header(header::HOST, edge.to_string())
        .body(Full::new(Bytes::from(batch.body.clone())))
        .expect("the request is well formed")
}
