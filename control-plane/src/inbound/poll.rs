//! Polling: pulls the lists of providers that have one, beside their webhooks or instead of them.
//!
//! Each item becomes an inbound request, with the same de-duplication as a webhook's: what the webhook had brought is a
//! duplicate and no more is heard of it, what it had missed becomes an event and counts as drift. The cursor moves only
//! when a page's items are durable, so a pull that breaks off is made again.
//!
//! Items are checked like the bodies of webhooks; what does not pass is kept as quarantined, and the pull goes on.
//! Pulls go through the address guard; a source has one under way at a time, and at most [`PULLS_MAX`] run at once.

mod page;
mod pull;
mod schedule;

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::task::JoinMap;

use self::pull::PullError;
use crate::{
    core::Core,
    dispatch::Dispatch,
    fetch::Fetch,
    inbound::Inbound,
    metrics::ResultLabel,
    model::{
        id::{Shard, SourceId},
        object::ObjectState,
        shard::ShardSet,
    },
    outage,
    store::PollState,
};

/// How many pulls run at one time.
const PULLS_MAX: usize = 16;
/// How many due sources are looked at together.
const DUE_MAX: i64 = 500;
/// When a source is looked at again whose settings cannot be read, in milliseconds, before failures double it.
const INTERVAL_UNKNOWN_MS: u32 = 60_000;
/// How often it is looked which sources are due.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How often it is looked whether every source that is to be polled is scheduled, in looks.
const COMPLETE_EVERY: u32 = 60;

/// What polling needs.
#[derive(Debug, Clone)]
pub(crate) struct Polling {
    /// What every part is given.
    pub core: Core,
    /// Whose sources are polled.
    pub shards: ShardSet,
    /// What items are handed to.
    pub dispatch: Dispatch,
    /// What keeps the items that are not fit.
    pub inbound: Inbound,
    /// What makes the requests.
    pub fetch: Fetch,
}

/// Polls for ever.
pub(crate) async fn keep_polled(polling: Polling) {
    let mut pulls = JoinMap::new();
    let mut looks = interval(LOOK_INTERVAL);
    let mut look = 0_u32;
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            Some((source_id, ended)) = pulls.join_next() => if let Err(panic) = ended {
                tracing::error!(%source_id, error = %panic, "a pull of source {source_id} broke off");
                let registry = polling.core.registry.snapshot();
                if let Some(shard) = registry.source(source_id).map(|live| live.source.shard) {
                    let polling = polling.clone();
                    pulls.spawn(source_id, Due { polling, shard, source_id }.put_off());
                }
            },
            _ = looks.tick() => {
                if look.is_multiple_of(COMPLETE_EVERY) {
                    complete(&polling).await;
                }
                look = look.wrapping_add(1);
                begin_due(&polling, &mut pulls).await;
            }
        }
    }
}

/// Schedules the sources that are to be polled and are not: their settings were written, and what follows from them was
/// not.
async fn complete(polling: &Polling) {
    let scheduled = match polling.core.store.poll_sources(&polling.shards).await {
        Ok(scheduled) => scheduled,
        Err(error) => {
            outage::log(&error, "could not read which sources are polled");
            return;
        }
    };
    let registry = polling.core.registry.snapshot();
    let sources = registry.sources().map(|live| &live.source);
    let polled = sources
        .filter(|source| source.settings.poll.is_some() && polling.shards.contains(source.shard));
    for source in polled.filter(|source| !scheduled.contains(&source.id)) {
        if let Err(error) = polling
            .core
            .store
            .poll_schedule(source, polling.core.clock.now_ms())
            .await
        {
            outage::log(&error, "could not schedule a source that is to be polled");
        }
    }
}

