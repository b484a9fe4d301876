//! The plane as a whole: how it starts, runs and ends.

mod drain;
mod error;
mod steps;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use posthorn_guard::{Policy, Resolver};
use posthorn_telemetry::{Operations, Readiness, Registry as MetricsRegistry};
use rand::{SeedableRng as _, rngs::StdRng};
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    audit::{Denials, WaitingDenials},
    bootstrap::{self, FirstKeys, Scope},
    clock,
    config::Config,
    dispatch::{Commits, Dispatch},
    fetch::Fetch,
    incoming::{self, Incoming},
    ingest::Ingest,
    metrics::Metrics,
    model::{
        api_key::{Role, Roles},
        shard::ShardSet,
    },
    poll::{self, Polling},
    registry::SharedRegistry,
    rpc::{
        ApiKeys, Audits, Consumers, Deliveries, Endpoints, EventTypes, Events, Inbounds, Nodes,
        Sources, Tenants,
    },
    server::{self, Services},
    store::{Ownership, Store},
    tasks::{self, Retention, Rewrapping},
    vault::{KeySource, Vault},
};

use self::{
    drain::Drain,
    error::engine_error,
    steps::{check_durability, make_room, master_keys, own, tls},
};
pub use error::StartError;

/// How long the connections to the database may take to be closed.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);
/// How long the last answers of a drain may take to be sent.
const FLUSH: Duration = Duration::from_millis(500);
/// The condition of readiness that a drain takes away.
const SERVING: &str = "serving";

/// A control plane that is ready to serve.
pub struct ControlPlane {
    config: Config,
    store: Store,
    ownership: Ownership,
    vault: Arc<Vault>,
    keys: KeySource,
    registry: SharedRegistry,
    resolver: Resolver,
    dispatch: Dispatch,
    ingest: Ingest,
    fetch: Fetch,
    commits: Commits,
    metrics: Metrics,
    metrics_registry: MetricsRegistry,
    tls: Option<TlsAcceptor>,
    listener: TcpListener,
    addr: SocketAddr,
    operations: Operations,
}

impl ControlPlane {
    /// Opens the database and binds the listeners. On the first start of a database `hand_over` gets its first keys,
    /// before they are committed: shown once, kept nowhere.
    pub async fn bind(
        config: Config,
        scope: Scope,
        hand_over: impl FnOnce(&FirstKeys) -> io::Result<()>,
    ) -> Result<Self, StartError> {
        config.check_limits()?;
        let tls = tls(&config.transport()?, config.grpc_listen)?;
        make_room(&config.limits);
        bootstrap::make_data_dir(&config).map_err(StartError::DataDir)?;
        let store = Store::open(config.database_url().expose()).await?;
        let (keys, vault) = master_keys(&config, &store).await?;
        check_durability(&store, config.allow_unsafe_durability).await?;
        let ownership = own(&store).await?;
        let epoch = store.next_epoch().await?;
        let now_ms = clock::now_ms();
        store.partition_ensure(now_ms).await?;
        let mut rng = start_rng();
        bootstrap::first_start(&store, scope, now_ms, &mut rng, hand_over).await?;
        let policy = config.default_policy();
        let public_url = config.public_url.clone().unwrap_or_default();
        let registry = SharedRegistry::load(
            store.clone(),
            Arc::clone(&vault),
            policy,
            public_url,
            config.tenant_limits,
        )
        .await?;
        let listening = incoming::listen(config.grpc_listen);
        let (listener, addr) =
            listening.map_err(|error| StartError::Listen(config.grpc_listen, error))?;
        let operations = Operations::bind(config.metrics_listen).await;
        let operations =
            operations.map_err(|error| StartError::Listen(config.metrics_listen, error))?;
        let own = [addr, operations.addr()]
            .into_iter()
            .chain(config.database_url().socket_addr());
        let guard = Policy::new(config.allow_list(), own);
        let resolver = Resolver::from_system(Arc::new(guard))?;
        let mut metrics_registry = MetricsRegistry::default();
        let metrics = Metrics::new(&mut metrics_registry);
        let payload_bytes_max = config.payload_bytes_max;
        let (dispatch, commits) = Dispatch::new(
            store.clone(),
            Arc::clone(&vault),
            registry.clone(),
            metrics.clone(),
            payload_bytes_max,
            epoch,
        );
        let fetch = Fetch::new(resolver.clone()).map_err(StartError::Tls)?;
        let ingest = Ingest::new(
            store.clone(),
            registry.clone(),
            dispatch.clone(),
            metrics.clone(),
            fetch.clone(),
            &config.forward,
        );
        Ok(Self {
            config,
            store,
            ownership,
            vault,
            keys,
            registry,
            resolver,
            dispatch,
            ingest,
            fetch,
            commits,
            metrics,
            metrics_registry,
            tls,
            listener,
            addr,
            operations,
        })
    }

    /// Where gRPC is served.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where metrics and health are served.
    pub fn metrics_addr(&self) -> SocketAddr {
        self.operations.addr()
    }

    /// Makes a key for a node of this very process; it is in memory only and ends with the process.
    pub fn node_key(&self) -> SecretString {
        self.registry
            .add_ephemeral_key(Roles::of(&[Role::Node]), clock::now_ms(), &mut start_rng())
    }

    /// Serves until `shutdown`, then finishes what is under way within the drain timeout.
    pub async fn serve(self, shutdown: CancellationToken) -> Result<(), StartError> {
        self.serve_last(shutdown.clone(), shutdown).await
    }

