//! Publishing changes: every changed row is read anew and shown in one new snapshot with whatever else waits.
//!
//! Whoever changes a row makes a [`Promise`] before the commit. Kept, it waits until the row is published; dropped, because
//! the commit failed and may have taken place all the same, or because the caller left, the row is read anew without
//! anybody waiting. One task does the reading, while there is something to read: what waits meanwhile goes into its next
//! round, a later round never publishes older data, and nothing depends on a caller. A round that fails is repeated.

use std::{
    collections::HashSet,
    fmt, mem,
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::sync::oneshot;

use super::{Inner, Place, Registry, SharedRegistry, changed::Changed, load::Row};
use crate::{
    audit,
    error::Error,
    model::{audit::AuditRecord, endpoint::LiveEndpoint, id::EndpointId},
    store::{self, RegistryTx},
};

/// How long a round that failed waits for the next one.
const PAUSE: Duration = Duration::from_secs(1);

/// What was published of an endpoint.
#[derive(Debug, Clone, Copy)]
pub(crate) enum EndpointChange<'a> {
    /// It is served as it is now.
    Served(&'a LiveEndpoint),
    /// It is deleted.
    Removed(EndpointId),
}

/// Rows that are about to be written. Whatever becomes of the promise, they are read anew.
#[derive(Debug)]
#[must_use = "a promise that is dropped at once reads the rows before they are written"]
pub(crate) struct Promise {
    registry: SharedRegistry,
    changed: Vec<Changed>,
    places: Vec<Place>,
}

/// What waits to be read.
#[derive(Debug, Default)]
pub(super) struct Pending {
    changed: HashSet<Changed>,
    /// They count until their rows are published.
    places: Vec<Place>,
    /// Who waits; told whether it was published.
    waiters: Vec<oneshot::Sender<bool>>,
    /// Whether there is a task that reads.
    is_running: bool,
}

/// Who hears what was published of endpoints, before anybody who waits for it.
#[derive(Default)]
pub(super) struct Observer(OnceLock<Box<Observe>>);

type Observe = dyn Fn(EndpointChange<'_>) + Send + Sync;

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer(..)")
    }
}

impl SharedRegistry {
    /// Has every published change of an endpoint told to `observer`. Only the first one is heard.
    pub(crate) fn observe(&self, observer: impl Fn(EndpointChange<'_>) + Send + Sync + 'static) {
        let _ = self.inner.observer.0.set(Box::new(observer));
    }

    /// Rows that are about to be written.
    pub(crate) fn promise(&self, changed: impl IntoIterator<Item = Changed>) -> Promise {
        Promise {
            registry: self.clone(),
            changed: changed.into_iter().collect(),
            places: Vec::new(),
        }
    }

    /// Commits what changed these rows, and waits until they are published.
    pub(crate) async fn commit(
        &self,
        tx: RegistryTx,
        changed: impl IntoIterator<Item = Changed>,
        places: Vec<Place>,
    ) -> Result<(), Error> {
        let promise = self.promise(changed).holding(places);
        tx.commit().await?;
        promise.kept().await
    }

    /// Commits what Posthorn itself changed of a row with the record of it, and waits until it is published.
    pub(super) async fn commit_recorded(
        &self,
        mut tx: RegistryTx,
        changed: Changed,
        record: &AuditRecord,
    ) -> Result<(), Error> {
        audit::write(&mut tx, record).await?;
        self.commit(tx, [changed], Vec::new()).await?;
        audit::log(record);
        Ok(())
    }

    /// Reads one row anew, and waits until it is published.
    pub(crate) async fn refresh(&self, changed: Changed) -> Result<(), Error> {
        self.promise([changed]).kept().await
    }

    fn enqueue(&self, promise: &mut Promise, waiter: Option<oneshot::Sender<bool>>) {
        let mut pending = self.inner.pending.lock();
        pending.changed.extend(promise.changed.drain(..));
        pending.places.append(&mut promise.places);
        pending.waiters.extend(waiter);
        if !mem::replace(&mut pending.is_running, true) {
            tokio::spawn(run(Arc::clone(&self.inner)));
        }
    }
}

impl Promise {
    /// Takes the places of new rows along.
    pub(crate) fn holding(mut self, places: Vec<Place>) -> Self {
        self.places = places;
        self
    }

