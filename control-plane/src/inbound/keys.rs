//! Keys that providers publish: fetched when a request needs one, and kept for a while.
//!
//! Which hosts may be asked is the scheme's to say, and where they may lead is the guard's. One fetch of an address is
//! under way at a time, however many wait for it, and whoever waits in vain. A provider that is away does not take its key
//! along: what was fetched is used for another day, at once, while it is fetched anew. Requests that nobody signed name
//! addresses too: those that have not answered yet are few at a time, few for each source, and never take the place of
//! one that has.

use std::{collections::HashMap, sync::Arc, time::Duration};

use http::{HeaderMap, header::CACHE_CONTROL};
use posthorn_verify::{FETCHED_BYTES_MAX, Fetched, KeyRequest};
use tokio::{
    sync::{Semaphore, watch},
    time::{Instant, timeout},
};
use url::Url;

use crate::{
    clock,
    fetch::{Fetch, Wanted},
    lock::{KEY, KEYS, Leaf, Lock, Locked},
    model::id::SourceId,
};

/// For how long a key is fresh when its provider does not say.
const FRESH_FOR: Duration = Duration::from_mins(10);
/// For how long it is fresh at least, and at most, whatever its provider says.
const FRESH_FOR_MIN: Duration = Duration::from_secs(30);
const FRESH_FOR_MAX: Duration = Duration::from_hours(24);
/// For how long a key is used after that while it is fetched anew, or its provider does not answer.
const STALE_FOR: Duration = Duration::from_hours(24);
/// How long an address is let alone after it was asked in vain, or for a key that it did not have.
const PAUSE: Duration = Duration::from_secs(30);
/// How long a fetch may take in all.
const TIMEOUT: Duration = Duration::from_secs(3);
/// How many addresses are remembered.
const ADDRESSES_MAX: usize = 256;
/// How many are asked at one time that have answered before.
const FETCHES_MAX: usize = 8;
/// How many are asked at one time that have not: whoever makes addresses up takes no room from the others.
const TRIES_MAX: usize = 8;
/// How many such addresses are asked in a minute for one source.
const TRIES_PER_MINUTE: u32 = 4;
const MINUTE: Duration = Duration::from_mins(1);

/// The keys that were fetched. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Keys(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    fetch: Fetch,
    slots: Lock<HashMap<Url, Arc<Slot>>, KEYS>,
    /// What each source has tried since when.
    tries: Leaf<HashMap<SourceId, (Instant, u32)>>,
    room: Arc<Semaphore>,
    tries_room: Arc<Semaphore>,
}

/// One address.
#[derive(Debug)]
struct Slot(Lock<State, KEY>);

#[derive(Debug)]
struct State {
    key: Option<Key>,
    asked_at: Option<Instant>,
    used_at: Instant,
    /// Closes when the fetch that is under way ends.
    under_way: Option<watch::Receiver<()>>,
}

#[derive(Debug, Clone)]
struct Key {
    fetched: Fetched,
    fresh_until: Instant,
}

impl Keys {
    /// No keys yet.
    pub(super) fn new(fetch: Fetch) -> Self {
        Self(Arc::new(Inner {
            fetch,
            slots: Lock::default(),
            tries: Leaf::default(),
            room: Arc::new(Semaphore::new(FETCHES_MAX)),
            tries_room: Arc::new(Semaphore::new(TRIES_MAX)),
        }))
    }

    /// What an address leads to, for a request to this source. A key that is no longer fresh is used at once, while it is
    /// fetched anew. None: the address has not answered, or too much is asked.
    pub(super) async fn get(&self, source: SourceId, key: &KeyRequest) -> Option<Fetched> {
        let slot = self.slot(source, &key.url)?;
        let now = clock::monotonic();
        let (usable, is_fresh) = {
            let state = slot.state();
            (state.usable(now), state.is_fresh(now))
        };
        if is_fresh {
            return usable;
        }
        self.ask(source, &key.url, &slot);
        if usable.is_some() {
            return usable;
        }
        slot.settled().await;
        slot.state().usable(clock::monotonic())
    }

    /// What an address leads to now, after `former` turned out to lack a key. None: it has just been asked, or has
    /// nothing else.
    pub(super) async fn renewed(
        &self,
        source: SourceId,
        key: &KeyRequest,
        former: &Fetched,
    ) -> Option<Fetched> {
        let slot = self.slot(source, &key.url)?;
        self.ask(source, &key.url, &slot);
        slot.settled().await;
        let usable = slot.state().usable(clock::monotonic());
        usable.filter(|fetched| fetched != former)
    }

