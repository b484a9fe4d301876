//! Accepts connections: so many in all, so many of one address, each with its TLS where that is asked for.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::{
    gate::Gate,
    http1, http2,
    tls::{Tls, acceptor},
};
use crate::lock::Leaf;

/// How long accepting rests after it failed, such as for want of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// How many connections there may be beyond the places, while those that make room end.
const SURPLUS_MAX: usize = 64;

/// A bound listener and what its connections have in common.
pub(super) struct Listener {
    pub(super) listener: TcpListener,
    pub(super) gate: Arc<Gate>,
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) tls_timeout: Duration,
    pub(super) addresses: Arc<Addresses>,
}

impl Listener {
    /// Accepts until `stop` is cancelled, then waits until every connection has ended. When this is dropped, those that
    /// are left end at once.
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut connections = JoinSet::new();
        loop {
            let crowd = &self.gate.crowd;
            crowd.counts(connections.len());
            let has_room = connections.len() < SURPLUS_MAX.saturating_add(crowd.places())
                && crowd.has_room(connections.len());
            tokio::select! {
                () = stop.cancelled() => break,
                Some(ended) = connections.join_next() => self.ended(ended),
                () = crowd.became_idle(), if !has_room => {}
                accepted = self.listener.accept(), if has_room => {
                    match accepted {
                        Ok((stream, peer)) => {
                            crowd.make_room(connections.len());
                            self.begin(stream, peer, &mut connections, &stop);
                        }
                        Err(cause) => {
                            warn!(%cause, "cannot accept connections at the edge");
                            sleep(PAUSE).await;
                        }
                    }
                }
            }
        }
        // Nobody is to wait in the queue of a listener that accepts no more.
        drop(self.listener);
        while let Some(ended) = connections.join_next().await {
            log_panic(ended);
            self.gate.metrics.connections.dec();
        }
    }

    fn begin(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        connections: &mut JoinSet<()>,
        stop: &CancellationToken,
    ) {
        let Some(place) = Addresses::place(&self.addresses, peer.ip()) else {
            self.gate.metrics.over_address.inc();
            return;
        };
        // Without it, small answers wait for the peer; a connection that refuses it is about to fail anyway.
        let _about_to_fail = stream.set_nodelay(true);
        self.gate.metrics.connections.inc();
        let (gate, stop) = (self.gate.clone(), stop.child_token());
        match self.tls.clone() {
            None => connections.spawn(async move {
                http1::serve(stream, peer.ip(), gate, stop).await;
                drop(place);
            }),
            Some(tls) => {
                let within = self.tls_timeout;
                connections.spawn(async move {
                    serve_tls(stream, peer.ip(), gate, stop, &tls, within).await;
                    drop(place);
                })
            }
        };
    }

    fn ended(&self, ended: Result<(), tokio::task::JoinError>) {
        log_panic(ended);
        self.gate.metrics.connections.dec();
    }
}

async fn serve_tls(
    stream: TcpStream,
    peer: IpAddr,
    gate: Arc<Gate>,
    stop: CancellationToken,
    tls: &Tls,
    within: Duration,
) {
    let Ok(Ok(stream)) = timeout(within, acceptor(tls).accept(stream)).await else {
        gate.metrics.no_tls.inc();
        return;
    };
    match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => http2::serve(stream, peer, gate, stop).await,
        _ => http1::serve(stream, peer, gate, stop).await,
    }
}

fn log_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(cause) = ended {
        error!(%cause, "a connection at the edge broke down");
    }
}

/// How many connections each address has.
#[derive(Debug)]
pub(super) struct Addresses {
    each_max: usize,
    taken: Leaf<HashMap<IpAddr, usize>>,
}

/// A connection's place. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct AddressPlace {
    addresses: Arc<Addresses>,
    address: IpAddr,
}

impl Addresses {
    /// Each address may have so many.
    pub(super) fn new(each_max: usize) -> Self {
        Self {
            each_max,
            taken: Leaf::default(),
        }
    }

    /// A place, unless the address has as many as it may. The network of an IPv6 address counts, as one client has all
    /// of it.
    fn place(addresses: &Arc<Self>, address: IpAddr) -> Option<AddressPlace> {
        let address = network(address);
        let mut taken = addresses.taken.lock();
        let count = taken.entry(address).or_default();
        if *count >= addresses.each_max {
            return None;
        }
        *count += 1;
        Some(AddressPlace {
            addresses: addresses.clone(),
            address,
        })
    }
}

impl Drop for AddressPlace {
    fn drop(&mut self) {
        let mut taken = self.addresses.taken.lock();
        match taken.get_mut(&self.address) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                taken.remove(&self.address);
            }
        }
    }
}

/// An IPv4 address itself; the first 64 bits of an IPv6 one.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_connections_and_gets_their_places_back() {
        let addresses = Arc::new(Addresses::new(2));
        let place = |text: &str| Addresses::place(&addresses, text.parse().expect("an address"));
        let first = place("192.0.2.1");
        let second = place("::ffff:192.0.2.1");
        assert!(first.is_some() && second.is_some());
        assert!(place("192.0.2.1").is_none());
        assert!(place("192.0.2.2").is_some());
        drop(first);
        assert!(place("192.0.2.1").is_some());
        let networks = [place("2001:db8::1"), place("2001:db8::2")];
        assert!(networks.iter().all(Option::is_some));
        assert!(place("2001:db8:0:0:ffff::3").is_none());
        assert!(place("2001:db8:0:1::3").is_some());
        drop((second, networks));
        assert!(addresses.taken.lock().is_empty());
    }
}
