//! The plane as a whole: how it starts, runs and ends.

mod drain;
mod error;
mod steps;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use posthorn_telemetry::{Readiness, Registry as MetricsRegistry, register_build};
use secrecy::SecretString;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    audit::{Denials, WaitingDenials},
    bootstrap::{self, FirstKeys, Scope},
    cdn_loop::LoopMark,
    config::Config,
    core::{Core, Given},
    dispatch::{Commits, Dispatch},
    fetch::Fetch,
    inbound::{
        Inbound,
        poll::{self, Polling},
    },
    incoming::{Certificate, Incoming},
    loops::{self, Retention, Rewrapping},
    metrics::Metrics,
    model::{
        api_key::{Role, Roles},
        shard::ShardSet,
    },
    registry::SharedRegistry,
    rpc::{
        Admin, ApiKeys, Audits, Consumers, Deliveries, Endpoints, EventTypes, Events, Inbounds,
        Nodes, Sources, Tenants,
    },
    server::{self, Services},
    store::{Ownership, Store},
    vault::KeySource,
};

use self::{
    drain::Drain,
    error::engine_error,
    steps::{Doors, Started, make_room, tls},
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
    core: Core,
    ownership: Ownership,
    keys: KeySource,
    dispatch: Dispatch,
    inbound: Inbound,
    fetch: Fetch,
    commits: Commits,
    metrics_registry: MetricsRegistry,
    tls: Option<Certificate>,
    doors: Doors,
}

impl ControlPlane {
    /// Opens the database and binds the listeners. On the first start of a database `hand_over` gets its first keys,
    /// before they are committed: shown once, kept nowhere.
    pub async fn bind(
        config: Config,
        scope: Scope,
        given: Given,
        hand_over: impl FnOnce(&FirstKeys) -> io::Result<()>,
    ) -> Result<Self, StartError> {
        config.check_limits()?;
        let tls = tls(&config.transport()?, config.grpc_listen)?;
        make_room(&config.limits);
        let Given {
            clock,
            entropy,
            protocols,
        } = given;
        let started = Started::open(&config, &clock, &entropy).await?;
        // Before the first keys are handed over: a start that cannot serve must not take them along.
        let doors = Doors::bind(&config).await?;
        let resolver = doors.resolver(&config).await?;
        let fetch = Fetch::new(resolver.clone()).map_err(StartError::Tls)?;
        let (store, now_ms) = (started.store, clock.now_ms());
        bootstrap::first_start(&store, scope, now_ms, &mut entropy.clone(), hand_over).await?;
        let registry = SharedRegistry::load(
            store.clone(),
            Arc::clone(&started.vault),
            config.default_policy(),
            config.public_url.clone().unwrap_or_default(),
            config.tenant_limits,
            entropy.clone(),
        )
        .await?;
        let loop_mark = LoopMark::of(store.first_key_id().await?);
        let mut metrics_registry = MetricsRegistry::default();
        register_build(
            &mut metrics_registry,
            "control-plane",
            env!("CARGO_PKG_VERSION"),
        );
        let core = Core {
            store,
            registry,
            vault: started.vault,
            resolver,
            metrics: Metrics::new(&mut metrics_registry),
            clock,
            entropy,
            protocols,
            loop_mark,
        };
        let payload_bytes_max = config.payload_bytes_max;
        let (dispatch, commits) = Dispatch::new(core.clone(), payload_bytes_max, started.epoch);
        let forward = &config.forward;
        let inbound = Inbound::new(core.clone(), dispatch.clone(), fetch.clone(), forward);
        Ok(Self {
            config,
            core,
            ownership: started.ownership,
            keys: started.keys,
            dispatch,
            inbound,
            fetch,
            commits,
            metrics_registry,
            tls,
            doors,
        })
    }

    /// Makes one more admin key of the installation, in a database that no control plane uses at the moment.
    pub async fn make_admin_key(config: &Config, given: Given) -> Result<SecretString, StartError> {
        let Given {
            clock, mut entropy, ..
        } = given;
        bootstrap::make_data_dir(config).map_err(StartError::DataDir)?;
        let store = Store::open(config.database_url().expose()).await?;
        let owned = store.owner_acquire().await?;
        let _until_it_is_made = owned.ok_or(StartError::Owned)?;
        Ok(bootstrap::another_admin(&store, clock.now_ms(), &mut entropy).await?)
    }

