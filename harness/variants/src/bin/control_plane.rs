//! A control plane as no installation has it: of another version of the nodes' protocol, with a source of randomness that
//! repeats itself, or with a clock that is moved by its standard input. Each line there is a number of seconds to move it ahead by, and is answered by a line `moved`.

use std::{io::BufRead as _, process::ExitCode, thread, time::Duration};

use clap::Parser;
use posthorn_control_plane::{Clock, Config, ControlPlane, Entropy, Given, bootstrap::Scope};
use posthorn_telemetry::{LogArgs, ended, init_logging, shutdown_on_signal, with_variable};
use secrecy::ExposeSecret as _;

/// A control plane as no installation has it.
#[derive(Debug, Parser)]
#[command(mut_args = with_variable)]
struct Args {
    #[command(flatten)]
    config: Config,
    #[command(flatten)]
    log: LogArgs,
    /// How many seconds the clock is ahead at the start.
    #[arg(long, default_value_t = 0)]
    ahead: u64,
    /// What its source of randomness is seeded with. None: the system's source.
    #[arg(long)]
    seed: Option<u64>,
    /// The oldest version of the nodes' protocol that it speaks.
    #[arg(long, default_value_t = 2)]
    oldest_protocol: u32,
    /// The newest one.
    #[arg(long, default_value_t = 2)]
    protocol: u32,
}

#[tokio::main]
async fn main() -> ExitCode {
    ended("posthorn-control-plane-variant", run(Args::parse()).await)
}

async fn run(args: Args) -> Result<(), Box<dyn std::error::Error>> {
    init_logging(&args.log)?;
    let shutdown = shutdown_on_signal()?;
    let clock = Clock::system();
    clock.advance(Duration::from_secs(args.ahead));
    let movable = clock.clone();
    thread::spawn(move || follow(&movable));
    let config = args.config.with_environment();
    let given = Given {
        clock,
        entropy: args.seed.map_or_else(Entropy::system, Entropy::seeded),
        protocols: args.oldest_protocol..=args.protocol,
    };
    let control = ControlPlane::bind(config, Scope::Installation, given, |keys| {
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

/// Moves the clock as standard input says, until that ends.
fn follow(clock: &Clock) {
    for line in std::io::stdin().lock().lines() {
        let seconds = line.ok().and_then(|line| line.trim().parse().ok());
        let Some(seconds) = seconds else { return };
        clock.advance(Duration::from_secs(seconds));
        println!("moved");
    }
}
