//! A node of another version of the protocol.

use std::{env, error::Error, process::ExitCode};

use clap::Parser;
use posthorn_data_plane::{Config, DataPlane};
use posthorn_telemetry::{LogArgs, ended, init_logging, shutdown_on_signal, with_variable};

/// A node of another version of the protocol.
#[derive(Debug, Parser)]
#[command(mut_args = with_variable)]
struct Args {
    #[command(flatten)]
    config: Config,
    #[command(flatten)]
    log: LogArgs,
    /// The oldest version of the protocol that it speaks.
    #[arg(long)]
    oldest_protocol: u32,
    /// The newest one.
    #[arg(long)]
    protocol: u32,
}

#[tokio::main]
async fn main() -> ExitCode {
    ended("posthorn-data-plane-variant", run(Args::parse()).await)
}

async fn run(args: Args) -> Result<(), Box<dyn Error>> {
    let mut config = args.config;
    config.node_key = env::var("POSTHORN_NODE_KEY").ok().map(Into::into);
    init_logging(&args.log)?;
    let shutdown = shutdown_on_signal()?;
    let protocols = args.oldest_protocol..=args.protocol;
    let node = DataPlane::bind_speaking(config, protocols).await?;
    println!(
        "listening edge={} metrics={}",
        node.edge_addr(),
        node.metrics_addr()
    );
    node.serve(shutdown).await?;
    Ok(())
}
