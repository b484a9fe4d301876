//! `posthorn-data-plane`: one node. Settings, logs, bind, serve.

use std::{env, error::Error, process::ExitCode};

use clap::Parser;
use posthorn_data_plane::{Config, DataPlane};
use posthorn_telemetry::{LogArgs, init_logging, shutdown_on_signal};
use tracing::error;

/// A Posthorn node: performs the requests that the control plane leases to it, and forwards what providers post
#[derive(Debug, Parser)]
#[command(name = "posthorn-data-plane", version)]
struct Cli {
    #[command(flatten)]
    config: Config,
    #[command(flatten)]
    log: LogArgs,
}

#[tokio::main]
async fn main() -> ExitCode {
    let mut cli = Cli::parse();
    if let Err(error) = init_logging(&cli.log) {
        eprintln!("error: {error}");
        return ExitCode::from(2);
    }
    cli.config.node_key = env::var("POSTHORN_NODE_KEY").ok().map(Into::into);
    match run(cli.config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!(error = error.as_ref(), "the node cannot run");
            ExitCode::FAILURE
        }
    }
}

async fn run(config: Config) -> Result<(), Box<dyn Error>> {
    let shutdown = shutdown_on_signal()?;
    let node = DataPlane::bind(config).await?;
    println!(
        "listening edge={} metrics={}",
        node.edge_addr(),
        node.metrics_addr()
    );
    node.serve(shutdown).await?;
    Ok(())
}
