//! The real programs that are measured: a database, a control plane, and a node when deliveries are wanted.

mod warm;

use std::{net::SocketAddr, process, time::Duration};

use posthorn::v1::{DeliveryState, EndpointSettings, ListDeliveriesRequest, Role};
use posthorn_harness::{
    Authority, Client, ControlPlane, ControlPlaneOptions, Node, NodeOptions, Postgres, cpu_time,
    eventually, machine_cpu_time, peak_rss_bytes, rss_bytes,
};
use sqlx::{Connection as _, PgConnection};

use crate::{
    report::Measure,
    settings::Store,
    usage::{Usage, mebibytes},
};

/// Connections that unary calls are spread over.
const CONNECTIONS: usize = 4;

/// How long the last deliveries of a load may take.
const SETTLE_DEADLINE: Duration = Duration::from_mins(10);

/// Running programs with one tenant.
#[derive(Debug)]
pub(crate) struct Stage {
    /// A key of the tenant that may do everything in it.
    pub(crate) client: Client,
    /// The key of the whole installation.
    pub(crate) admin: Client,
    key: String,
    node: Option<Node>,
    control: ControlPlane,
    /// Who signed the control plane's certificate, when it has one.
    authority: Option<Authority>,
    /// Last, so that it outlives its users.
    postgres: Option<Postgres>,
}

impl Stage {
    /// Starts a database, a control plane and a node.
    pub(crate) async fn start(store: Store) -> Self {
        let mut stage = Self::start_without_node(store).await;
        stage.add_node().await;
        stage
    }

    /// The same with TLS between callers, nodes and the control plane.
    pub(crate) async fn start_secured(store: Store) -> Self {
        let mut stage = Self::start_planes(store, Some(Authority::new()), &[]).await;
        stage.add_node().await;
        stage
    }

    /// Starts a database and a control plane.
    pub(crate) async fn start_without_node(store: Store) -> Self {
        Self::start_planes(store, None, &[]).await
    }

    /// Starts a database and a control plane with these arguments.
    pub(crate) async fn start_with(store: Store, args: &[&str]) -> Self {
        Self::start_planes(store, None, args).await
    }

    async fn start_planes(store: Store, authority: Option<Authority>, args: &[&str]) -> Self {
        let mut options = ControlPlaneOptions {
            env: vec![quiet()],
            args: authority.as_ref().map(tls_args).unwrap_or_default(),
            ..ControlPlaneOptions::default()
        };
        options
            .args
            .extend(args.iter().map(|arg| (*arg).to_owned()));
        let postgres = match store {
            Store::Sqlite => None,
            Store::Postgres => Some(Postgres::start().await),
        };
        if let Some(postgres) = &postgres {
            warm::warm(postgres).await;
            options.database = Some(postgres.database("posthorn").await);
        }
        let control = ControlPlane::start(options).await;
        control.ready().await;
        let caller = Caller::of(&control, &control.admin_key, authority.as_ref());
        let admin = caller.connect().await.expect("the control plane listens");
        let (client, key) = new_tenant(&admin, "bench").await;
        Self {
            client,
            admin,
            key,
            node: None,
            control,
            authority,
            postgres,
        }
    }

    async fn add_node(&mut self) {
        let key = self.admin.create_key(&[Role::Node]).await;
        let mut options = NodeOptions::new(self.control.grpc, &key);
        options.env.push(quiet());
        // The load comes from one address, and slow clients are many.
        options.args = [
            "--edge-connections-per-address",
            "1024",
            "--edge-connections",
            "4096",
        ]
        .map(str::to_owned)
        .to_vec();
        if let Some(authority) = &self.authority {
            options.tls = true;
            let root = authority.file().display().to_string();
            options.args.extend(["--control-plane-ca".to_owned(), root]);
        }
        let node = Node::start(options).await;
        node.ready().await;
        self.node = Some(node);
    }

    /// Kills the node and starts another with its key, until that has a session.
    pub(crate) async fn restart_node(&mut self) {
        let node = self.node.as_mut().expect("the stage has a node");
        node.restart().await;
        node.ready().await;
    }

    /// Kills the control plane and starts it on the same database, until it is ready.
    pub(crate) async fn restart_control_plane(&mut self) {
        self.control.kill();
        self.control.restart().await;
        self.control.ready().await;
    }

