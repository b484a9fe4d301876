//! The other end of a connection, as calls see it: what it is known as, and what it has under way.

use std::{
    fmt,
    net::IpAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering},
    },
};

use posthorn_guard::flood::Flood;
use tokio_util::sync::CancellationToken;

use super::window;
use crate::{
    budget::{Budget, Name},
    config::Limits,
    error::Error,
    model::id::KeyId,
    rpc::Shares,
};

/// How many calls without a key a connection may have under way: those of the health service.
pub(crate) const OPEN_CALLS_MAX: usize = 4;
/// What a stranger may send in all, in bytes, besides TLS: its first call and nothing else.
pub(crate) const STRANGER_BYTES_MAX: u64 = window::CONNECTION_BYTES as u64 + 256 * 1_024;
/// What a known peer may send without any of its calls coming further, in bytes.
pub(crate) const FLOOD_BYTES_MAX: u64 = 2 * window::CONNECTION_BYTES as u64;

const OPEN_CALLS: Name = Name {
    reason: "open_calls",
    text: "a connection has as many calls without an API key as it may",
};
const CONNECTION_BYTES: Name = Name {
    reason: "bytes_per_connection",
    text: "the messages of this connection take as many bytes of memory as they may",
};

/// What a peer is known as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It has shown no key yet.
    Stranger,
    /// It has shown a key.
    Caller,
    /// It has shown a node's key.
    Node,
}

/// Who gives peers their places.
pub(super) trait Host: fmt::Debug + Send + Sync {
    /// The peer showed a key: it gets a place among those that are known.
    fn know(&self, peer: &Arc<Peer>, standing: Standing) -> Result<(), Error>;
}

/// The other end of a connection. Found in the extensions of every request.
#[derive(Debug)]
pub(crate) struct Peer {
    number: u64,
    network: IpAddr,
    host: Arc<dyn Host>,
    standing: AtomicU8,
    begun: AtomicU64,
    under_way: AtomicU32,
    quiet_looks: AtomicU32,
    flood: Arc<Flood>,
    open_calls: Budget,
    bytes: Budget,
    shares: OnceLock<(KeyId, Shares)>,
    away: CancellationToken,
}

/// A call of a connection that is under way.
#[derive(Debug)]
pub(crate) struct UnderWay(Arc<Peer>);

impl Peer {
    pub(super) fn new(number: u64, network: IpAddr, host: Arc<dyn Host>, limits: &Limits) -> Self {
        Self {
            number,
            network,
            host,
            standing: AtomicU8::new(Standing::Stranger as u8),
            begun: AtomicU64::new(0),
            under_way: AtomicU32::new(0),
            quiet_looks: AtomicU32::new(0),
            flood: Arc::new(Flood::new(STRANGER_BYTES_MAX)),
            open_calls: Budget::new(OPEN_CALLS_MAX, OPEN_CALLS),
            bytes: Budget::new(limits.bytes_per_connection, CONNECTION_BYTES),
            shares: OnceLock::new(),
            away: CancellationToken::new(),
        }
    }

    /// A call showed a valid key.
    pub(crate) fn know(self: &Arc<Self>, standing: Standing) -> Result<(), Error> {
        if self.standing() != Standing::Stranger {
            return Ok(());
        }
        self.host.know(self, standing)
    }

    /// A call began.
    pub(super) fn begin(self: &Arc<Self>) -> UnderWay {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.under_way.fetch_add(1, Ordering::Relaxed);
        self.progress();
        UnderWay(self.clone())
    }

    /// A call came further.
    pub(crate) fn progress(&self) {
        // What a stranger sends is never forgotten.
        if self.standing() != Standing::Stranger {
            self.flood.forget();
        }
    }

    /// The calls without a key.
    pub(crate) fn open_calls(&self) -> &Budget {
        &self.open_calls
    }

    /// The bytes of its messages.
    pub(crate) fn bytes(&self) -> &Budget {
        &self.bytes
    }

    /// What the key of a call has under way, remembered for the connection's first key.
    pub(crate) fn shares(&self, key: KeyId, find: impl Fn() -> Shares) -> Shares {
        let (first, shares) = self.shares.get_or_init(|| (key, find()));
        if *first == key {
            shares.clone()
        } else {
            find()
        }
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn network(&self) -> IpAddr {
        self.network
    }

    pub(super) fn flood(&self) -> &Arc<Flood> {
        &self.flood
    }

    pub(super) fn standing(&self) -> Standing {
        match self.standing.load(Ordering::Relaxed) {
            standing if standing == Standing::Caller as u8 => Standing::Caller,
            standing if standing == Standing::Node as u8 => Standing::Node,
            _ => Standing::Stranger,
        }
    }

    pub(super) fn stand(&self, standing: Standing) {
        self.standing.store(standing as u8, Ordering::Relaxed);
        self.flood.bear(FLOOD_BYTES_MAX);
    }

    /// How many calls it has made.
    pub(super) fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    /// Whether it has a call under way.
    pub(super) fn is_busy(&self) -> bool {
        self.under_way.load(Ordering::Relaxed) > 0
    }

    /// For how many looks in a row it has had no call.
    pub(super) fn quiet_looks(&self) -> u32 {
        self.quiet_looks.load(Ordering::Relaxed)
    }

    pub(super) fn looked(&self, quiet_looks: u32) {
        self.quiet_looks.store(quiet_looks, Ordering::Relaxed);
    }

    /// Ends the connection at once.
    pub(super) fn send_away(&self) {
        self.away.cancel();
    }

    /// Waits until the connection is to end at once.
    pub(super) async fn sent_away(&self) {
        self.away.cancelled().await;
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
        self.0.progress();
    }
}
