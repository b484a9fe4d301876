//! The installation's own sockets: listeners of both planes, and the database.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use posthorn_locks::Leaf;

use crate::{address, this_host};

/// How many sockets of another process are kept, and told to one.
const TOLD_MAX: usize = 256;

/// Those of this process, and those that others told of theirs.
#[derive(Debug, Default)]
pub(crate) struct OwnSockets {
    here: Vec<SocketAddr>,
    told: Leaf<Told>,
}

#[derive(Debug, Default)]
struct Told {
    next: u64,
    sockets: BTreeMap<u64, Vec<SocketAddr>>,
}

/// What another process told of its sockets, until dropped.
#[derive(Debug)]
pub struct Learned {
    own: Arc<OwnSockets>,
    number: u64,
}

impl OwnSockets {
    pub(crate) fn new(here: impl IntoIterator<Item = SocketAddr>) -> Self {
        Self {
            here: here.into_iter().map(unwrapped).collect(),
            told: Leaf::default(),
        }
    }

    /// Whether an address is one of them, however it is written.
    pub(crate) fn hold(&self, address: SocketAddr) -> bool {
        let address = unwrapped(address);
        let is_address = |own: &SocketAddr| is_same(*own, address);
        self.here.iter().any(is_address)
            || self.told.lock().sockets.values().flatten().any(is_address)
    }

    /// Where others reach those of this process.
    pub(crate) fn to_tell(&self) -> Vec<SocketAddr> {
        let mut sockets: Vec<_> = self
            .here
            .iter()
            .flat_map(|own| this_host::reached_at(*own))
            .collect();
        sockets.truncate(TOLD_MAX);
        sockets
    }

    pub(crate) fn learn(
        self: &Arc<Self>,
        sockets: impl IntoIterator<Item = SocketAddr>,
    ) -> Learned {
        let sockets = sockets.into_iter().take(TOLD_MAX).map(unwrapped).collect();
        let mut told = self.told.lock();
        let number = told.next;
        told.next += 1;
        told.sockets.insert(number, sockets);
        Learned {
            own: Arc::clone(self),
            number,
        }
    }
}

impl Drop for Learned {
    fn drop(&mut self) {
        self.own.told.lock().sockets.remove(&self.number);
    }
}

fn is_same(own: SocketAddr, address: SocketAddr) -> bool {
    let is_this_host = |ip: IpAddr| ip.is_unspecified() || ip.is_loopback();
    own.port() == address.port()
        && (own.ip() == address.ip()
            || is_this_host(own.ip()) && is_this_host(address.ip())
            || own.ip().is_unspecified() && this_host::has(address.ip()))
}

/// Without the IPv6 around an IPv4 address.
fn unwrapped(socket: SocketAddr) -> SocketAddr {
    SocketAddr::new(address::unwrapped(socket.ip()), socket.port())
}