    /// Another tenant: somebody with a key that may do everything in it.
    pub(crate) async fn tenant(&self, name: &str) -> Caller {
        let (client, key) = new_tenant(&self.admin, name).await;
        Caller {
            tenant_id: client.tenant_id,
            ..Caller::of(&self.control, &key, self.authority.as_ref())
        }
    }

    /// A key of a tenant over a connection of its own.
    pub(crate) async fn connect_with(&self, tenant_id: &str, key: &str) -> Client {
        let caller = Caller::of(&self.control, key, self.authority.as_ref());
        let connected = caller.connect().await;
        connected
            .expect("the control plane accepts connections")
            .for_tenant(tenant_id)
    }

    /// Where gRPC is served.
    pub(crate) fn grpc(&self) -> SocketAddr {
        self.control.grpc
    }

    /// Where the control plane serves metrics and health.
    pub(crate) fn control_metrics(&self) -> SocketAddr {
        self.control.metrics
    }

    /// Where the node serves metrics and health.
    pub(crate) fn node_metrics(&self) -> SocketAddr {
        self.node.as_ref().expect("the stage has a node").metrics
    }

    /// The URL of the database.
    pub(crate) fn database(&self) -> String {
        self.control.database()
    }

    /// Somebody with the stage's key who is not connected yet.
    pub(crate) fn caller(&self) -> Caller {
        let caller = Caller::of(&self.control, &self.key, self.authority.as_ref());
        Caller {
            tenant_id: self.client.tenant_id.clone(),
            ..caller
        }
    }

    /// Where the node takes inbound requests.
    pub(crate) fn edge(&self) -> SocketAddr {
        self.node.as_ref().expect("the stage has a node").edge
    }

    /// Another connection to the control plane, under the same key.
    pub(crate) async fn connect(&self) -> Client {
        self.connect_with(&self.client.tenant_id, &self.key).await
    }

    /// Creates an endpoint for one event type, and returns its id. At most `concurrency` attempts run to it at one
    /// time; 0 is the default.
    pub(crate) async fn endpoint(
        &self,
        url: String,
        event_type: String,
        concurrency: u32,
    ) -> String {
        let settings = EndpointSettings {
            url,
            subscriptions: vec![event_type],
            concurrency,
            ..EndpointSettings::default()
        };
        let created = self.client.create_endpoint_with(settings).await;
        created
            .endpoint
            .expect("the answer holds the endpoint")
            .endpoint_id
    }

    /// Waits until every outcome is durable: no delivery is open any more.
    ///
    /// Panics when one is dead: such a run measures something else.
    pub(crate) async fn settled(&self) {
        eventually("no delivery is pending", SETTLE_DEADLINE, async || {
            !self.any_delivery(DeliveryState::Pending).await
        })
        .await;
        assert!(
            !self.any_delivery(DeliveryState::Dead).await,
            "a delivery is dead; log:\n{}",
            self.control.logs()
        );
    }

    /// What all processes have used so far.
    pub(crate) async fn usage(&self) -> Usage {
        let wal_bytes = match &self.postgres {
            Some(postgres) => Some(wal_bytes(&postgres.url()).await),
            None => None,
        };
        Usage {
            control: cpu_time(self.control.pid()),
            node: self
                .node
                .as_ref()
                .map(|node| cpu_time(node.pid()))
                .unwrap_or_default(),
            database: self
                .postgres
                .as_ref()
                .map(Postgres::cpu_time)
                .unwrap_or_default(),
            bench: cpu_time(process::id()),
            machine: machine_cpu_time(),
            wal_bytes,
        }
    }

    /// The memory of both planes together now, in MiB.
    pub(crate) fn planes_mebibytes(&self) -> f64 {
        let node = self.node.as_ref().map(|node| rss_bytes(node.pid()));
        mebibytes(rss_bytes(self.control.pid()) + node.unwrap_or_default())
    }

    /// The most memory of both planes together so far, in MiB.
    pub(crate) fn planes_mebibytes_peak(&self) -> f64 {
        let node = self.node.as_ref().map(|node| peak_rss_bytes(node.pid()));
        mebibytes(peak_rss_bytes(self.control.pid()) + node.unwrap_or_default())
    }

