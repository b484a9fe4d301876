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
    clock,
    dispatch::Dispatch,
    fetch::Fetch,
    ingest::Ingest,
    metrics::{Metrics, Word},
    model::{id::SourceId, object::ObjectState},
    registry::SharedRegistry,
    store::{PollState, Store},
};

/// How many pulls run at one time.
const PULLS_MAX: usize = 16;
/// How many due sources are looked at together.
const DUE_MAX: i64 = 500;
/// When a source is looked at again whose settings cannot be read, in milliseconds, before failures double it.
const INTERVAL_UNKNOWN_MS: u32 = 60_000;
/// The same, of one that the registry does not know yet.
const INTERVAL_UNPUBLISHED_MS: u32 = 500;
/// How often it is looked which sources are due.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// What polling needs.
#[derive(Debug, Clone)]
pub(crate) struct Polling {
    /// Where cursors are kept.
    pub store: Store,
    /// Where sources are looked up.
    pub registry: SharedRegistry,
    /// What items are handed to.
    pub dispatch: Dispatch,
    /// What keeps the items that are not fit.
    pub ingest: Ingest,
    /// What makes the requests.
    pub fetch: Fetch,
    /// Where pulls are counted.
    pub metrics: Metrics,
}

/// Polls for ever.
pub(crate) async fn keep_polled(polling: Polling) {
    let mut pulls = JoinMap::new();
    let mut looks = interval(LOOK_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            Some((source_id, ended)) = pulls.join_next() => if let Err(panic) = ended {
                tracing::error!(%source_id, error = %panic, "a pull of source {source_id} broke off");
                pulls.spawn(source_id, put_off(polling.clone(), source_id));
            },
            _ = looks.tick() => begin_due(&polling, &mut pulls).await,
        }
    }
}

/// Begins the pulls that are due, as many as there may be.
async fn begin_due(polling: &Polling, pulls: &mut JoinMap<SourceId, ()>) {
    let due = match polling.store.poll_due(clock::now_ms(), DUE_MAX).await {
        Ok(due) => due,
        Err(error) => {
            tracing::warn!(error = ?error, "could not read which sources are to be polled");
            return;
        }
    };
    for source_id in due {
        if pulls.len() >= PULLS_MAX {
            return;
        }
        if !pulls.contains_key(&source_id) {
            pulls.spawn(source_id, poll(polling.clone(), source_id));
        }
    }
}

/// Polls one source, and notes how that went: whatever it came to, the source is due again later, so that those that
/// cannot be polled never hold the places of others.
async fn poll(polling: Polling, source_id: SourceId) {
    let Some(state) = state(&polling, source_id).await else {
        return;
    };
    let snapshot = polling.registry.snapshot();
    let live = snapshot.source(source_id);
    let polled = live.and_then(|live| Some((live, live.source.settings.poll.as_ref()?)));
    let Some((source, settings)) = polled else {
        // Its secrets do not open, or a change of it is not published yet.
        let is_sealed = snapshot.is_source_sealed(source_id);
        let interval_ms = if is_sealed {
            INTERVAL_UNKNOWN_MS
        } else {
            INTERVAL_UNPUBLISHED_MS
        };
        note(
            &polling,
            source_id,
            interval_ms,
            &state,
            Err(PullError::Sealed),
        )
        .await;
        return;
    };
    let ended = if source.source.state == ObjectState::Enabled {
        pull::pull(&polling, source, settings, &state).await
    } else {
        Ok(())
    };
    let result = if ended.is_ok() { "succeeded" } else { "failed" };
    polling.metrics.polls.get_or_create(&Word { result }).inc();
    if let Err(error) = &ended {
        tracing::warn!(%source_id, error = ?error, "polling source {source_id} failed: {error}");
    }
    note(&polling, source_id, settings.interval_ms, &state, ended).await;
}

/// Notes that a pull panicked.
async fn put_off(polling: Polling, source_id: SourceId) {
    let Some(state) = state(&polling, source_id).await else {
        return;
    };
    let snapshot = polling.registry.snapshot();
    let live = snapshot.source(source_id);
    let settings = live.and_then(|live| live.source.settings.poll.as_ref());
    let interval_ms = settings.map_or(INTERVAL_UNKNOWN_MS, |settings| settings.interval_ms);
    note(
        &polling,
        source_id,
        interval_ms,
        &state,
        Err(PullError::BrokeOff),
    )
    .await;
}

/// Where polling of a source stands. None: it is polled no more, or the database is away, for all sources then.
async fn state(polling: &Polling, source_id: SourceId) -> Option<PollState> {
    let read = polling.store.poll_get(source_id).await;
    read.unwrap_or_else(|error| {
        tracing::warn!(%source_id, error = ?error, "could not read where polling of {source_id} stands");
        None
    })
}

/// Notes how a pull ended, and when the next one begins.
async fn note(
    polling: &Polling,
    source_id: SourceId,
    interval_ms: u32,
    state: &PollState,
    ended: Result<(), PullError>,
) {
    let now_ms = clock::now_ms();
    let failures = match ended {
        Ok(()) => 0,
        Err(_) => u32::try_from(state.failures).unwrap_or(0) + 1,
    };
    let next_at = schedule::next_at(now_ms, interval_ms, failures, &mut clock::rng());
    let error = ended.err().map(|error| error.to_string());
    let noted = polling
        .store
        .poll_end(
            source_id,
            state.next_poll_at,
            error.as_deref(),
            now_ms,
            next_at,
        )
        .await;
    if let Err(error) = noted {
        tracing::warn!(%source_id, error = ?error, "could not note a pull of source {source_id}");
    }
}
