//! Who may be connected: a newcomer always, those who have shown an API key in places of their own, nodes before others.
//!
//! A connection is a stranger's until its first call came with a key. Strangers have a part of the places. When it is
//! full, the stranger goes that matters least: of the address that has the most of them, one without a call, the oldest.
//! So an honest newcomer gets in whatever others hold open. The other places are for peers that are known, and some of
//! them for nodes alone; a caller who finds none takes that of the caller who was longest without a call.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

use posthorn_telemetry::prometheus_client::metrics::gauge::Gauge;
use tokio::time::Instant;

use super::{
    peer::{Host, Peer, Standing},
    strangers::Strangers,
};
use crate::{
    config::Limits,
    error::Error,
    lock::{Leaf, Locked},
    metrics::GrpcMetrics,
};

/// How often it is logged that strangers go to make room.
const WARN_EVERY: Duration = Duration::from_mins(1);

/// Every connection there is.
#[derive(Debug)]
pub(super) struct Places {
    limits: Limits,
    metrics: GrpcMetrics,
    strangers: Gauge,
    callers: Gauge,
    nodes: Gauge,
    held: Leaf<Connections>,
}

/// A connection's place. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct Place {
    peer: Arc<Peer>,
    places: Arc<Places>,
}

/// Who holds what. Numbers rise with age.
#[derive(Debug, Default)]
struct Connections {
    next: u64,
    strangers: Strangers,
    callers: BTreeMap<u64, Arc<Peer>>,
    nodes: usize,
    warned_at: Option<Instant>,
}

impl Places {
    /// Nobody is connected yet.
    pub(super) fn new(limits: Limits, metrics: GrpcMetrics) -> Arc<Self> {
        Arc::new(Self {
            strangers: metrics.connections("stranger"),
            callers: metrics.connections("caller"),
            nodes: metrics.connections("node"),
            limits,
            metrics,
            held: Leaf::default(),
        })
    }

    /// A place for a newcomer, a stranger's who goes if there is no other.
    pub(super) fn take(self: &Arc<Self>, address: IpAddr, now: Instant) -> Place {
        let network = network(address);
        let mut held = self.lock();
        if let Some((stranger, reason)) = held.in_the_way(network, &self.limits, now) {
            self.send_away(&mut held, &stranger, reason, now);
        }
        let number = held.next;
        held.next += 1;
        let peer = Arc::new(Peer::new(number, network, self.clone(), &self.limits));
        held.strangers.insert(peer.clone(), now);
        self.show(&held);
        Place {
            peer,
            places: self.clone(),
        }
    }

    /// Sends a stranger away, if there is one: for when files run out.
    pub(super) fn make_room(&self, now: Instant) {
        let mut held = self.lock();
        if let Some(stranger) = held.strangers.least() {
            self.send_away(&mut held, &stranger, "files", now);
        }
    }

    fn send_away(
        &self,
        held: &mut Connections,
        stranger: &Peer,
        reason: &'static str,
        now: Instant,
    ) {
        held.strangers.remove(stranger);
        stranger.send_away();
        self.metrics.refuse(reason);
        let is_due = |at: Instant| now.duration_since(at) >= WARN_EVERY;
        if held.warned_at.is_none_or(is_due) {
            held.warned_at = Some(now);
            tracing::warn!(
                reason,
                strangers = held.strangers.len(),
                "connections without an API key are many: the oldest go ({reason})"
            );
        }
    }

    fn leave(&self, peer: &Peer) {
        let mut held = self.lock();
        match peer.standing() {
            Standing::Stranger => {
                held.strangers.remove(peer);
            }
            Standing::Caller => {
                held.callers.remove(&peer.number());
            }
            Standing::Node => held.nodes = held.nodes.saturating_sub(1),
        }
        self.show(&held);
    }

    fn show(&self, held: &Connections) {
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.strangers.set(gauge(held.strangers.len()));
        self.callers.set(gauge(held.callers.len()));
        self.nodes.set(gauge(held.nodes));
    }

    fn lock(&self) -> Locked<'_, Connections> {
        self.held.lock()
    }
}

impl Host for Places {
    fn know(&self, peer: &Arc<Peer>, standing: Standing) -> Result<(), Error> {
        let mut held = self.lock();
        if !held.strangers.contains(peer) {
            // Another call of the connection came first, or it has been sent away.
            return Ok(());
        }
        let known = held.callers.len() + held.nodes;
        let callers_max = self.limits.known_max() - self.limits.node_connections;
        let is_full = match standing {
            Standing::Node => known >= self.limits.known_max(),
            _ => held.callers.len() >= callers_max || known >= self.limits.known_max(),
        };
        if is_full && !held.send_idle_caller_away() {
            self.metrics.refuse("connections");
            let max = self.limits.known_max();
            return Err(Error::Exhausted(format!(
                "the control plane has as many connections as it may (--grpc-connections, {max} of them with an API key): \
                 close some, or repeat the call later"
            )));
        }
        held.strangers.remove(peer);
        match standing {
            Standing::Node => held.nodes += 1,
            _ => {
                held.callers.insert(peer.number(), peer.clone());
            }
        }
        peer.stand(standing);
        self.show(&held);
        Ok(())
    }
}

impl Connections {
    /// The stranger that must go before another of this network gets in, and the limit that says so.
    fn in_the_way(
        &self,
        network: IpAddr,
        limits: &Limits,
        now: Instant,
    ) -> Option<(Arc<Peer>, &'static str)> {
        let strangers = &self.strangers;
        if strangers.len() >= limits.strangers {
            return Some((strangers.least()?, "strangers"));
        }
        if strangers.linger(network, limits.strangers_per_address, now) {
            return Some((strangers.least_of(network)?, "strangers_per_address"));
        }
        None
    }

    /// Sends that caller away who was longest without a call. False: everybody has one.
    fn send_idle_caller_away(&mut self) -> bool {
        let idle = self.callers.iter().filter(|(_, peer)| !peer.is_busy());
        let longest = idle.max_by_key(|(_, peer)| peer.quiet_looks());
        let Some(number) = longest.map(|(number, _)| *number) else {
            return false;
        };
        if let Some(peer) = self.callers.remove(&number) {
            peer.send_away();
        }
        true
    }
}

impl Place {
    /// Whose place it is.
    pub(super) fn peer(&self) -> &Arc<Peer> {
        &self.peer
    }

    /// Counts that the connection was ended.
    pub(super) fn refuse(&self, reason: &'static str) {
        self.places.metrics.refuse(reason);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.leave(&self.peer);
    }
}

/// An IPv4 address itself; the first 64 bits of an IPv6 one, as one client has all of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests;
