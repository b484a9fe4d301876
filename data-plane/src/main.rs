//! `posthorn-data-plane`: one node. Settings, logs, bind, serve.

use std::{env, error::Error, process::ExitCode};

use clap::Parser;
use posthorn_data_plane::{Config, DataPlane};
use posthorn_telemetry::{
    LogArgs, ended, init_logging, keep_memory_in, shutdown_on_signal, with_variable,
};

#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// A Posthorn node: performs the requests that the control plane leases to it, and forwards what providers post
#[derive(Debug, Parser)]
#[command(name = "posthorn-data-plane", version, mut_args = with_variable)]
struct Cli {
    #[command(flatten)]
    config: Config,
    #[command(flatten)]
    log: LogArgs,
}

#[tokio::main]
async fn main() -> ExitCode {
    ended("posthorn-data-plane", run(Cli::parse()).await)
}

async fn run(cli: Cli) -> Result<(), Box<dyn Error>> {
    init_logging(&cli.log)?;
    keep_memory_in();
    let mut config = cli.config;
    config.node_key = env::var("POSTHORN_NODE_KEY").ok().map(Into::into);
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
