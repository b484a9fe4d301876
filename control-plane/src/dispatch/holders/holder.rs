//! One stream of a holder: what it can take is taken, written and sent; what it says is passed on; what is durable, and what
//! it need not begin, it is told.

use std::{sync::Arc, time::Duration};

use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{
    held::{Held, Sent},
    lost, stream,
    table::Opened,
};
use crate::{
    dispatch::{
        Dispatch,
        report::Report,
        schedule::{Grant, Schedule},
    },
    error::Error,
    lock::{Leaf, Locked},
    model::{
        endpoint::LiveEndpoint,
        event::Event,
        id::KeyId,
        lease::{HolderId, LeaseKey},
    },
};

/// How many bytes of deliveries one message carries, one delivery at least.
const BYTES_PER_MESSAGE: usize = 2 * 1_024 * 1_024;
/// How many leases one message names that need not begin.
const REVOKED_PER_MESSAGE: usize = 1_024;
/// How long sending waits after the database failed to give a payload.
const LOAD_PAUSE: Duration = Duration::from_millis(200);

/// How a stream ended.
pub(crate) type StreamEnd = Result<(), Status>;

/// What tells one kind of holders from another.
pub(in crate::dispatch) trait Protocol: Sized + Send + Sync + 'static {
    /// What a holder is told.
    type ToHolder: Send + 'static;
    /// A delivery as it is sent.
    type Delivery: Send;

    /// What the streams of this kind are called in metrics.
    const STREAM: &'static str;
    /// How much is taken.
    const BOUNDS: Bounds;

    /// Has the stream woken when there is something to take.
    fn join(&self, schedule: &Schedule, holder: HolderId, waker: &Arc<Notify>);

    /// Ends that.
    fn leave(&self, schedule: &Schedule, holder: HolderId);

    /// Takes up to `room` deliveries, `suspects` among them at the most.
    fn take(
        &self,
        schedule: &Schedule,
        holder: HolderId,
        room: usize,
        suspects: usize,
    ) -> Vec<Grant>;

    /// Writes a delivery. None: it is for holders of another kind.
    fn write(
        &self,
        dispatch: &Dispatch,
        endpoint: &LiveEndpoint,
        event: &Arc<Event>,
        grant: &Grant,
    ) -> Option<Outgoing<Self::Delivery>>;

    /// The message that carries deliveries.
    fn deliveries(deliveries: Vec<Self::Delivery>) -> Self::ToHolder;

    /// The messages that say that what was reported up to a number is durable.
    fn committed(&self, through: u64) -> Vec<Self::ToHolder>;

    /// Has leases go that nothing follows from any more. Returns the message that says so, if the holder is to hear it.
    fn revoke(holder: &Holder<Self>, lease_ids: Vec<u64>) -> Option<Self::ToHolder>;
}

/// How much a stream takes.
#[derive(Debug, Clone, Copy)]
pub(in crate::dispatch) struct Bounds {
    /// How many deliveries are taken at one time.
    pub take: usize,
    /// How many of them are read from the database at one time.
    pub load: usize,
    /// How long a lease may wait to be sent before it goes to others, in milliseconds. None: as long as its stream stands.
    pub unsent_ms: Option<u64>,
}

/// A delivery that is written.
pub(in crate::dispatch) struct Outgoing<D> {
    /// What names its lease.
    pub key: LeaseKey,
    /// The delivery.
    pub delivery: D,
    /// How long it is in its message, in bytes.
    pub message_bytes: usize,
    /// How long its body is.
    pub body_bytes: u64,
    /// How long the holder has for it, in milliseconds. None: as long as it takes.
    pub within_ms: Option<u64>,
}

/// A stream that stands. Dropped, it gives back what was not sent; what was sent is lost unless the holder comes back.
pub(in crate::dispatch) struct Holder<P: Protocol> {
    pub(super) dispatch: Dispatch,
    pub(super) id: HolderId,
    pub(super) key_id: KeyId,
    pub(super) protocol: P,
    held: Leaf<Held>,
    /// There may be something to take, or credit for it.
    waker: Arc<Notify>,
    number: u64,
    to_holder: mpsc::Sender<Result<P::ToHolder, Status>>,
}

