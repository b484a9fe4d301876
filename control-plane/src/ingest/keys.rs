//! Keys that providers publish: fetched when a request needs one, and kept for a while.
//!
//! Which hosts may be asked is the scheme's to say, and where they may lead is the guard's. One fetch of an address is
//! under way at a time, however many wait for it. A provider that is away does not take its key along: what was fetched
//! is used for another day.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::{HeaderMap, header::CACHE_CONTROL};
use posthorn_verify::{FETCHED_BYTES_MAX, Fetched, KeyRequest};
use tokio::{
    sync::{Mutex as Turn, Semaphore},
    time::Instant,
};
use url::Url;

use crate::{
    clock,
    fetch::{Fetch, Wanted},
};

/// For how long a key is fresh when its provider does not say.
const FRESH_FOR: Duration = Duration::from_mins(10);
/// For how long it is fresh at least, and at most, whatever its provider says.
const FRESH_FOR_MIN: Duration = Duration::from_secs(30);
const FRESH_FOR_MAX: Duration = Duration::from_hours(24);
/// For how long a key is used after that while its provider does not answer.
const STALE_FOR: Duration = Duration::from_hours(24);
/// How long an address is let alone after it was asked in vain, or for a key that it did not have.
const PAUSE: Duration = Duration::from_secs(30);
/// How many addresses are remembered.
const ADDRESSES_MAX: usize = 256;
/// How many are asked at one time.
const FETCHES_MAX: usize = 16;

/// The keys that were fetched.
#[derive(Debug)]
pub(super) struct Keys {
    fetch: Fetch,
    slots: Mutex<HashMap<Url, Arc<Slot>>>,
    room: Semaphore,
}

/// One address.
#[derive(Debug)]
struct Slot {
    /// Held while it is asked.
    state: Turn<State>,
    used_at: Mutex<Instant>,
}

#[derive(Debug, Clone, Default)]
struct State {
    key: Option<Key>,
    asked_at: Option<Instant>,
}

#[derive(Debug, Clone)]
struct Key {
    fetched: Fetched,
    fresh_until: Instant,
}

impl Keys {
    /// No keys yet.
    pub(super) fn new(fetch: Fetch) -> Self {
        Self {
            fetch,
            slots: Mutex::default(),
            room: Semaphore::new(FETCHES_MAX),
        }
    }

    /// What an address leads to. None: it has not answered, or too many are asked.
    pub(super) async fn get(&self, key: &KeyRequest) -> Option<Fetched> {
        let slot = self.slot(&key.url);
        let mut state = slot.state.lock().await;
        let now = clock::monotonic();
        if state.is_fresh(now) || !state.may_ask(now) {
            return state.usable(now);
        }
        self.ask(&key.url, &mut state).await;
        state.usable(clock::monotonic())
    }

    /// What an address leads to now, after `former` turned out to lack a key. None: it has just been asked, or has
    /// nothing else.
    pub(super) async fn renewed(&self, key: &KeyRequest, former: &Fetched) -> Option<Fetched> {
        let slot = self.slot(&key.url);
        let mut state = slot.state.lock().await;
        let now = clock::monotonic();
        if state.may_ask(now) {
            self.ask(&key.url, &mut state).await;
        }
        state
            .usable(clock::monotonic())
            .filter(|fetched| fetched != former)
    }

    async fn ask(&self, url: &Url, state: &mut State) {
        let Ok(_permit) = self.room.try_acquire() else {
            return;
        };
        state.asked_at = Some(clock::monotonic());
        let wanted = Wanted {
            url: url.as_str(),
            headers: HeaderMap::new(),
            body: None,
            bytes_max: FETCHED_BYTES_MAX,
        };
        match self.fetch.fetch(wanted).await {
            Ok(answered) if answered.status.is_success() => {
                let fresh_for = fresh_for(&answered.headers);
                state.key = Some(Key {
                    fetched: Fetched {
                        url: url.clone(),
                        body: answered.body.to_vec(),
                    },
                    fresh_until: clock::monotonic() + fresh_for,
                });
            }
            Ok(answered) => {
                let (status, host) = (answered.status.as_u16(), url.host_str());
                tracing::warn!(
                    status,
                    host,
                    "a provider's key was not there: status {status}"
                );
            }
            Err(error) => {
                tracing::warn!(host = url.host_str(), %error, "a provider's key was not fetched: {error}");
            }
        }
    }

    /// The slot of an address; that which was not used for longest makes room for a new one.
    fn slot(&self, url: &Url) -> Arc<Slot> {
        let now = clock::monotonic();
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= ADDRESSES_MAX && !slots.contains_key(url) {
            let oldest = slots.iter().min_by_key(|(_, slot)| *slot.used_at());
            if let Some(oldest) = oldest.map(|(url, _)| url.clone()) {
                slots.remove(&oldest);
            }
        }
        let slot = slots.entry(url.clone()).or_insert_with(|| {
            Arc::new(Slot {
                state: Turn::default(),
                used_at: Mutex::new(now),
            })
        });
        *slot.used_at() = now;
        Arc::clone(slot)
    }
}

impl Slot {
    fn used_at(&self) -> MutexGuard<'_, Instant> {
        self.used_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_fresh(&self, now: Instant) -> bool {
        self.key.as_ref().is_some_and(|key| now < key.fresh_until)
    }

    fn may_ask(&self, now: Instant) -> bool {
        self.asked_at
            .is_none_or(|asked_at| now.saturating_duration_since(asked_at) >= PAUSE)
    }

    fn usable(&self, now: Instant) -> Option<Fetched> {
        let key = self.key.as_ref();
        let key = key.filter(|key| now < key.fresh_until + STALE_FOR);
        key.map(|key| key.fetched.clone())
    }
}

/// For how long an answer says that it may be kept.
fn fresh_for(headers: &HeaderMap) -> Duration {
    let directives = headers
        .get(CACHE_CONTROL)
        .and_then(|value| value.to_str().ok());
    let max_age = directives
        .unwrap_or_default()
        .split(',')
        .find_map(|directive| {
            let (name, seconds) = directive.trim().split_once('=')?;
            let is_max_age = name.trim().eq_ignore_ascii_case("max-age");
            is_max_age.then(|| seconds.trim().trim_matches('"').parse().ok())?
        });
    max_age.map_or(FRESH_FOR, |seconds| {
        Duration::from_secs(seconds).clamp(FRESH_FOR_MIN, FRESH_FOR_MAX)
    })
}

#[cfg(test)]
mod tests;
