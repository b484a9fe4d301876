//! What one call may take of all the limits: its places, and bytes for its messages.

use std::{mem, sync::Arc, time::Duration};

use posthorn_telemetry::prometheus_client::metrics::gauge::Gauge;
use tokio::{
    runtime::Handle,
    sync::OwnedSemaphorePermit,
    time::{Instant, sleep, timeout},
};
use tonic::Status;

use super::{
    super::{
        Caller,
        access::{Class, Kind},
        message::items::{Schema, ShapeId},
    },
    shares::{AllShares, Shares},
};
use crate::{
    budget::{Budget, Name, Short},
    clock,
    config::Limits,
    error::Error,
    incoming::Peer,
    metrics::GrpcMetrics,
};

/// How long a call may wait for a place, or a plain call for memory.
pub(crate) const WAIT_WITHIN: Duration = Duration::from_secs(2);
/// As how many times the time that a list took its place rests, where its key asks for more lists than it has places.
pub(crate) const SCAN_REST_TIMES: u32 = 9;
/// The same for a change.
pub(crate) const CHANGE_REST_TIMES: u32 = 7;
/// No place rests for longer.
pub(crate) const REST_MAX: Duration = Duration::from_secs(1);
/// After how long a call that could have waited, but found as many waiting as may, hears of it.
const REFUSED_AFTER: Duration = Duration::from_millis(250);

const CALLS: Name = Name {
    reason: "calls",
    text: "the control plane has as many calls under way as it may",
};
const STREAMS: Name = Name {
    reason: "streams",
    text: "the control plane has as many streams as it may",
};
const WAITING: Name = Name {
    reason: "waiting",
    text: "as many calls wait as may",
};
const BYTES: Name = Name {
    reason: "bytes",
    text: "the messages of all callers take as many bytes of memory as they may",
};
const NODE_BYTES: Name = Name {
    reason: "node_bytes",
    text: "the messages of all nodes take as many bytes of memory as they may",
};

/// What all calls share.
#[derive(Debug)]
pub(crate) struct Room {
    shares: AllShares,
    calls: Budget,
    streams: Budget,
    waiting: Budget,
    bytes: Budget,
    node_bytes: Budget,
    bytes_shown: Gauge,
    node_bytes_shown: Gauge,
    message_timeout: Duration,
    schema: Schema,
    metrics: GrpcMetrics,
}

/// A call, as far as limits are concerned. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    room: Arc<Room>,
    peer: Arc<Peer>,
    shares: Option<Shares>,
    kind: &'static Kind,
}

/// The places that a call has taken. Dropping them gives them back: at once, or after a rest where the key has work for more
/// places than it has.
#[derive(Debug)]
pub(super) struct Places {
    /// The key's, the tenant's and that of all.
    taken: [Option<OwnedSemaphorePermit>; 3],
    /// As long as something of a share is taken it is the key's, even when its connections have gone.
    of: Option<Shares>,
    class: Class,
    /// When they were taken, if that matters.
    since: Option<Instant>,
}

/// What the messages of a call take in memory. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Charge {
    _taken: [Option<OwnedSemaphorePermit>; 4],
    _of: Option<Shares>,
    bytes: u32,
    shown: Gauge,
}

impl Room {
    /// Nothing is taken.
    pub(super) fn new(limits: &Limits, metrics: GrpcMetrics) -> Self {
        Self {
            shares: AllShares::new(limits.clone()),
            calls: Budget::new(limits.calls, CALLS),
            streams: Budget::new(limits.streams, STREAMS),
            waiting: Budget::new(limits.waiting, WAITING),
            bytes: Budget::new(limits.bytes, BYTES),
            node_bytes: Budget::new(limits.node_bytes, NODE_BYTES),
            bytes_shown: metrics.bytes("callers"),
            node_bytes_shown: metrics.bytes("nodes"),
            message_timeout: limits.message_timeout,
            schema: Schema::of_the_contract(),
            metrics,
        }
    }
}

