//! The real programs that are measured: a database, a control plane, and a node when deliveries are wanted.

use std::{net::SocketAddr, process, time::Duration};

use posthorn::v1::{DeliveryState, EndpointSettings, ListDeliveriesRequest, Role};
use posthorn_harness::{
    Client, ControlPlane, ControlPlaneOptions, Node, NodeOptions, Postgres, cpu_time, eventually,
    machine_cpu_time, peak_rss_bytes, rss_bytes,
};
use sqlx::{Connection as _, PgConnection};

use crate::{
    report::Measure,
    settings::Store,
    usage::{Usage, mebibytes},
};

/// How long the last deliveries of a load may take.
const SETTLE_DEADLINE: Duration = Duration::from_mins(10);

/// Running programs with one tenant.
#[derive(Debug)]
pub(crate) struct Stage {
    /// A key of the tenant that may do everything in it.
    pub(crate) client: Client,
    key: String,
    node: Option<Node>,
    control: ControlPlane,
    /// Last, so that it outlives its users.
    postgres: Option<Postgres>,
}

impl Stage {
    /// Starts a database, a control plane and a node.
    pub(crate) async fn start(store: Store) -> Self {
        let mut stage = Self::start_without_node(store).await;
        let key = stage.control.admin().await.create_key(&[Role::Node]).await;
        let mut options = NodeOptions::new(stage.control.grpc, &key);
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
        let node = Node::start(options).await;
        node.ready().await;
        stage.node = Some(node);
        stage
    }

    /// Starts a database and a control plane.
    pub(crate) async fn start_without_node(store: Store) -> Self {
        let mut options = ControlPlaneOptions {
            env: vec![quiet()],
            ..ControlPlaneOptions::default()
        };
        let postgres = match store {
            Store::Sqlite => None,
            Store::Postgres => Some(Postgres::start().await),
        };
        if let Some(postgres) = &postgres {
            options.database = Some(postgres.database("posthorn").await);
        }
        let control = ControlPlane::start(options).await;
        control.ready().await;
        let admin = control.admin().await;
        let tenant = admin.for_tenant(&admin.create_tenant("bench").await);
        let key = tenant.create_key(&[Role::Admin]).await;
        Self {
            client: tenant.with_key(&key),
            key,
            node: None,
            control,
            postgres,
        }
    }

    /// Where the node takes inbound requests.
    pub(crate) fn edge(&self) -> SocketAddr {
        self.node.as_ref().expect("the stage has a node").edge
    }

    /// Another connection to the control plane, under the same key.
    pub(crate) async fn connect(&self) -> Client {
        Client::connect(self.control.grpc, &self.key)
            .await
            .for_tenant(&self.client.tenant_id)
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
