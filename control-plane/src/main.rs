//! `posthorn-control-plane`: settings, logs, bind, serve.

use std::process::ExitCode;

use clap::Parser;
use posthorn_control_plane::{Config, ControlPlane, Given, bootstrap::Scope};
use posthorn_telemetry::{LogArgs, ended, init_logging, shutdown_on_signal, with_variable};
use secrecy::ExposeSecret as _;

#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The plane of Posthorn that owns the registry, the schedule and the database.
#[derive(Debug, Parser)]
#[command(name = "posthorn-control-plane", version, mut_args = with_variable)]
struct Args {
    #[command(flatten)]
    config: Config,
    #[command(flatten)]
    log: LogArgs,
}

#[tokio::main]
async fn main() -> ExitCode {
    ended("posthorn-control-plane", run(Args::parse()).await)
}

async fn run(args: Args) -> Result<(), Box<dyn std::error::Error>> {
    init_logging(&args.log)?;
    let shutdown = shutdown_on_signal()?;
    let config = args.config.with_environment();
    let control = ControlPlane::bind(config, Scope::Installation, Given::default(), |keys| {
        println!("bootstrap-admin-key {}", keys.admin.expose_secret());
        Ok(())
    })
    .await?;
    println!(
        "listening grpc={} metrics={}",
        control.addr(),
        control.metrics_addr()
    );
    Ok(control.serve(shutdown).await?)
}