impl Claim {
    /// The claim of a call of this kind. Without a caller it is open to everybody.
    pub(super) fn new(
        room: &Arc<Room>,
        peer: Arc<Peer>,
        caller: Option<&Caller>,
        kind: &'static Kind,
    ) -> Self {
        let shares = caller.map(|caller| peer.shares(caller.key_id(), || room.shares.of(caller)));
        Self {
            room: room.clone(),
            peer,
            shares,
            kind,
        }
    }

    /// Of what kind the call is.
    pub(crate) fn kind(&self) -> &'static Kind {
        self.kind
    }

    /// How long a message may take to arrive.
    pub(crate) fn message_timeout(&self) -> Duration {
        self.room.message_timeout
    }

    /// What the messages of the method are made of, if it is one of the contract.
    pub(super) fn shape(&self, path: &str) -> Option<ShapeId> {
        self.room.schema.input(path)
    }

    /// What is known of messages.
    pub(crate) fn schema(&self) -> &Schema {
        &self.room.schema
    }

    /// The call came further.
    pub(crate) fn progress(&self) {
        self.peer.progress();
    }

    /// Counts a refusal.
    pub(crate) fn refuse(&self, reason: &'static str) {
        self.room.metrics.refuse(reason);
    }

    /// Counts a refusal, and says it.
    pub(crate) fn refused(&self, short: Short) -> Status {
        self.refuse(short.reason());
        Error::from(short).into()
    }

    /// Takes the places that the call needs, if that can be now.
    pub(super) fn try_take(&self) -> Result<Places, Short> {
        let [key, tenant, all] = self.places();
        let take = |budget: Option<&Budget>| budget.map(|one| one.try_take(1)).transpose();
        let taken = [take(key)?, take(tenant)?, take(all)?];
        Ok(self.taken(taken))
    }

    /// Takes them when they come free, if the call is one that waits and not too many do.
    pub(super) async fn take(&self) -> Result<Places, Short> {
        let short = match self.try_take() {
            Ok(places) => return Ok(places),
            Err(short) => short,
        };
        if !self.waits() {
            return Err(short);
        }
        let Some(_waiting) = self.try_wait() else {
            sleep(REFUSED_AFTER).await;
            return Err(short);
        };
        timeout(WAIT_WITHIN, self.take_in_turn())
            .await
            .unwrap_or(Err(short))
    }

    /// Whether it is a call that may wait for a place.
    fn waits(&self) -> bool {
        matches!(self.kind.class, Class::Get | Class::Scan | Class::Change)
    }

    async fn take_in_turn(&self) -> Result<Places, Short> {
        let mut taken = [None, None, None];
        for (budget, taken) in self.places().into_iter().zip(&mut taken) {
            if let Some(budget) = budget {
                *taken = Some(budget.take(1).await?);
            }
        }
        Ok(self.taken(taken))
    }

    fn taken(&self, taken: [Option<OwnedSemaphorePermit>; 3]) -> Places {
        Places {
            taken,
            of: self.shares.clone(),
            class: self.kind.class,
            since: rest_times(self.kind.class).map(|_| clock::monotonic()),
        }
    }

    /// A place among those who wait.
    fn try_wait(&self) -> Option<[OwnedSemaphorePermit; 2]> {
        let key = self.shares.as_ref()?.key.waiting.try_take(1).ok()?;
        let all = self.room.waiting.try_take(1).ok()?;
        Some([key, all])
    }

    /// Pays for so many bytes, if that can be now.
    pub(crate) fn try_pay(&self, bytes: u32) -> Result<Charge, Short> {
        let [connection, key, tenant, all] = self.purse();
        let take = |budget: Option<&Budget>| budget.map(|one| one.try_take(bytes)).transpose();
        let taken = [take(connection)?, take(key)?, take(tenant)?, take(all)?];
        Ok(self.charge(taken, bytes))
    }

    /// Pays for so many bytes: a stream waits until it can, a plain call for a short while.
    pub(crate) async fn pay(&self, bytes: u32) -> Result<Charge, Short> {
        let short = match self.try_pay(bytes) {
            Ok(charge) => return Ok(charge),
            Err(short) => short,
        };
        if !self.kind.takes_one {
            return self.pay_in_turn(bytes).await;
        }
        let Some(_waiting) = self.try_wait() else {
            return Err(short);
        };
        timeout(WAIT_WITHIN, self.pay_in_turn(bytes))
            .await
            .unwrap_or(Err(short))
    }

    async fn pay_in_turn(&self, bytes: u32) -> Result<Charge, Short> {
        let mut taken = [None, None, None, None];
        for (budget, taken) in self.purse().into_iter().zip(&mut taken) {
            if let Some(budget) = budget {
                *taken = Some(budget.take(bytes).await?);
            }
        }
        Ok(self.charge(taken, bytes))
    }

    fn charge(&self, taken: [Option<OwnedSemaphorePermit>; 4], bytes: u32) -> Charge {
        let shown = match self.kind.class {
            Class::Node => &self.room.node_bytes_shown,
            _ => &self.room.bytes_shown,
        };
        shown.inc_by(bytes.into());
        Charge {
            _taken: taken,
            _of: self.shares.clone(),
            bytes,
            shown: shown.clone(),
        }
    }

    /// The limits that the call needs a place of: its key's, its tenant's, and that of all. Without a key it is the
    /// connection's.
    fn places(&self) -> [Option<&Budget>; 3] {
        let Some(shares) = &self.shares else {
            return [Some(self.peer.open_calls()), None, None];
        };
        let class = self.kind.class;
        let all = match class {
            Class::Get | Class::Scan | Class::Change | Class::Emit => Some(&self.room.calls),
            Class::EmitStream | Class::Consume | Class::Reflection => Some(&self.room.streams),
            Class::Open | Class::Vital | Class::Node => None,
        };
        let tenant = shares.tenant.as_ref();
        [
            shares.key.places(class),
            tenant.and_then(|share| share.places(class)),
            all,
        ]
    }

    /// The limits that its bytes are taken of: the connection's, its key's, its tenant's, and that of all.
    fn purse(&self) -> [Option<&Budget>; 4] {
        let class = self.kind.class;
        // What is open or vital brings at most 1 KiB, and few of them.
        let (Some(shares), false) = (&self.shares, matches!(class, Class::Open | Class::Vital))
        else {
            return [None; 4];
        };
        let is_emit = matches!(class, Class::Emit | Class::EmitStream);
        let tenant = shares.tenant.as_ref().filter(|_| is_emit);
        let all = match class {
            Class::Node => &self.room.node_bytes,
            _ => &self.room.bytes,
        };
        [
            Some(self.peer.bytes()),
            Some(&shares.key.bytes),
            tenant.map(|tenant| &tenant.bytes),
            Some(all),
        ]
    }
}

impl Places {
    /// How long the key's place rests, and the tenant's: nothing, unless the key has no other place left. Who keeps the
    /// database busy all the time is to leave others some of it.
    fn rest(&self) -> Option<Duration> {
        let (since, times) = (self.since?, rest_times(self.class)?);
        let key = self.of.as_ref()?.key.places(self.class)?;
        let rest = || clock::monotonic().saturating_duration_since(since) * times;
        key.is_spent().then(|| rest().min(REST_MAX))
    }
}

/// As how many times its use a place of this class rests. None: it does not.
fn rest_times(class: Class) -> Option<u32> {
    match class {
        Class::Scan => Some(SCAN_REST_TIMES),
        Class::Change => Some(CHANGE_REST_TIMES),
        _ => None,
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        let Some(rest) = self.rest() else {
            return;
        };
        // Without a runtime there is nobody to wait for the place either.
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let ([key, tenant, _], of) = (mem::take(&mut self.taken), self.of.take());
        runtime.spawn(async move {
            sleep(rest).await;
            drop((key, tenant, of));
        });
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.shown.dec_by(self.bytes.into());
    }
}
