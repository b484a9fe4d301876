//! The orderly end of a process: SIGTERM and SIGINT become a cancelled token, and SIGHUP ends nothing.
//!
//! What a process does between the signal and its end, and how long that may take, is its own affair.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// The exit code of a process that was told twice: as a shell reports a death by SIGINT.
const IMPATIENT_EXIT_CODE: i32 = 130;

/// Returns a token that the first SIGTERM or SIGINT cancels. A second one ends the process at once with code 130.
///
/// From this call on, neither signal kills the process by itself, nor does SIGHUP. Must be called within a tokio runtime with I/O.
///
/// # Errors
///
/// When the operating system refuses to register the signals.
pub fn shutdown_on_signal() -> io::Result<CancellationToken> {
    let terminate = signal(SignalKind::terminate())?;
    let interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(hear_hangups(signal(SignalKind::hangup())?));
    let shutdown = CancellationToken::new();
    tokio::spawn(watch(terminate, interrupt, shutdown.clone()));
    Ok(shutdown)
}

async fn watch(mut terminate: Signal, mut interrupt: Signal, shutdown: CancellationToken) {
    either(&mut terminate, &mut interrupt).await;
    info!("told to stop: finishing what is under way");
    shutdown.cancel();
    either(&mut terminate, &mut interrupt).await;
    warn!("told to stop again: ending at once");
    exit_at_once();
}

/// Keeps a SIGHUP from ending the process: whoever reads files waits for it by itself.
async fn hear_hangups(mut hangups: Signal) {
    while hangups.recv().await.is_some() {
        info!("told by SIGHUP to read certificates and keys again");
    }
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "whoever asks twice does not want to wait for `main` to return"
)]
fn exit_at_once() -> ! {
    std::process::exit(IMPATIENT_EXIT_CODE)
}

#[cfg(test)]
mod tests {
    use std::{env, future, process::Stdio};

    use tokio::{
        io::{AsyncBufReadExt as _, BufReader},
        process::Command,
    };

    use super::*;

    /// Tells the test below that it is to be the process that gets the signals.
    const AS_SUBJECT: &str = "POSTHORN_TEST_SIGNAL_SUBJECT";

    async fn send(signal: &str, pid: u32) {
        let status = Command::new("kill")
            .args([signal, &pid.to_string()])
            .status()
            .await
            .expect("kill can be run");
        assert!(status.success());
    }

    /// Not a test of its own: the process under test, started by the one below.
    #[tokio::test]
    async fn subject() {
        if env::var_os(AS_SUBJECT).is_none() {
            return;
        }
        let shutdown = shutdown_on_signal().expect("signals can be registered");
        println!("\nregistered");
        shutdown.cancelled().await;
        println!("\ncancelled");
        future::pending::<()>().await;
    }

    async fn check(first: &str, second: &str) {
        let mut process = Command::new(env::current_exe().expect("this binary has a path"))
            .args(["--exact", "shutdown::tests::subject", "--nocapture"])
            .env(AS_SUBJECT, "1")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("this binary can be started");
        let pid = process.id().expect("it runs");
        let mut lines = BufReader::new(process.stdout.take().expect("stdout is piped")).lines();
        for (line, signal) in [("registered", first), ("cancelled", second)] {
            while lines
                .next_line()
                .await
                .expect("stdout can be read")
                .as_deref()
                != Some(line)
            {}
            send(signal, pid).await;
        }
        let status = process.wait().await.expect("it ends");
        assert_eq!(status.code(), Some(IMPATIENT_EXIT_CODE));
    }

    #[tokio::test]
    async fn the_first_signal_cancels_and_the_second_ends_the_process() {
        check("-TERM", "-TERM").await;
        check("-INT", "-TERM").await;
    }
}