    /// Begins to fetch what an address leads to, unless that is under way, or the address is let alone. It goes on when
    /// whoever began it has gone.
    fn ask(&self, source: SourceId, url: &Url, slot: &Arc<Slot>) {
        let now = clock::monotonic();
        let mut state = slot.state();
        if state.is_under_way() || !state.may_ask(now) {
            return;
        }
        let is_known = state.usable(now).is_some();
        let room = if is_known {
            &self.0.room
        } else {
            &self.0.tries_room
        };
        let Ok(permit) = Arc::clone(room).try_acquire_owned() else {
            return;
        };
        if !is_known && !self.0.has_try(source, now, true) {
            return;
        }
        let (ended, under_way) = watch::channel(());
        state.asked_at = Some(now);
        state.under_way = Some(under_way);
        drop(state);
        let (keys, url, slot) = (self.clone(), url.clone(), Arc::clone(slot));
        tokio::spawn(async move {
            if let Some(key) = keys.0.fetched(url).await {
                slot.state().key = Some(key);
            }
            drop(permit);
            drop(ended);
        });
    }

    /// The slot of an address. For a new one that makes room which was not used for longest among those without a usable
    /// key. None: there is no room, or the source has tried too many.
    fn slot(&self, source: SourceId, url: &Url) -> Option<Arc<Slot>> {
        let now = clock::monotonic();
        let mut slots = self.0.slots.lock();
        if let Some(slot) = slots.get(url) {
            slot.state().used_at = now;
            return Some(Arc::clone(slot));
        }
        if !self.0.has_try(source, now, false) {
            return None;
        }
        if slots.len() >= ADDRESSES_MAX {
            let untried = slots.iter().filter_map(|(url, slot)| {
                let state = slot.state();
                state.usable(now).is_none().then_some((state.used_at, url))
            });
            let oldest = untried.min_by_key(|(used_at, _)| *used_at)?.1.clone();
            slots.remove(&oldest);
        }
        let slot = Arc::new(Slot(Lock::new(State {
            key: None,
            asked_at: None,
            used_at: now,
            under_way: None,
        })));
        slots.insert(url.clone(), Arc::clone(&slot));
        Some(slot)
    }
}

impl Inner {
    /// Whether a source may try one more address that has not answered yet; it is counted if it `takes` the try.
    fn has_try(&self, source: SourceId, now: Instant, takes: bool) -> bool {
        let is_over = |began_at| now.saturating_duration_since(began_at) >= MINUTE;
        let mut tries = self.tries.lock();
        tries.retain(|_, (began_at, _)| !is_over(*began_at));
        if !takes {
            let count = tries.get(&source).map_or(0, |(_, count)| *count);
            return count < TRIES_PER_MINUTE;
        }
        let (_, count) = tries.entry(source).or_insert((now, 0));
        let is_left = *count < TRIES_PER_MINUTE;
        *count += u32::from(is_left);
        is_left
    }

    /// Fetches what an address leads to.
    async fn fetched(&self, url: Url) -> Option<Key> {
        let wanted = Wanted {
            url: url.as_str(),
            headers: HeaderMap::new(),
            body: None,
            bytes_max: FETCHED_BYTES_MAX,
        };
        let host = url.host_str();
        match timeout(TIMEOUT, self.fetch.fetch(wanted)).await {
            Ok(Ok(answered)) if answered.status.is_success() => {
                let fresh_for = fresh_for(&answered.headers);
                return Some(Key {
                    fresh_until: clock::monotonic() + fresh_for,
                    fetched: Fetched {
                        body: answered.body.to_vec(),
                        url,
                    },
                });
            }
            Ok(Ok(answered)) => {
                let status = answered.status.as_u16();
                tracing::warn!(
                    status,
                    host,
                    "a provider's key was not there: status {status}"
                );
            }
            Ok(Err(error)) => {
                tracing::warn!(host, %error, "a provider's key was not fetched: {error}");
            }
            Err(_) => tracing::warn!(host, "a provider's key was not fetched in time"),
        }
        None
    }
}

impl Slot {
    fn state(&self) -> Locked<'_, State> {
        self.0.lock()
    }

    /// Waits for the fetch that is under way, if one is. Bounded by what a fetch may take.
    async fn settled(&self) {
        let under_way = self.state().under_way.clone();
        if let Some(mut under_way) = under_way {
            // Nothing is ever sent: it ends when the other end is dropped.
            let _ended = under_way.changed().await;
        }
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

    fn is_under_way(&self) -> bool {
        let under_way = self.under_way.as_ref();
        under_way.is_some_and(|under_way| under_way.has_changed().is_ok())
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
