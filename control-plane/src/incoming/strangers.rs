//! Connections that have shown no key yet, and which of them goes for another. Every step costs the logarithm of how many
//! there are: a wave of connections must not make each of them dearer.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use super::peer::Peer;

/// From when on a stranger counts against its address: a burst of newcomers is no reason to lose any.
pub(super) const LINGERS: Duration = Duration::from_secs(1);

/// Every stranger there is, by network. Numbers rise with age.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    networks: HashMap<IpAddr, BTreeMap<u64, Stranger>>,
    by_weight: BTreeSet<(usize, IpAddr)>,
    count: usize,
}

#[derive(Debug)]
struct Stranger {
    peer: Arc<Peer>,
    since: Instant,
}

impl Strangers {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Whether this is one.
    pub(super) fn contains(&self, peer: &Peer) -> bool {
        let of_network = self.networks.get(&peer.network());
        of_network.is_some_and(|strangers| strangers.contains_key(&peer.number()))
    }

    /// Another came.
    pub(super) fn insert(&mut self, peer: Arc<Peer>, since: Instant) {
        let network = peer.network();
        let of_network = self.networks.entry(network).or_default();
        let weight = of_network.len();
        of_network.insert(peer.number(), Stranger { peer, since });
        self.by_weight.remove(&(weight, network));
        self.by_weight.insert((weight + 1, network));
        self.count += 1;
    }

    /// One is a stranger no more, if it was one.
    pub(super) fn remove(&mut self, peer: &Peer) {
        let network = peer.network();
        let Some(of_network) = self.networks.get_mut(&network) else {
            return;
        };
        let weight = of_network.len();
        if of_network.remove(&peer.number()).is_none() {
            return;
        }
        self.by_weight.remove(&(weight, network));
        if weight > 1 {
            self.by_weight.insert((weight - 1, network));
        } else {
            self.networks.remove(&network);
        }
        self.count -= 1;
    }

    /// Whether that many of a network, or more, have been here for a while.
    pub(super) fn linger(&self, network: IpAddr, count: usize, now: Instant) -> bool {
        let of_network = self.networks.get(&network);
        let last = of_network.and_then(|strangers| strangers.values().nth(count.saturating_sub(1)));
        last.is_some_and(|stranger| now.duration_since(stranger.since) > LINGERS)
    }

    /// The one that matters least of all: it is of the network that has the most.
    pub(super) fn least(&self) -> Option<Arc<Peer>> {
        let (_, network) = self.by_weight.last()?;
        self.least_of(*network)
    }

    /// The one that matters least of a network: the oldest without a call, or else the oldest.
    pub(super) fn least_of(&self, network: IpAddr) -> Option<Arc<Peer>> {
        let of_network = self.networks.get(&network)?;
        let is_idle = |stranger: &&Stranger| !stranger.peer.is_busy();
        let idle = of_network.values().find(is_idle);
        let least = idle.or_else(|| of_network.values().next())?;
        Some(least.peer.clone())
    }
}
