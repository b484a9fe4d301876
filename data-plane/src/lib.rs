//! The data plane: a node that performs leased HTTP requests and reports what became of them, and forwards what providers
//! post.
//!
//! A node has no database, no disk and no key but its own: the control plane sends complete, signed requests and owns
//! every decision. Kill a node at any instruction and no accepted event is lost; at worst an endpoint sees one again.
//!
//! The node promises to begin a lease at most once, never to connect to an address that the guard denies, and to keep
//! every outcome until the control plane has committed it, as long as its process lives.

mod clock;
mod config;
mod deliver;
mod error;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod inbound;
mod link;
mod lock;
mod metrics;
mod node_id;

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use posthorn_guard::{
    AllowList, Policy, Resolver,
    open_files::{self, Room},
};
use posthorn_telemetry::{Followed, Operations, Readiness, Registry, register_build};
use rand::{SeedableRng as _, rngs::SmallRng};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::{
    task::{JoinHandle, JoinSet},
    time::interval,
};
use tokio_util::sync::CancellationToken;
use tonic::metadata::{Ascii, MetadataValue};
use tracing::{info, warn};

use self::{
    deliver::{Dialer, Pool, Sender},
    inbound::{
        edge::Edge,
        forward::{Forward, ForwardParts},
    },
    link::{Authorization, Link, LinkParts, PROTOCOLS},
    metrics::Metrics,
};

pub use config::Config;
pub use error::Error;
pub use inbound::edge::{
    EdgeConfig, EdgeConfigError, EdgeHost, EdgeTlsError, NoHost, NoRange, TrustedProxy,
};

/// How often it is looked whether the file of the key has changed.
const KEY_RELOAD: Duration = Duration::from_secs(10);

/// How often connections are looked at that nobody used for a while.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Files besides connections: logs, listeners, the link, lookups.
const OTHER_FILES: u64 = 256;

/// A node that is bound and does not run yet.
pub struct DataPlane {
    operations: Operations,
    registry: Registry,
    readiness: Readiness,
    sender: Arc<Sender>,
    link: Link,
    edge: Edge,
    forward: Forward,
    authorization: Arc<Authorization>,
    drain_timeout: Duration,
}

impl DataPlane {
    /// Reads what the settings name and binds the listeners: for providers, and for metrics and health. Does not connect
    /// yet.
    pub async fn bind(config: Config) -> Result<Self, Error> {
        Self::bind_speaking(config, PROTOCOLS).await
    }

    /// The same for a node that speaks these versions of the protocol.
    pub async fn bind_speaking(
        config: Config,
        protocols: RangeInclusive<u32>,
    ) -> Result<Self, Error> {
        make_room(config.capacity, config.edge.connections);
        let authorization = Arc::new(followed_key(&config)?);
        let ca_pem = config.control_plane_ca.as_deref().map(read).transpose()?;
        let endpoint = link::endpoint(&config.control_plane, ca_pem)?;
        let listen = config.metrics_listen;
        let operations = Operations::bind(listen).await;
        let operations = operations.map_err(|error| Error::Listen(listen, error))?;

        let mut registry = Registry::default();
        register_build(&mut registry, "data-plane", env!("CARGO_PKG_VERSION"));
        let metrics = Arc::new(Metrics::new(&mut registry));
        let readiness = Readiness::new();
        let mut rng: SmallRng = rand::make_rng();
        let forward = Forward::new(ForwardParts {
            endpoint: endpoint.clone(),
            authorization: authorization.clone(),
            readiness: readiness.clone(),
            rng: SmallRng::from_rng(&mut rng),
        });
        let edge = Edge::bind(
            config.edge.clone(),
            forward.forwarder(),
            SmallRng::from_rng(&mut rng),
            &mut registry,
        )
        .await?;
        let own = own_sockets([operations.addr(), edge.addr()], endpoint.uri());
        let sender = Arc::new(sender(&config, own, metrics.clone())?);
        let node_id = node_id::node_id(clock::unix_ms(), &mut rng);
        info!(node_id, "this is node {node_id}");
        let link = Link::new(LinkParts {
            endpoint,
            authorization: authorization.clone(),
            node_id,
            name: config.name.unwrap_or_else(host_name),
            capacity: config.capacity,
            protocols,
            sender: sender.clone(),
            metrics,
            readiness: readiness.clone(),
            rng,
        });
        Ok(Self {
            operations,
            registry,
            readiness,
            sender,
            link,
            edge,
            forward,
            authorization,
            drain_timeout: config.drain_timeout,
        })
    }

    /// Where metrics and health are served, with the real port.
    pub fn metrics_addr(&self) -> SocketAddr {
        self.operations.addr()
    }

