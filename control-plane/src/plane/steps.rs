//! The steps of a start, each of which can end it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use posthorn_guard::{
    Policy, Resolver,
    open_files::{self, Room},
};
use posthorn_telemetry::Operations;
use rand::CryptoRng;
use tokio::net::TcpListener;

use super::error::StartError;
use crate::{
    bootstrap,
    clock::Clock,
    config::{Config, Limits, Transport},
    entropy::Entropy,
    incoming::{self, Certificate},
    server::ServeError,
    store::{Ownership, Store},
    vault::{KeySource, KeySourceError, Vault},
};

/// How long a start waits for another control plane to let go of the database.
const OWNER_WITHIN: Duration = Duration::from_secs(30);
/// How long a start waits before it asks for ownership again.
const OWNER_PAUSE: Duration = Duration::from_millis(200);
/// Files besides connections of gRPC: the database's, logs, listeners, requests of our own.
const OTHER_FILES: u64 = 512;

/// The database, opened and owned, with what seals its secrets.
pub(super) struct Started {
    pub store: Store,
    pub keys: KeySource,
    pub vault: Arc<Vault>,
    pub ownership: Ownership,
    /// Differs from that of every earlier process.
    pub epoch: u32,
}

impl Started {
    /// Opens the database, waits until nobody else owns it, and prepares it.
    pub(super) async fn open(
        config: &Config,
        clock: &Clock,
        entropy: &Entropy,
    ) -> Result<Self, StartError> {
        bootstrap::make_data_dir(config).map_err(StartError::DataDir)?;
        let store = Store::open(config.database_url().expose()).await?;
        let (keys, vault) = master_keys(config, &store, &mut entropy.clone()).await?;
        check_durability(&store, config.allow_unsafe_durability).await?;
        let ownership = own(&store).await?;
        let epoch = store.next_epoch().await?;
        store.partition_ensure(clock.now_ms()).await?;
        Ok(Self {
            store,
            keys,
            vault,
            ownership,
            epoch,
        })
    }
}

/// The listeners, bound.
pub(super) struct Doors {
    pub listener: TcpListener,
    pub addr: SocketAddr,
    pub operations: Operations,
}

impl Doors {
    pub(super) async fn bind(config: &Config) -> Result<Self, StartError> {
        let (grpc, metrics) = (config.grpc_listen, config.metrics_listen);
        let bound = incoming::listen(grpc);
        let (listener, addr) = bound.map_err(|error| StartError::Listen(grpc, error))?;
        let bound = Operations::bind(metrics).await;
        let operations = bound.map_err(|error| StartError::Listen(metrics, error))?;
        Ok(Self {
            listener,
            addr,
            operations,
        })
    }

    /// A resolver whose guard lets nobody call these doors, nor the database's.
    /// The database's is looked up once, where it is given by name.
    pub(super) async fn resolver(&self, config: &Config) -> Result<Resolver, StartError> {
        let resolver = |own: Vec<SocketAddr>| {
            let guard = Policy::new(config.allow_list(), own);
            Resolver::from_system(Arc::new(guard))
        };
        let mut own = vec![self.addr, self.operations.addr()];
        if let Some((host, port)) = config.database_url().host_and_port() {
            let database = match host.parse() {
                Ok(ip) => vec![SocketAddr::new(ip, port)],
                Err(_) => resolver(Vec::new())?.whereabouts(&host, port).await,
            };
            own.extend(database);
        }
        Ok(resolver(own)?)
    }
}

/// Reads the certificate of the gRPC server, if it has one. Before anything is served, so that a certificate that cannot
/// be used ends the start and nothing else.
pub(super) fn tls(
    transport: &Transport,
    addr: SocketAddr,
) -> Result<Option<Certificate>, StartError> {
    match transport {
        Transport::Tls { certificate, key } => {
            let certificate = incoming::certificate(certificate.clone(), key.clone());
            Ok(Some(certificate.map_err(ServeError::from)?))
        }
        Transport::Loopback => Ok(None),
        Transport::Insecure => {
            tracing::warn!(%addr, "gRPC on {addr} is in plaintext: API keys and payloads can be read on the way");
            Ok(None)
        }
    }
}

/// Reads the master keys, or makes one for a database that needs none yet.
async fn master_keys(
    config: &Config,
    store: &Store,
    rng: &mut (impl CryptoRng + Send),
) -> Result<(KeySource, Arc<Vault>), StartError> {
    let sealed = store.secret_sealed_under().await?;
    let needed = if config.allow_missing_master_key {
        &[]
    } else {
        sealed.as_slice()
    };
    let keys = bootstrap::key_source(config, needed, rng)?;
    let vault = Vault::new(keys.read()?);
    let opens = vault.check_opens(needed, || keys.place());
    opens.map_err(KeySourceError::from)?;
    Ok((keys, Arc::new(vault)))
}

/// Makes room for every connection of gRPC. Says so when there is too little.
pub(super) fn make_room(limits: &Limits) {
    match open_files::make_room(limits.connections as u64 + OTHER_FILES) {
        Room::Enough => {}
        Room::Short { limit, wanted } => tracing::warn!(
            limit,
            wanted,
            "the limit of open files may be too low for --grpc-connections"
        ),
        Room::Unknown(error) => {
            tracing::warn!(%error, "the limit of open files cannot be raised");
        }
    }
}

async fn check_durability(store: &Store, is_allowed: bool) -> Result<(), StartError> {
    let settings = store.unsafe_settings().await?.join(", ");
    if settings.is_empty() {
        return Ok(());
    }
    if !is_allowed {
        return Err(StartError::Unsafe(settings));
    }
    tracing::warn!(
        settings,
        "the database can lose what it has committed: {settings}"
    );
    Ok(())
}

async fn own(store: &Store) -> Result<Ownership, StartError> {
    let acquired = async {
        let mut is_waiting = false;
        loop {
            if let Some(ownership) = store.owner_acquire().await? {
                return Ok(ownership);
            }
            if !is_waiting {
                tracing::info!(
                    "another control plane owns this database; waiting for it to let go"
                );
                is_waiting = true;
            }
            tokio::time::sleep(OWNER_PAUSE).await;
        }
    };
    tokio::time::timeout(OWNER_WITHIN, acquired)
        .await
        .unwrap_or(Err(StartError::Owned))
}
