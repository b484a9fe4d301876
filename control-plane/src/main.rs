//! `posthorn-control-plane`: settings, logs, bind, serve.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use posthorn_control_plane::{Config, ControlPlane, Given, bootstrap::Scope};
use posthorn_telemetry::{
    LogArgs, ended, init_logging, keep_memory_in, shutdown_on_signal, with_variable,
};
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
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a new admin key of the installation and print it; the control plane must not run meanwhile
    AdminKey,
}

#[tokio::main]
async fn main() -> ExitCode {
    ended("posthorn-control-plane", run(Args::parse()).await)
}

async fn run(args: Args) -> Result<(), Box<dyn std::error::Error>> {
    init_logging(&args.log)?;
    keep_memory_in();
    if let Some(Command::AdminKey) = args.command {
        let config = args.config.with_environment();
        let key = ControlPlane::make_admin_key(&config, Given::default()).await?;
        println!("admin-key {}", key.expose_secret());
        return Ok(());
    }
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
