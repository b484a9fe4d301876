//! What gRPC takes on, and what it refuses: connections, bytes, calls. The limits are made small here; what they are by
//! default is in docs/limits.md.

mod calls;
mod connections;
mod floods;
mod messages;

use std::net::SocketAddr;

use posthorn_harness::{ControlPlaneOptions, eventually, get};

use super::support::DEADLINE;

/// Options with these flags.
fn options(flags: &[(&str, &str)]) -> ControlPlaneOptions {
    let args = flags
        .iter()
        .flat_map(|(flag, value)| [format!("--grpc-{flag}"), (*value).to_owned()]);
    ControlPlaneOptions {
        args: args.collect(),
        ..ControlPlaneOptions::default()
    }
}

/// The value of a line of `/metrics` that begins so. 0 when there is none.
async fn metric(addr: SocketAddr, line: &str) -> f64 {
    let page = get(addr, "/metrics").await.expect("it answers").body;
    let found = page.lines().find_map(|text| text.strip_prefix(line));
    found.map_or(0.0, |value| value.trim().parse().expect("a number"))
}

/// Waits until something was refused for this reason.
async fn until_refused(addr: SocketAddr, reason: &str) {
    let line = format!("posthorn_grpc_refused_total{{reason=\"{reason}\"}}");
    eventually(&format!("{reason} is counted"), DEADLINE, async || {
        metric(addr, &line).await >= 1.0
    })
    .await;
}