    /// The rows are written: waits until they are published, if there are any.
    pub(crate) async fn kept(mut self) -> Result<(), Error> {
        if self.changed.is_empty() {
            return Ok(());
        }
        let (published, is_published) = oneshot::channel();
        self.registry.clone().enqueue(&mut self, Some(published));
        if is_published.await.unwrap_or(false) {
            return Ok(());
        }
        let text = "the change is written, and takes effect as soon as the database answers";
        Err(Error::Unavailable(text.to_owned()))
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        // Without a runtime the process ends, and its memory with it.
        if !self.changed.is_empty() && tokio::runtime::Handle::try_current().is_ok() {
            self.registry.clone().enqueue(self, None);
        }
    }
}

/// What one round reads. Dropped unfinished, it is given back.
pub(super) struct Round {
    inner: Arc<Inner>,
    changed: HashSet<Changed>,
    places: Vec<Place>,
    waiters: Vec<oneshot::Sender<bool>>,
}

/// Reads and publishes until nothing waits.
async fn run(inner: Arc<Inner>) {
    while let Some(round) = Round::next(&inner) {
        match round.read().await {
            Ok(rows) => round.publish(&rows),
            Err(error) => {
                let count = round.changed.len();
                tracing::warn!(error = ?error, "{count} changes of the registry cannot be read yet; trying again");
                drop(round);
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

impl Round {
    /// Takes what waits. None: nothing does, and the task is over.
    pub(super) fn next(inner: &Arc<Inner>) -> Option<Self> {
        let mut pending = inner.pending.lock();
        let round = Self {
            inner: Arc::clone(inner),
            changed: mem::take(&mut pending.changed),
            places: mem::take(&mut pending.places),
            waiters: mem::take(&mut pending.waiters),
        };
        if round.changed.is_empty() && round.waiters.is_empty() {
            pending.is_running = false;
            return None;
        }
        Some(round)
    }

    async fn read(&self) -> store::Result<Vec<Row>> {
        let current = self.inner.current.load_full();
        let loader = &self.inner.loader;
        match loader.rows(&self.changed, &current).await {
            Err(store::Error::Bug(_)) => {}
            read => return read,
        }
        // A row that nobody can read holds up no other.
        let mut rows = Vec::new();
        for changed in &self.changed {
            let one = HashSet::from([changed.clone()]);
            match loader.rows(&one, &current).await {
                Ok(row) => rows.extend(row),
                Err(store::Error::Bug(cause)) => {
                    tracing::error!(error = ?cause, "{changed:?} cannot be read, so it stays as it was");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(rows)
    }

    fn publish(mut self, rows: &[Row]) {
        let registry = SharedRegistry {
            inner: Arc::clone(&self.inner),
        };
        registry.edit(|registry| {
            for row in rows {
                registry.apply(row);
            }
        });
        registry.tell(rows);
        self.changed.clear();
        for waiter in self.waiters.drain(..) {
            let _ = waiter.send(true);
        }
    }
}

impl Drop for Round {
    fn drop(&mut self) {
        if self.changed.is_empty() {
            return;
        }
        // Who waits hears of the failure; the rows are read again.
        let mut pending = self.inner.pending.lock();
        pending.changed.extend(self.changed.drain());
        pending.places.append(&mut self.places);
        if std::thread::panicking() {
            pending.is_running = false;
        }
    }
}

#[cfg(test)]
impl Round {
    /// How many rows it reads.
    pub(super) fn len(&self) -> usize {
        self.changed.len()
    }
}

/// Keeps everybody else from publishing.
#[cfg(test)]
pub(crate) struct HeldTurn(SharedRegistry);

#[cfg(test)]
impl SharedRegistry {
    /// Takes the turn, as a task does that reads and does not come to an end.
    pub(crate) async fn hold_turn(&self) -> HeldTurn {
        while std::mem::replace(&mut self.inner.pending.lock().is_running, true) {
            tokio::task::yield_now().await;
        }
        HeldTurn(self.clone())
    }
}

#[cfg(test)]
impl Drop for HeldTurn {
    fn drop(&mut self) {
        self.0.inner.pending.lock().is_running = false;
    }
}

impl SharedRegistry {
    /// Lets those hear of it that act on what is published.
    fn tell(&self, rows: &[Row]) {
        if rows.iter().any(|row| matches!(row, Row::Source(..))) {
            self.inner.source_changes.send_modify(|count| *count += 1);
        }
        let Some(observe) = self.inner.observer.0.get() else {
            return;
        };
        let snapshot = self.snapshot();
        for row in rows {
            let Row::Endpoint(id, loaded) = row else {
                continue;
            };
            match (snapshot.endpoint(*id), loaded) {
                (Some(live), _) => observe(EndpointChange::Served(live)),
                (None, None) => observe(EndpointChange::Removed(*id)),
                // It is sealed: its deliveries wait.
                (None, Some(_)) => (),
            }
        }
    }
}

impl Registry {
    fn apply(&mut self, row: &Row) {
        match row {
            Row::Tenant(_, Some(tenant)) => self.put_tenant(tenant),
            Row::Tenant(id, None) => self.remove_tenant(*id),
            Row::EventType(tenant, name, true) => {
                self.edit_tenant(*tenant, |entry| entry.put_event_type(name.clone()));
            }
            Row::EventType(tenant, name, false) => {
                self.edit_tenant(*tenant, |entry| entry.remove_event_type(name));
            }
            Row::Endpoint(_, Some(loaded)) => self.put_endpoint(loaded),
            Row::Endpoint(id, None) => self.remove_endpoint(*id),
            Row::Source(_, Some(loaded)) => self.put_source(loaded),
            Row::Source(id, None) => self.remove_source(*id),
            Row::Key(_, Some(key)) => self.put_key(key.clone()),
            Row::Key(id, None) => self.remove_key(*id),
        }
    }
}
