//! What is killed: a control plane, two nodes, and a database server of its own.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use posthorn::v1::{
    DeliveryState, ListDeliveriesRequest, ListInboundRequestsRequest, Role, Verdict,
};
use posthorn_harness::{
    Client, ControlPlane, ControlPlaneOptions, Node, NodeOptions, Postgres, Receiver, StoreKind,
    eventually, get,
};
use rand::{RngExt as _, rngs::StdRng};
use tokio::sync::watch;

use super::{SETTLING, VICTIMS};

/// Where the receiver gets everything.
pub(super) const PATH: &str = "/hook";

/// How many leases each of the two nodes holds at one time.
pub(super) const CAPACITY: usize = 64;

/// How long after a victim is back a repeat may still come of its death: until the lost leases have been given anew.
const AFTERMATH: Duration = Duration::from_secs(15);

/// What can be killed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Victim {
    ControlPlane,
    Node,
    Database,
}

/// From the moment of a kill until its last effect.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    pub(super) from: Instant,
    pub(super) until: Instant,
}

/// Everything that runs. The database last, so that it outlives its users.
pub(super) struct World {
    pub(super) client: Client,
    pub(super) receiver: Receiver,
    pub(super) faults: Vec<Fault>,
    /// Where the nodes take inbound requests.
    pub(super) edges: watch::Sender<Vec<SocketAddr>>,
    nodes: Vec<Node>,
    pub(super) control: ControlPlane,
    pub(super) postgres: Option<Postgres>,
}

impl World {
    pub(super) async fn start(store: StoreKind) -> Self {
        let mut options = ControlPlaneOptions::default();
        let postgres = match store {
            StoreKind::Sqlite => None,
            StoreKind::Postgres => Some(Postgres::start().await),
        };
        if let Some(postgres) = &postgres {
            options.database = Some(postgres.database("crash").await);
        }
        Self::of(options, postgres).await
    }

    /// The same around a control plane of these options, whose database is on that server.
    pub(super) async fn of(options: ControlPlaneOptions, postgres: Option<Postgres>) -> Self {
        let control = ControlPlane::start(options).await;
        let admin = control.admin().await;
        let key = admin.create_key(&[Role::Node]).await;
        let mut nodes = Vec::new();
        for _ in 0..2 {
            let mut options = NodeOptions::new(control.grpc, &key);
            options.args = vec!["--capacity".to_owned(), CAPACITY.to_string()];
            let node = Node::start(options).await;
            node.ready().await;
            nodes.push(node);
        }
        let tenant = admin.create_tenant("crash").await;
        let client = admin.for_tenant(&tenant);
        let receiver = Receiver::start().await;
        client.create_endpoint(&receiver.url(PATH), &["*"]).await;
        Self {
            client,
            receiver,
            faults: Vec::new(),
            edges: watch::Sender::new(nodes.iter().map(|node| node.edge).collect()),
            nodes,
            control,
            postgres,
        }
    }

    /// What there is to be killed.
    pub(super) fn victims(&self) -> Vec<Victim> {
        let count = if self.postgres.is_some() { 3 } else { 2 };
        VICTIMS[..count].to_vec()
    }

    /// Kills one, starts it again, and waits until it listens.
    #[expect(
        clippy::disallowed_methods,
        reason = "when a kill happened is what explains a repeat"
    )]
    pub(super) async fn kill(&mut self, victim: Victim, rng: &mut StdRng) {
        let from = Instant::now();
        match victim {
            Victim::ControlPlane => {
                self.control.kill();
                self.control.restart().await;
            }
            Victim::Node => {
                let node = rng.random_range(0..self.nodes.len());
                self.nodes[node].kill();
                self.nodes[node].restart().await;
                let edges = self.nodes.iter().map(|node| node.edge).collect();
                self.edges.send_replace(edges);
            }
            Victim::Database => {
                let postgres = self.postgres.as_mut().expect("only a server is a victim");
                postgres.kill();
                postgres.restart().await;
            }
        }
        let until = Instant::now() + AFTERMATH;
        self.faults.push(Fault { from, until });
    }

    /// How many inbound requests were accepted.
    pub(super) async fn accepted(&self) -> usize {
        let mut request = ListInboundRequestsRequest {
            tenant_id: self.client.tenant_id.clone(),
            verdict: Verdict::Accepted.into(),
            page_size: 500,
            ..ListInboundRequestsRequest::default()
        };
        let mut count = 0;
        loop {
            let mut inbound = self.client.inbound();
            let page = inbound.list_inbound_requests(request.clone()).await;
            let page = page.expect("requests can be listed").into_inner();
            count += page.requests.len();
            if page.next_page_token.is_empty() {
                return count;
            }
            request.page_token = page.next_page_token;
        }
    }

    /// Waits until every node says that it is or is not ready.
    pub(super) async fn nodes_ready(&self, status: u16) {
        for node in &self.nodes {
            eventually("a node's readiness changes", SETTLING, async || {
                let page = get(node.metrics, "/readyz").await;
                page.is_ok_and(|page| page.status == status)
            })
            .await;
        }
    }

    /// Waits until no delivery is open.
    pub(super) async fn quiet(&self) {
        let request = ListDeliveriesRequest {
            tenant_id: self.client.tenant_id.clone(),
            state: DeliveryState::Pending.into(),
            page_size: 1,
            ..ListDeliveriesRequest::default()
        };
        eventually("no delivery is open", SETTLING, async || {
            let mut deliveries = self.client.deliveries();
            let open = deliveries.list_deliveries(request.clone()).await;
            open.is_ok_and(|open| open.into_inner().deliveries.is_empty())
        })
        .await;
    }
}