    /// Where requests of providers are taken, with the real port.
    pub fn edge_addr(&self) -> SocketAddr {
        self.edge.addr()
    }

    /// Runs until `shutdown` is cancelled, then drains: takes no more leases and no more requests, finishes what runs
    /// and waits until the outcomes are committed, but no longer than the drain timeout.
    pub async fn serve(self, shutdown: CancellationToken) -> Result<(), Error> {
        let stopped = CancellationToken::new();
        let registry = Arc::new(self.registry);
        let readiness = self.readiness;
        let served = self
            .operations
            .serve(registry, readiness.clone(), stopped.clone());
        let operations = tokio::spawn(served);
        let sweeper = Sweeper::start(self.sender);
        let mut followers = JoinSet::new();
        followers.spawn(async move { self.authorization.follow(KEY_RELOAD).await });
        let answered = CancellationToken::new();
        let forward = tokio::spawn(self.forward.run(answered.clone()));
        let edge = async {
            let edge = self.edge;
            edge.serve(shutdown.clone(), &readiness, self.drain_timeout)
                .await;
            answered.cancel();
        };
        tokio::join!(self.link.run(shutdown.clone(), self.drain_timeout), edge);
        drop((sweeper, followers));
        stopped.cancel();
        // They can only have panicked, and there is nothing left to serve.
        let _ended = tokio::join!(operations, forward);
        Ok(())
    }
}

/// Sweeps the pool until it is dropped.
struct Sweeper(JoinHandle<()>);

impl Sweeper {
    fn start(sender: Arc<Sender>) -> Self {
        Self(tokio::spawn(async move {
            let mut ticks = interval(SWEEP_INTERVAL);
            loop {
                let now = ticks.tick().await;
                sender.sweep(now);
            }
        }))
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn sender(config: &Config, own: Vec<SocketAddr>, metrics: Arc<Metrics>) -> Result<Sender, Error> {
    let allow: AllowList = config.allow_target.iter().cloned().collect();
    let resolver = Resolver::from_system(Arc::new(Policy::new(allow, own)))?;
    let tls = posthorn_outbound::client_config(config.extra_ca.as_deref())?;
    let idle_max = usize::try_from(config.capacity).unwrap_or(usize::MAX);
    Ok(Sender::new(
        Pool::new(idle_max),
        Dialer::new(resolver, tls),
        metrics,
    ))
}

/// What must not be delivered to whatever the allow list says: the node itself, and the control plane where its URL has
/// an address.
fn own_sockets(own: [SocketAddr; 2], control_plane: &http::Uri) -> Vec<SocketAddr> {
    let host = control_plane.host().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    let port = control_plane.port_u16();
    let port = port.unwrap_or(if control_plane.scheme_str() == Some("https") {
        443
    } else {
        80
    });
    let control_plane = address.map(|address| SocketAddr::new(address, port));
    own.into_iter().chain(control_plane).collect()
}

/// The key of the settings; one in a file is read again when that changes.
fn followed_key(config: &Config) -> Result<Authorization, Error> {
    let (key, file) = (config.node_key.clone(), config.node_key_file.clone());
    let files = file.iter().filter(|_| key.is_none()).cloned().collect();
    Followed::new("the node's key", files, move || {
        authorization(key.as_ref(), file.as_ref())
    })
}

fn authorization(
    key: Option<&SecretString>,
    file: Option<&PathBuf>,
) -> Result<MetadataValue<Ascii>, Error> {
    let key = match (key, file) {
        (Some(key), _) => key.clone(),
        (None, Some(file)) => {
            let text = fs::read_to_string(file);
            SecretString::from(text.map_err(|error| Error::Read(file.clone(), error))?)
        }
        (None, None) => return Err(Error::NoKey),
    };
    let header = SecretString::from(format!("Bearer {}", key.expose_secret().trim()));
    let mut value: MetadataValue<Ascii> = header.expose_secret().parse().map_err(|_| Error::Key)?;
    value.set_sensitive(true);
    Ok(value)
}

fn read(file: &Path) -> Result<Vec<u8>, Error> {
    fs::read(file).map_err(|error| Error::Read(file.to_owned(), error))
}

/// The host's name as the kernel knows it, or nothing.
fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().chars().take(100).collect()
}

/// Makes room for sockets: every lease may have a connection while as many are idle, and the edge has its own. Says so
/// when there is too little.
fn make_room(capacity: u32, edge_connections: usize) {
    match open_files::make_room(u64::from(capacity) * 2 + edge_connections as u64 + OTHER_FILES) {
        Room::Enough => {}
        Room::Short { limit, wanted } => warn!(
            limit,
            wanted, "the limit of open files may be too low for the capacity"
        ),
        Room::Unknown(error) => warn!(%error, "the limit of open files cannot be raised"),
    }
}
