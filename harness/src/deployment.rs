//! Everything that most tests need, by one call.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use posthorn::v1::Role;

use crate::{Client, ControlPlane, ControlPlaneOptions, Node, NodeOptions, Postgres, Receiver};

/// Which database a deployment runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// Embedded, in the control plane's data folder.
    Sqlite,
    /// A database of its own in the server that this program's tests share.
    Postgres,
}

/// A database, a control plane, a node with its session, a receiver, and a tenant.
#[derive(Debug)]
pub struct Deployment {
    /// The control plane.
    pub control: ControlPlane,
    /// The node.
    pub node: Node,
    /// Where events can be delivered to.
    pub receiver: Receiver,
    /// Under the bootstrap key, which may do everything, acting for [`Self::tenant_id`].
    pub admin: Client,
    /// The tenant.
    pub tenant_id: String,
    /// The node's key, for further nodes.
    pub node_key: String,
    /// The database server, unless the database is embedded. Last, so that it outlives its users.
    pub postgres: Option<Arc<Postgres>>,
}

impl Deployment {
    /// Starts all of it, and waits until the node can deliver.
    pub async fn start(store: StoreKind) -> Self {
        Self::start_with(store, ControlPlaneOptions::default(), &[]).await
    }

    /// The same with a control plane whose clock can be moved.
    pub async fn movable(store: StoreKind) -> Self {
        let options = ControlPlaneOptions {
            variant: true,
            ..ControlPlaneOptions::default()
        };
        Self::start_with(store, options, &[]).await
    }

    /// The same with options of the control plane (its database is set here) and more arguments for the node.
    pub async fn start_with(
        store: StoreKind,
        mut options: ControlPlaneOptions,
        node_args: &[&str],
    ) -> Self {
        let postgres = match store {
            StoreKind::Sqlite => None,
            StoreKind::Postgres => Some(Postgres::shared().await),
        };
        if let Some(postgres) = &postgres {
            options.database = Some(postgres.database(&database_name()).await);
        }
        let control = ControlPlane::start(options).await;
        let installation = control.admin().await;
        let node_key = installation.create_key(&[Role::Node]).await;
        let mut node = NodeOptions::new(control.grpc, &node_key);
        node.args = node_args.iter().map(|&arg| arg.to_owned()).collect();
        let node = Node::start(node).await;
        let tenant_id = installation.create_tenant("test").await;
        let receiver = Receiver::start().await;
        node.ready().await;
        Self {
            admin: installation.for_tenant(&tenant_id),
            control,
            node,
            receiver,
            tenant_id,
            node_key,
            postgres,
        }
    }

    /// A client under a new key of the tenant.
    pub async fn client(&self, roles: &[Role]) -> Client {
        let key = self.admin.create_key(roles).await;
        self.admin.with_key(&key)
    }

    /// A further node, once its session stands.
    pub async fn another_node(&self) -> Node {
        let node = Node::start(NodeOptions::new(self.control.grpc, &self.node_key)).await;
        node.ready().await;
        node
    }
}

fn database_name() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("posthorn_{}", NEXT.fetch_add(1, Ordering::Relaxed))
}
