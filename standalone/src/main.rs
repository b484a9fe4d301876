//! `posthorn`: both planes in one process, over loopback gRPC, with nothing to configure.
//!
//! What runs is what runs separately: the planes do not know that they share a process. Only the start differs: the node
//! gets a key that lives in memory, addresses of this machine may be delivered to, and the first keys are written to
//! files that the commands of the README use.

mod demo;
mod greeting;
mod keys;
mod planes;

use std::{error::Error, process::ExitCode};

use clap::{Parser, Subcommand};
use posthorn_control_plane::{ControlPlane, Given};
use posthorn_telemetry::{
    LogArgs, ended, init_logging, keep_memory_in, shutdown_on_signal, with_variable,
};

use planes::{PlaneArgs, Planes};

#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Carries events between your services and the outside world, and loses none: both planes in one process.
#[derive(Debug, Parser)]
#[command(name = "posthorn", version, args_conflicts_with_subcommands = false, mut_args = with_variable)]
struct Args {
    #[command(flatten)]
    planes: PlaneArgs,
    #[command(flatten)]
    log: LogArgs,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show it at work: a receiver of its own, two endpoints, a dozen events, every attempt as it happens
    Demo,
    /// Make a new admin key of the installation, print it and write it to admin.key; Posthorn must not run meanwhile
    AdminKey,
}

#[tokio::main]
async fn main() -> ExitCode {
    ended("posthorn", run(Args::parse()).await)
}

async fn run(args: Args) -> Result<(), Box<dyn Error>> {
    let shutdown = shutdown_on_signal()?;
    if let Some(Command::Demo) = args.command {
        return demo::run(args.planes, args.log, shutdown).await;
    }
    init_logging(&args.log)?;
    keep_memory_in();
    if let Some(Command::AdminKey) = args.command {
        let config = args.planes.control.with_environment();
        let key = ControlPlane::make_admin_key(&config, Given::default()).await?;
        return Ok(keys::write_admin(&config.data_dir, &key)?);
    }
    let planes = Planes::bind(args.planes).await?;
    greeting::print(&planes);
    planes.serve(shutdown).await
}