    /// The memory that both planes have now, under a name.
    pub(crate) fn memory_now(&self, when: &str) -> Vec<Measure> {
        self.memory(when, rss_bytes)
    }

    /// The most memory that both planes have had so far.
    pub(crate) fn memory_peak(&self) -> Vec<Measure> {
        self.memory("at the peak", peak_rss_bytes)
    }

    /// Brings to the disk what has been written so far. The kernel would do so half a minute later, amid what is measured,
    /// and every commit would wait for it.
    pub(crate) async fn settle(&self) {
        if let Some(postgres) = &self.postgres {
            let connection = PgConnection::connect(&postgres.url()).await;
            let mut connection = connection.expect("PostgreSQL takes connections");
            let made = sqlx::query("checkpoint").execute(&mut connection).await;
            made.expect("a checkpoint can be made");
        }
        let synced = tokio::process::Command::new("sync").status().await;
        assert!(synced.is_ok_and(|status| status.success()), "`sync` works");
    }

    /// Connections for unary calls to be spread over.
    pub(crate) async fn connections(&self) -> Vec<Client> {
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            connections.push(self.connect().await);
        }
        connections
    }

    /// The `PostgreSQL` server, if that is the store.
    pub(crate) fn postgres(&self) -> Option<&Postgres> {
        self.postgres.as_ref()
    }

    fn memory(&self, when: &str, bytes: fn(u32) -> u64) -> Vec<Measure> {
        let measure = |name: &str, pid| {
            Measure::new(
                format!("memory of the {name} {when}"),
                "MiB",
                mebibytes(bytes(pid)),
            )
        };
        let control = measure("control plane", self.control.pid());
        let node = self.node.as_ref().map(|node| measure("node", node.pid()));
        [control].into_iter().chain(node).collect()
    }

    async fn any_delivery(&self, state: DeliveryState) -> bool {
        let request = ListDeliveriesRequest {
            state: state.into(),
            page_size: 1,
            ..ListDeliveriesRequest::default()
        };
        let page = self
            .client
            .deliveries()
            .list_deliveries(request)
            .await
            .expect("deliveries can be listed");
        !page.into_inner().deliveries.is_empty()
    }
}

/// Somebody who knows where the control plane is and has a key.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    addr: SocketAddr,
    key: String,
    tenant_id: String,
    /// The roots to trust, in PEM, when there is TLS.
    roots: Option<String>,
}

impl Caller {
    fn of(control: &ControlPlane, key: &str, authority: Option<&Authority>) -> Self {
        Self {
            addr: control.grpc,
            key: key.to_owned(),
            tenant_id: String::new(),
            roots: authority.map(Authority::pem),
        }
    }

    /// Connects.
    ///
    /// Errors: the control plane does not take the connection.
    pub(crate) async fn connect(&self) -> Result<Client, tonic::transport::Error> {
        let client = match &self.roots {
            Some(roots) => Client::connect_tls(self.addr, &self.key, roots).await?,
            None => Client::connect(self.addr, &self.key).await,
        };
        Ok(client.for_tenant(&self.tenant_id))
    }
}

async fn new_tenant(admin: &Client, name: &str) -> (Client, String) {
    let tenant = admin.for_tenant(&admin.create_tenant(name).await);
    let key = tenant.create_key(&[Role::Admin]).await;
    (tenant.with_key(&key), key)
}

fn tls_args(authority: &Authority) -> Vec<String> {
    let files = authority.certificate();
    [("--tls-cert", files.certificate), ("--tls-key", files.key)]
        .into_iter()
        .flat_map(|(flag, file)| [flag.to_owned(), file.display().to_string()])
        .collect()
}

async fn wal_bytes(url: &str) -> u64 {
    let mut connection = PgConnection::connect(url)
        .await
        .expect("PostgreSQL accepts connections");
    let bytes: i64 = sqlx::query_scalar("select (pg_current_wal_insert_lsn() - '0/0')::bigint")
        .fetch_one(&mut connection)
        .await
        .expect("PostgreSQL knows its position");
    connection.close().await.expect("the connection closes");
    bytes.try_into().expect("a position is not negative")
}

/// Keeps the programs from logging each event, in case a filter of the environment asks for it.
fn quiet() -> (String, String) {
    ("POSTHORN_LOG".to_owned(), "warn".to_owned())
}