/// Begins the pulls that are due, as many as there may be.
async fn begin_due(polling: &Polling, pulls: &mut JoinMap<SourceId, ()>) {
    let (store, now) = (&polling.core.store, polling.core.clock.now_ms());
    let due = match store.poll_due(&polling.shards, now, DUE_MAX).await {
        Ok(due) => due,
        Err(error) => {
            outage::log(&error, "could not read which sources are to be polled");
            return;
        }
    };
    for (shard, source_id) in due {
        if pulls.len() >= PULLS_MAX {
            return;
        }
        if !pulls.contains_key(&source_id) {
            let due = Due {
                polling: polling.clone(),
                shard,
                source_id,
            };
            pulls.spawn(source_id, due.poll());
        }
    }
}

/// A source whose time to be polled has come.
struct Due {
    polling: Polling,
    shard: Shard,
    source_id: SourceId,
}

impl Due {
    /// Polls it, and notes how that went: whatever it came to, the source is due again later, so that those that cannot be
    /// polled never hold the places of others.
    async fn poll(self) {
        let source_id = self.source_id;
        let snapshot = self.polling.core.registry.snapshot();
        let live = snapshot.source(source_id);
        let polled = live.and_then(|live| Some((live, live.source.settings.poll.as_ref()?)));
        let Some((source, settings)) = polled else {
            if !snapshot.is_source_sealed(source_id) {
                // It is gone, or polled no more.
                let forgotten = self
                    .polling
                    .core
                    .store
                    .poll_forget(self.shard, source_id)
                    .await;
                forgotten.unwrap_or_else(|error| outage::log(&error, "could not forget a source"));
            } else if let Some(state) = self.state().await {
                self.note(INTERVAL_UNKNOWN_MS, &state, Err(PullError::Sealed))
                    .await;
            }
            return;
        };
        let Some(state) = self.state().await else {
            return;
        };
        let ended = if source.source.state == ObjectState::Enabled {
            pull::pull(&self.polling, source, settings, &state).await
        } else {
            Ok(())
        };
        let result = if ended.is_ok() { "succeeded" } else { "failed" };
        let polls = &self.polling.core.metrics.polls;
        polls.get_or_create(&ResultLabel { result }).inc();
        if let Err(error) = &ended {
            tracing::warn!(%source_id, error = ?error, "polling source {source_id} failed: {error}");
        }
        self.note(settings.interval_ms, &state, ended).await;
    }

    /// Notes that a pull panicked.
    async fn put_off(self) {
        let Some(state) = self.state().await else {
            return;
        };
        let snapshot = self.polling.core.registry.snapshot();
        let live = snapshot.source(self.source_id);
        let settings = live.and_then(|live| live.source.settings.poll.as_ref());
        let interval_ms = settings.map_or(INTERVAL_UNKNOWN_MS, |settings| settings.interval_ms);
        self.note(interval_ms, &state, Err(PullError::BrokeOff))
            .await;
    }

    /// Where polling of it stands. None: it is polled no more, or the database is away, for all sources then.
    async fn state(&self) -> Option<PollState> {
        let read = self.polling.core.store.poll_get(self.shard, self.source_id);
        read.await.unwrap_or_else(|error| {
            outage::log(&error, "could not read where polling of a source stands");
            None
        })
    }

    /// Notes how a pull ended, and when the next one begins.
    async fn note(&self, interval_ms: u32, state: &PollState, ended: Result<(), PullError>) {
        let now_ms = self.polling.core.clock.now_ms();
        let failures = match ended {
            Ok(()) => 0,
            Err(_) => u32::try_from(state.failures).unwrap_or(0) + 1,
        };
        let next_at =
            schedule::next_at(now_ms, interval_ms, failures, &mut self.polling.core.rng());
        let error = ended.err().map(|error| error.to_string());
        let (of, due_at) = ((self.shard, self.source_id), state.next_poll_at);
        let store = &self.polling.core.store;
        let noted = store.poll_end(of, due_at, error.as_deref(), now_ms, next_at);
        if let Err(error) = noted.await {
            outage::log(&error, "could not note how a pull of a source went");
        }
    }
}
