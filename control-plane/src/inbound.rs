//! Taking what providers post: from a request that a node forwarded to its answer.
//!
//! [`Inbound`] is what the rest of the plane calls. Its parts: `stream` speaks with one node, `head` says what it may
//! forward, `posted` is a request, `judge` says whether it is genuine and `content` what it holds (both pure), `arrivals` what is
//! received of that, `answering` puts them in order and says
//! what the provider hears, `record` and `reply` are the forms of both, `capture` and `keys` do what schemes need of the
//! outside, `computed` and `waits` hold providers that wait for a consumer's answer, `meter` counts each source, `streams`
//! the streams of each key and what they hold, `incomplete` has the bodies that are still coming, `settings` is what nodes
//! are told.
//!
//! Nothing is answered as accepted before it is durable; the commit itself is the dispatch's.

mod answering;
mod arrivals;
mod capture;
mod computed;
mod content;
#[cfg(test)]
mod fixture;
mod head;
mod incomplete;
mod judge;
mod kept;
mod keys;
mod meter;
pub(crate) mod poll;
mod posted;
mod record;
mod reply;
mod settings;
mod stream;
mod streams;
mod waits;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::sync::Semaphore;

pub(crate) use self::{
    answering::Judgement,
    arrivals::{arrivals, event},
    content::{Content, check_json, examine, forwarded_to_items},
    posted::Posted,
    stream::{ForwardParts, forward},
};
use self::{keys::Keys, meter::Meters, streams::Streams, waits::Waits};
use crate::{
    config::ForwardConfig, core::Core, dispatch::Dispatch, fetch::Fetch, loops::every,
    metrics::ResultLabel, model::inbound::InboundRequest,
};

/// How often what is kept of each source is counted anew.
const RECOUNT_INTERVAL: Duration = Duration::from_mins(5);
/// How many URLs of handshakes are called back at one time.
const CALL_BACKS_MAX: usize = 16;

/// Takes what providers post. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Inbound(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    core: Core,
    dispatch: Dispatch,
    fetch: Fetch,
    keys: Keys,
    waits: Waits,
    meters: Meters,
    streams: Streams,
    body_timeout: Duration,
    call_backs: Arc<Semaphore>,
}

impl Inbound {
    /// Judges by the registry, fetches through the guard, and hands what is accepted to the engine.
    pub(crate) fn new(
        core: Core,
        dispatch: Dispatch,
        fetch: Fetch,
        config: &ForwardConfig,
    ) -> Self {
        let streams = Streams::new(config, core.metrics.forward_bytes.clone());
        Self(Arc::new(Inner {
            core,
            dispatch,
            keys: Keys::new(fetch.clone()),
            fetch,
            waits: Waits::default(),
            meters: Meters::default(),
            streams,
            body_timeout: config.body_timeout,
            call_backs: Arc::new(Semaphore::new(CALL_BACKS_MAX)),
        }))
    }

    /// Counts again and again what is kept of each source. Never ends.
    pub(crate) async fn keep_counts(self) {
        let round = async || match self.0.core.store.inbound_kept().await {
            Ok(kept) => {
                let registry = self.0.core.registry.snapshot();
                let kept = kept.iter();
                self.0.meters.reseed(
                    kept.map(|count| (count.source_id(), count.records, count.bytes)),
                    |id| registry.source_tenant(id).is_some(),
                );
            }
            Err(error) => {
                tracing::warn!(error = ?error, "could not count the inbound requests that are kept");
            }
        };
        every(&self.0.core.clock, RECOUNT_INTERVAL, round).await;
    }

    /// Keeps what polling found and a source does not take, within what is kept of that source. False: it is dropped.
    pub(crate) fn keep_unfit(&self, request: InboundRequest, body: Bytes) -> bool {
        self.0.meters.keep(request.source_id, body.len()) && self.0.dispatch.keep(request, body)
    }

    fn count_refusal(&self, reason: &'static str) {
        let refusals = &self.0.core.metrics.inbound_refusals;
        refusals
            .get_or_create(&ResultLabel { result: reason })
            .inc();
    }
}
