//! Starts the real programs, databases and receivers that the tests and the benchmark run against.
//!
//! Everything listens on a port of the system's choice on 127.0.0.1, lives in temporary folders, and ends when its
//! value is dropped. Waiting is for a line, an answer or a condition, with a deadline and never for a fixed time.
//! Whatever goes wrong here panics with the log of the program concerned: a test cannot go on without it. Linux only,
//! for `/proc`.

#![expect(clippy::panic, reason = "a test ends where its surroundings fail")]
#![expect(
    clippy::disallowed_methods,
    reason = "the harness is an edge: it stands for the callers and receivers of Posthorn on loopback"
)]

mod authority;
mod binaries;
mod client;
mod control_plane;
mod deployment;
mod dribbler;
mod network;
mod node;
mod operations;
mod postgres;
mod process;
mod procfs;
mod provider;
mod receiver;
mod small_disk;
mod sql;
mod standalone;
mod terminal;
mod wait;

pub use authority::{Authority, CertificateFiles};
pub use binaries::Binaries;
pub use client::{Authorized, Bearer, Client};
pub use control_plane::{ControlPlane, ControlPlaneOptions, Starting};
pub use deployment::{Deployment, StoreKind};
pub use dribbler::{Dribble, Dribbled, Dribblers};
pub use network::Network;
pub use node::{Node, NodeOptions};
pub use operations::{Page, get};
pub use postgres::{Postgres, PostgresOptions};
pub use procfs::{cpu_time, machine_cpu_time, peak_rss_bytes, rss_bytes, tree_cpu_time};
pub use provider::{Posted, Provider, ProviderConnection, STANDARD_WEBHOOKS};
pub use receiver::{Answer, Arrival, Received, Receiver, Refused, Request};
pub use small_disk::SmallDisk;
pub use sql::Sql;
pub use standalone::Standalone;
pub use terminal::{Shell, Terminal};
pub use wait::eventually;