    /// The same in a process where others drain first: its drain timeout began with `draining`.
    pub async fn serve_last(
        self,
        shutdown: CancellationToken,
        draining: CancellationToken,
    ) -> Result<(), StartError> {
        let readiness = Readiness::new();
        let drain = Drain::within(self.config.drain_timeout, &draining);
        readiness.set(SERVING, true);
        let services = self.services(&shutdown);
        let calls = TaskTracker::new();
        let (denials, waiting) = Denials::new(self.metrics.grpc.clone());
        let background = self.background(&readiness, waiting);
        let (engine_stops, operations_stop) = (CancellationToken::new(), CancellationToken::new());
        let operations = tokio::spawn(self.operations.serve(
            Arc::new(self.metrics_registry),
            readiness.clone(),
            operations_stop.clone(),
        ));
        let mut engine = tokio::spawn(self.dispatch.run(self.commits, engine_stops.clone()));
        let incoming = Incoming {
            listener: self.listener,
            tls: self.tls,
            limits: self.config.limits,
            metrics: self.metrics.grpc.clone(),
            readiness: readiness.clone(),
        };
        let server = server::serve(
            incoming,
            self.registry,
            services,
            denials,
            calls.clone(),
            shutdown.clone(),
        );
        let ended = tokio::select! {
            result = server => result.map_err(StartError::from),
            () = self.store.owner_hold(self.ownership) => Err(StartError::Owned),
            () = background => Ok(()),
            result = &mut engine => return Err(engine_error(result)),
            () = drain.calls(&shutdown, &readiness, &calls) => Ok(()),
        };
        drain.begin();
        engine_stops.cancel();
        let drained = tokio::select! {
            ended = &mut engine => Some(ended),
            () = drain.is_over() => None,
        };
        engine.abort();
        operations_stop.cancel();
        let _ = operations.await;
        // A connection that hangs is no reason to stay.
        let _ = tokio::time::timeout(CLOSE_WITHIN, self.store.close()).await;
        ended?;
        match drained {
            Some(Ok(Ok(()))) => {}
            Some(ended) => return Err(engine_error(ended)),
            None => return Err(StartError::Drain),
        }
        tracing::info!("drained");
        Ok(())
    }

    fn services(&self, shutdown: &CancellationToken) -> Services {
        let store = &self.store.for_callers();
        let (registry, dispatch) = (&self.registry, &self.dispatch);
        let vault = Arc::clone(&self.vault);
        Services {
            events: Events::new(
                store.clone(),
                registry.clone(),
                dispatch.clone(),
                shutdown.clone(),
            ),
            event_types: EventTypes::new(store.clone(), registry.clone()),
            tenants: Tenants::new(store.clone(), registry.clone()),
            api_keys: ApiKeys::new(store.clone(), registry.clone()),
            endpoints: Endpoints::new(
                store.clone(),
                registry.clone(),
                vault,
                dispatch.clone(),
                self.resolver.clone(),
            ),
            deliveries: Deliveries::new(store.clone(), registry.clone(), dispatch.clone()),
            sources: Sources::new(
                store.clone(),
                registry.clone(),
                Arc::clone(&self.vault),
                self.resolver.clone(),
                self.config.public_url.clone().unwrap_or_default(),
            ),
            inbounds: Inbounds::new(
                store.clone(),
                registry.clone(),
                dispatch.clone(),
                self.ingest.clone(),
                self.consumers(shutdown),
            ),
            nodes: Nodes::new(dispatch.clone(), self.ingest.clone(), shutdown.clone()),
            audits: Audits::new(store.clone(), registry.clone()),
        }
    }

    fn consumers(&self, shutdown: &CancellationToken) -> Consumers {
        Consumers::new(
            self.store.for_callers(),
            self.registry.clone(),
            self.dispatch.clone(),
            self.ingest.clone(),
            shutdown.clone(),
        )
    }

    /// The background loops. They never end.
    fn background(
        &self,
        readiness: &Readiness,
        denials: WaitingDenials,
    ) -> impl Future<Output = ()> + use<> {
        let (store, registry, dispatch) = (
            self.store.clone(),
            self.registry.clone(),
            self.dispatch.clone(),
        );
        let gauges = tasks::keep_gauges(store.clone(), dispatch.clone(), self.metrics.clone());
        let watch = tasks::keep_watched(store.clone(), readiness.clone());
        let retention = Retention {
            shards: ShardSet::ALL,
            events_ms: self.config.event_retention_ms(),
            dead_letters_ms: self.config.dead_letter_retention_ms(),
            audit_ms: self.config.audit_retention_ms(),
        };
        let ingest = self.ingest.clone();
        let checkpointed = store.clone();
        let denials = denials.keep(store.clone());
        let polling = Polling {
            store: store.clone(),
            shards: ShardSet::ALL,
            registry: registry.clone(),
            dispatch: dispatch.clone(),
            ingest: self.ingest.clone(),
            fetch: self.fetch.clone(),
            metrics: self.metrics.clone(),
        };
        let rewrapping = Rewrapping {
            store: store.clone(),
            vault: Arc::clone(&self.vault),
            keys: self.keys.clone(),
            registry: registry.clone(),
        };
        async move {
            tokio::join!(
                gauges,
                watch,
                tasks::keep_retention(store, retention),
                tasks::keep_rewrapped(rewrapping),
                tasks::keep_checkpointed(checkpointed),
                ingest.keep_counts(),
                denials,
                poll::keep_polled(polling),
            );
        }
    }
}

/// A source of randomness that may be held across waits.
fn start_rng() -> StdRng {
    StdRng::from_rng(&mut clock::rng())
}
