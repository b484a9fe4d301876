//! The demo: Posthorn at work, with a receiver of its own and every attempt as it happens.
//!
//! Its data is in a temporary folder, so that it leaves nothing behind and can run beside an installation.

mod receiver;
mod scene;

use std::error::Error;

use posthorn_control_plane::Config as ControlConfig;
use posthorn_data_plane::EdgeConfig;
use posthorn_telemetry::{LogArgs, init_logging};
use tokio_util::sync::CancellationToken;

use crate::{
    greeting, keys,
    planes::{PlaneArgs, Planes},
};
use receiver::Receiver;

/// What the demo logs unless it is told otherwise: its own lines tell the story.
const LOG_FILTER: &str = "warn";

/// Takes free ports where none were asked for.
fn take_free_ports(args: &mut PlaneArgs) {
    let defaults = ControlConfig::default();
    if args.control.grpc_listen == defaults.grpc_listen {
        args.control.grpc_listen.set_port(0);
    }
    if args.control.metrics_listen == defaults.metrics_listen {
        args.control.metrics_listen.set_port(0);
        args.node_metrics_listen.set_port(0);
    }
    if args.edge.listen == EdgeConfig::default().listen {
        args.edge.listen.set_port(0);
    }
}

/// Runs the demo, then goes on serving until `shutdown`.
pub(crate) async fn run(
    mut args: PlaneArgs,
    mut log: LogArgs,
    shutdown: CancellationToken,
) -> Result<(), Box<dyn Error>> {
    if log.filter == LogArgs::default().filter {
        LOG_FILTER.clone_into(&mut log.filter);
    }
    init_logging(&log)?;
    let folder = tempfile::Builder::new()
        .prefix("posthorn-demo-")
        .tempdir()?;
    args.control.data_dir = folder.path().to_owned();
    args.control.database = None;
    take_free_ports(&mut args);
    let planes = Planes::bind(args).await?;
    greeting::print(&planes);
    let key = std::fs::read_to_string(keys::default_file(&planes.data_dir))?;
    let grpc = planes.grpc_addr();
    let receiver = Receiver::bind().await?;
    let receiver_addr = receiver.addr();
    let story = async {
        scene::play(grpc, key.trim(), receiver_addr).await?;
        std::future::pending::<Result<(), Box<dyn Error>>>().await
    };
    tokio::select! {
        served = planes.serve(shutdown) => served,
        never = receiver.serve() => match never {},
        failed = story => failed,
    }
}