impl<P: Protocol> Holder<P> {
    /// A stream that was opened.
    pub(super) fn new(
        dispatch: &Dispatch,
        (id, key_id): (HolderId, KeyId),
        opened: &Opened,
        held: Held,
        protocol: P,
        to_holder: mpsc::Sender<Result<P::ToHolder, Status>>,
    ) -> Self {
        Self {
            dispatch: dispatch.clone(),
            id,
            key_id,
            protocol,
            held: Leaf::new(held),
            waker: Arc::new(Notify::new()),
            number: opened.number,
            to_holder,
        }
    }

    pub(super) fn held(&self) -> Locked<'_, Held> {
        self.held.lock()
    }

    /// Has the stream look whether there is something to take.
    pub(super) fn wake(&self) {
        self.waker.notify_one();
    }

    /// Tells the holder something.
    pub(super) async fn send(&self, message: P::ToHolder) -> StreamEnd {
        let gone = |_| Status::cancelled("the other side is gone");
        self.to_holder.send(Ok(message)).await.map_err(gone)
    }

    /// Serves the stream until it ends: `attend` is what the kind of holders adds, with what the holder says.
    pub(super) async fn stand(
        &self,
        opened: &mut Opened,
        acknowledgements: watch::Receiver<u64>,
        attend: impl Future<Output = StreamEnd>,
        shutdown: &CancellationToken,
    ) -> StreamEnd {
        let schedule = &self.dispatch.0.schedule;
        self.protocol.join(schedule, self.id, &self.waker);
        tokio::select! {
            ended = attend => ended,
            ended = self.hand() => ended,
            ended = self.acknowledge(acknowledgements) => ended,
            ended = self.revoke(&mut opened.revoked) => ended,
            end = stream::key_end(&self.dispatch, self.key_id) => Err(end),
            () = opened.replaced.cancelled() => Err(stream::replaced()),
            () = shutdown.cancelled() => Err(stream::shutting_down()),
        }
    }

    /// Hands out while there is credit and something to take.
    async fn hand(&self) -> StreamEnd {
        loop {
            let grants = self.take();
            if grants.is_empty() {
                self.waker.notified().await;
            }
            for grants in grants.chunks(P::BOUNDS.load) {
                let outgoing = self.write(grants).await;
                self.send_all(outgoing).await?;
            }
        }
    }

    fn take(&self) -> Vec<Grant> {
        let (room, suspects) = {
            let held = self.held();
            (held.room().min(P::BOUNDS.take), held.suspects())
        };
        if room == 0 {
            return Vec::new();
        }
        let schedule = &self.dispatch.0.schedule;
        let grants = self.protocol.take(schedule, self.id, room, suspects);
        let until = P::BOUNDS
            .unsent_ms
            .map(|within_ms| schedule.uptime_ms() + within_ms);
        let mut held = self.held();
        for grant in &grants {
            held.take(grant, until);
        }
        grants
    }

    /// Reads the events of leases and writes their deliveries. What cannot be written goes back.
    async fn write(&self, grants: &[Grant]) -> Vec<Outgoing<P::Delivery>> {
        let dispatch = &self.dispatch;
        let missing = grants.iter().filter(|grant| grant.event.is_none());
        let missing = missing.map(|grant| grant.key.delivery_id.event());
        let events = match dispatch.0.payloads.load(missing.collect()).await {
            Ok(events) => events,
            Err(error) => {
                tracing::warn!(error = ?error, "could not read payloads; the leases go back");
                self.give_back(grants.iter().map(|grant| grant.key));
                tokio::time::sleep(LOAD_PAUSE).await;
                return Vec::new();
            }
        };
        let registry = dispatch.0.core.registry.snapshot();
        let mut outgoing = Vec::with_capacity(grants.len());
        for grant in grants {
            let held = grant.event.as_ref().map(|held| held.event());
            let event = held.or_else(|| events.get(&grant.key.delivery_id.event()));
            match (registry.endpoint(grant.endpoint_id), event) {
                (Some(live), Some(event)) => {
                    let written = self.protocol.write(dispatch, live, event, grant);
                    if written.is_none() {
                        // It was taken before its lane was known to be for others.
                        dispatch.configure(live);
                        self.give_back([grant.key]);
                    }
                    outgoing.extend(written);
                }
                (None, _) => self.close_lane(grant),
                (Some(_), None) => {
                    let delivery_id = grant.key.delivery_id;
                    tracing::error!(%delivery_id, "delivery {delivery_id} has lost its event; its lane stops");
                    self.close_lane(grant);
                }
            }
        }
        outgoing
    }

    /// Stops a lane whose endpoint is gone or cannot be signed for; its deliveries stay in the table.
    fn close_lane(&self, grant: &Grant) {
        let shard = grant.key.delivery_id.shard();
        self.dispatch.0.schedule.close(shard, grant.endpoint_id);
        self.give_back([grant.key]);
    }

    /// Sends deliveries in messages of a bounded size, as credit allows. Their time begins when they are sent.
    async fn send_all(&self, outgoing: Vec<Outgoing<P::Delivery>>) -> StreamEnd {
        let mut outgoing = outgoing.into_iter().peekable();
        while outgoing.peek().is_some() {
            let (mut deliveries, mut bytes) = (Vec::new(), 0);
            let now = self.dispatch.0.schedule.uptime_ms();
            while let Some(next) = outgoing.peek() {
                let fits = deliveries.is_empty() || bytes + next.message_bytes <= BYTES_PER_MESSAGE;
                let sent = if fits {
                    self.begin(next, now)
                } else {
                    Sent::NoCredit
                };
                if sent == Sent::NoCredit {
                    break;
                }
                let next = outgoing.next().filter(|_| sent == Sent::Yes);
                bytes += next.as_ref().map_or(0, |next| next.message_bytes);
                deliveries.extend(next.map(|next| next.delivery));
            }
            if !deliveries.is_empty() {
                self.send(P::deliveries(deliveries)).await?;
            } else if outgoing.peek().is_some() {
                self.waker.notified().await;
            }
        }
        Ok(())
    }

    /// Begins the time of a lease, unless it was lost or ended while it waited here.
    fn begin(&self, next: &Outgoing<P::Delivery>, now: u64) -> Sent {
        let is_current = self.dispatch.0.schedule.is_current(next.key);
        let lease_id = next.key.lease_id;
        let mut held = self.held();
        if is_current {
            return held.send(lease_id, next.body_bytes, next.within_ms, now);
        }
        held.give_up(lease_id);
        Sent::Gone
    }

    /// Gives back what was taken and cannot be sent.
    fn give_back(&self, keys: impl IntoIterator<Item = LeaseKey>) {
        let keys = keys.into_iter().inspect(|key| {
            self.held().give_up(key.lease_id);
        });
        self.release(keys.collect());
    }

    /// Lets others have what was not begun.
    pub(super) fn release(&self, keys: Vec<LeaseKey>) {
        let schedule = &self.dispatch.0.schedule;
        schedule.release(self.id, keys.into_iter());
    }

    /// Passes reports on, in a task of its own, so that the end of the stream cannot cut one in half.
    pub(super) async fn report(
        &self,
        reports: Vec<Report>,
        number: u64,
        acknowledged: &watch::Sender<u64>,
    ) -> StreamEnd {
        let (dispatch, id) = (self.dispatch.clone(), self.id);
        let acknowledged = acknowledged.clone();
        let reported =
            tokio::spawn(async move { dispatch.report(id, reports, number, &acknowledged).await });
        let reported = reported.await;
        Ok(reported.map_err(|panic| Error::Internal(panic.into()))??)
    }

    /// Tells the holder what is durable.
    async fn acknowledge(&self, mut acknowledgements: watch::Receiver<u64>) -> StreamEnd {
        while acknowledgements.changed().await.is_ok() {
            let through = *acknowledgements.borrow_and_update();
            for message in self.protocol.committed(through) {
                self.send(message).await?;
            }
        }
        // The sender goes with the half that listens, which says how the stream ended.
        std::future::pending().await
    }

    /// Tells the holder what it need not begin.
    async fn revoke(&self, revoked: &mut mpsc::UnboundedReceiver<u64>) -> StreamEnd {
        let mut lease_ids = Vec::new();
        while revoked.recv_many(&mut lease_ids, REVOKED_PER_MESSAGE).await > 0 {
            if let Some(message) = P::revoke(self, std::mem::take(&mut lease_ids)) {
                self.send(message).await?;
            }
        }
        // The sender goes when the holder opens another stream.
        std::future::pending().await
    }
}

impl<P: Protocol> Drop for Holder<P> {
    fn drop(&mut self) {
        let schedule = &self.dispatch.0.schedule;
        self.protocol.leave(schedule, self.id);
        let unsent = self.held().unsent();
        self.release(unsent);
        if self.dispatch.0.holders.close(self.id, self.number) {
            // Not waited for at a shutdown: the leases end with this process.
            tokio::spawn(lost::give_grace(
                self.dispatch.clone(),
                self.id,
                self.number,
            ));
        }
        self.dispatch.count_holders();
    }
}
