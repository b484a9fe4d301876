//! What came to a receiver, by path.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::HeaderMap;
use tokio::{sync::watch, time::timeout};

use super::Answer;

/// A request that came.
#[derive(Clone, Debug)]
pub struct Request {
    /// The path, without a query.
    pub path: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// When the whole of it had come in.
    pub arrived_at: Instant,
}

impl Request {
    /// A header's value; empty when it is missing or not visible ASCII.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// The `webhook-id` header: the event's id.
    pub fn webhook_id(&self) -> &str {
        self.header("webhook-id")
    }
}

/// What came to one path of a receiver, now and later.
#[derive(Clone, Debug)]
pub struct Received {
    records: Arc<Records>,
    path: String,
}

impl Received {
    pub(super) fn new(records: Arc<Records>, path: &str) -> Self {
        Self {
            records,
            path: path.to_owned(),
        }
    }

    /// How many requests came.
    pub fn count(&self) -> usize {
        self.look(<[Request]>::len)
    }

    /// The requests, in the order of their arrival.
    pub fn requests(&self) -> Vec<Request> {
        self.look(<[Request]>::to_vec)
    }

    /// How often each `webhook-id` came.
    pub fn by_webhook_id(&self) -> BTreeMap<String, usize> {
        self.look(|requests| {
            let mut counts = BTreeMap::new();
            for request in requests {
                *counts.entry(request.webhook_id().to_owned()).or_default() += 1;
            }
            counts
        })
    }

    /// Waits until at least `count` requests came, and returns all.
    ///
    /// Panics when they do not come within `deadline`.
    pub async fn await_count(&self, count: usize, deadline: Duration) -> Vec<Request> {
        self.await_that(&format!("{count} requests"), deadline, |requests| {
            requests.len() >= count
        })
        .await
    }

    /// Waits until at least `count` different `webhook-id`s came, and returns all requests.
    ///
    /// Panics when they do not come within `deadline`.
    pub async fn await_distinct(&self, count: usize, deadline: Duration) -> Vec<Request> {
        let mut seen = std::collections::HashSet::new();
        let mut looked_at = 0;
        self.await_that(
            &format!("{count} different webhook ids"),
            deadline,
            |requests| {
                seen.extend(
                    requests[looked_at..]
                        .iter()
                        .map(|request| request.webhook_id().to_owned()),
                );
                looked_at = requests.len();
                seen.len() >= count
            },
        )
        .await
    }

    async fn await_that(
        &self,
        what: &str,
        deadline: Duration,
        mut holds: impl FnMut(&[Request]) -> bool,
    ) -> Vec<Request> {
        let mut changes = self.records.changes.subscribe();
        let waiting = async {
            while !self.look(&mut holds) {
                changes
                    .changed()
                    .await
                    .expect("the records outlive the wait");
            }
        };
        let came = timeout(deadline, waiting).await.is_ok();
        assert!(
            came,
            "{} got {} requests within {deadline:?}, not {what}",
            self.path,
            self.count()
        );
        self.requests()
    }

    fn look<T>(&self, view: impl FnOnce(&[Request]) -> T) -> T {
        let paths = self.records.lock();
        view(paths.get(&self.path).map_or(&[], |path| &path.requests))
    }
}

/// What came, and how it is answered.
#[derive(Debug, Default)]
pub(super) struct Records {
    paths: Mutex<HashMap<String, PathRecord>>,
    changes: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct PathRecord {
    requests: Vec<Request>,
    answer: Answer,
    answered: usize,
}

impl Records {
    /// Adds a request; returns how to answer it, and how many were answered in this way before.
    pub(super) fn add(&self, request: Request) -> (Answer, usize) {
        let mut paths = self.lock();
        let path = paths.entry(request.path.clone()).or_default();
        path.requests.push(request);
        path.answered += 1;
        let answer = (path.answer.clone(), path.answered - 1);
        drop(paths);
        self.changes.send_replace(());
        answer
    }

    pub(super) fn set_answer(&self, path: &str, answer: Answer) {
        let mut paths = self.lock();
        let path = paths.entry(path.to_owned()).or_default();
        path.answer = answer;
        path.answered = 0;
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, PathRecord>> {
        self.paths.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
