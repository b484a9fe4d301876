//! Both planes, bound and served as one.

use std::{error::Error, net::SocketAddr, path::PathBuf};

use clap::Args;
use posthorn_control_plane::{
    Config as ControlConfig, ControlPlane, Given, PublicUrl, PublicUrlError, bootstrap::Scope,
};
use posthorn_data_plane::{Config as NodeConfig, DataPlane, EdgeConfig};
use tokio_util::sync::CancellationToken;

use crate::keys;

/// What this machine may always be reached at, unless that is turned off.
const LOOPBACK: [&str; 2] = ["127.0.0.0/8", "[::1]/128"];

/// How the planes run.
#[derive(Debug, Args)]
pub(crate) struct PlaneArgs {
    /// The control plane's settings; the node's follow from them.
    #[command(flatten)]
    pub control: ControlConfig,

    /// Where the node's metrics and health are served
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9465")]
    pub node_metrics_listen: SocketAddr,

    /// Do not deliver to addresses of this machine
    #[arg(long)]
    pub deny_loopback: bool,

    /// PEM file with roots that are trusted for endpoints besides the public ones
    #[arg(long, value_name = "FILE")]
    pub extra_ca: Option<PathBuf>,

    /// How the node takes requests of providers.
    #[command(flatten)]
    pub edge: EdgeConfig,
}

/// Both planes, ready to serve.
pub(crate) struct Planes {
    control: ControlPlane,
    node: DataPlane,
    /// Where the keys and the database are.
    pub data_dir: PathBuf,
    /// Whether addresses of this machine may be delivered to.
    pub allows_loopback: bool,
}

impl Planes {
    /// Binds both planes.
    pub(crate) async fn bind(args: PlaneArgs) -> Result<Self, Box<dyn Error>> {
        let mut config = args.control.with_environment();
        if config.tls_cert.is_some() {
            return Err(
                "--tls-cert is for planes that run apart: start posthorn-control-plane and \
                        posthorn-data-plane"
                    .into(),
            );
        }
        if !args.deny_loopback {
            for cidr in LOOPBACK {
                config.allow_target.push(cidr.parse()?);
            }
        }
        if config.public_url.is_none() {
            config.public_url = public_url(&args.edge)?;
        }
        let data_dir = config.data_dir.clone();
        let allow_target = config.allow_target.clone();
        let drain_timeout = config.drain_timeout;
        let scope = Scope::WithDefaultTenant;
        let control = ControlPlane::bind(config, scope, Given::default(), |first| {
            keys::write(&data_dir, first)
        })
        .await?;
        let node = DataPlane::bind(NodeConfig {
            control_plane: format!("http://{}", control.addr()),
            node_key: Some(control.node_key()),
            allow_target,
            extra_ca: args.extra_ca,
            metrics_listen: args.node_metrics_listen,
            // The rest is for the control plane's own drain, which comes after.
            drain_timeout: drain_timeout * 3 / 4,
            edge: args.edge,
            ..NodeConfig::default()
        })
        .await?;
        Ok(Self {
            control,
            node,
            data_dir,
            allows_loopback: !args.deny_loopback,
        })
    }

    /// Where gRPC is served.
    pub(crate) fn grpc_addr(&self) -> SocketAddr {
        self.control.addr()
    }

    /// Where the control plane's metrics are served.
    pub(crate) fn metrics_addr(&self) -> SocketAddr {
        self.control.metrics_addr()
    }

    /// Where the node's metrics are served.
    pub(crate) fn node_metrics_addr(&self) -> SocketAddr {
        self.node.metrics_addr()
    }

    /// Where requests of providers are taken.
    pub(crate) fn edge_addr(&self) -> SocketAddr {
        self.node.edge_addr()
    }

    /// Serves until `shutdown`; the node drains first, so that its outcomes are committed.
    pub(crate) async fn serve(self, shutdown: CancellationToken) -> Result<(), Box<dyn Error>> {
        let node_drained = CancellationToken::new();
        let node = async {
            let ended = self.node.serve(shutdown.clone()).await;
            node_drained.cancel();
            ended
        };
        let control = self
            .control
            .serve_last(node_drained.clone(), shutdown.clone());
        let (control, node) = tokio::join!(control, node);
        control?;
        Ok(node?)
    }
}

/// Where this machine reaches the edge. None: its port is not known before it is bound.
fn public_url(edge: &EdgeConfig) -> Result<Option<PublicUrl>, PublicUrlError> {
    let scheme = if edge.tls_cert.is_some() {
        "https"
    } else {
        "http"
    };
    let is_known = edge.listen.port() != 0;
    let url = is_known.then(|| format!("{scheme}://{}", edge.listen).parse());
    url.transpose()
}