    /// Where gRPC is served.
    pub fn addr(&self) -> SocketAddr {
        self.doors.addr
    }

    /// Where metrics and health are served.
    pub fn metrics_addr(&self) -> SocketAddr {
        self.doors.operations.addr()
    }

    /// Makes a key for a node of this very process; it is in memory only and ends with the process.
    pub fn node_key(&self) -> SecretString {
        let (registry, now_ms) = (&self.core.registry, self.core.clock.now_ms());
        registry.add_ephemeral_key(Roles::of(&[Role::Node]), now_ms)
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
        let (denials, waiting) = Denials::new(
            self.core.metrics.grpc.clone(),
            self.core.clock.clone(),
            self.core.rng(),
        );
        let background = self.background(&readiness, waiting);
        let (engine_stops, operations_stop) = (CancellationToken::new(), CancellationToken::new());
        let operations = tokio::spawn(self.doors.operations.serve(
            Arc::new(self.metrics_registry),
            readiness.clone(),
            operations_stop.clone(),
        ));
        let mut engine = tokio::spawn(self.dispatch.run(self.commits, engine_stops.clone()));
        let incoming = Incoming {
            listener: self.doors.listener,
            tls: self.tls,
            limits: self.config.limits,
            metrics: self.core.metrics.grpc.clone(),
            readiness: readiness.clone(),
        };
        let server = server::serve(
            incoming,
            (self.core.registry, self.core.clock),
            services,
            denials,
            calls.clone(),
            shutdown.clone(),
        );
        let ended = tokio::select! {
            result = server => result.map_err(StartError::from),
            () = self.core.store.owner_hold(self.ownership) => Err(StartError::Owned),
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
        let _ = tokio::time::timeout(CLOSE_WITHIN, self.core.store.close()).await;
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
        let core = || self.core.for_callers();
        let dispatch = || self.dispatch.clone();
        let consumers = Consumers::new(core(), dispatch(), self.inbound.clone(), shutdown.clone());
        let public_url = self.config.public_url.clone().unwrap_or_default();
        Services {
            events: Events::new(core(), dispatch(), shutdown.clone()),
            event_types: EventTypes::new(core()),
            tenants: Tenants::new(core()),
            api_keys: ApiKeys::new(core()),
            endpoints: Endpoints::new(core(), dispatch()),
            deliveries: Deliveries::new(core(), dispatch()),
            sources: Sources::new(core(), public_url),
            inbounds: Inbounds::new(core(), dispatch(), self.inbound.clone(), consumers),
            nodes: Nodes::new(dispatch(), self.inbound.clone(), shutdown.clone()),
            audits: Audits::new(core()),
            admin: Admin::new(core(), dispatch()),
        }
    }

    /// The background loops. They never end.
    fn background(
        &self,
        readiness: &Readiness,
        denials: WaitingDenials,
    ) -> impl Future<Output = ()> + use<> {
        let core = &self.core;
        let retention = Retention {
            shards: ShardSet::ALL,
            events_ms: self.config.event_retention_ms(),
            dead_letters_ms: self.config.dead_letter_retention_ms(),
            audit_ms: self.config.audit_retention_ms(),
        };
        let polling = Polling {
            core: core.clone(),
            shards: ShardSet::ALL,
            dispatch: self.dispatch.clone(),
            inbound: self.inbound.clone(),
            fetch: self.fetch.clone(),
        };
        let rewrapping = Rewrapping {
            core: core.clone(),
            keys: self.keys.clone(),
        };
        let gauges = loops::keep_gauges(core.clone(), self.dispatch.clone());
        let watch = loops::keep_watched(core.clone(), readiness.clone());
        let retention = loops::keep_retention(core.clone(), retention);
        let checkpoints = loops::keep_checkpointed(core.clone());
        let counts = self.inbound.clone().keep_counts();
        let denials = denials.keep(core.store.clone());
        async move {
            tokio::join!(
                gauges,
                watch,
                retention,
                loops::keep_rewrapped(rewrapping),
                checkpoints,
                counts,
                denials,
                poll::keep_polled(polling),
            );
        }
    }
}
