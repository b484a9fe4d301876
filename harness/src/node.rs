//! A data-plane node in a process of its own.

use std::{
    net::SocketAddr,
    process::{Command, ExitStatus},
};

use crate::{
    Binaries,
    operations::{address, ready},
    process::Process,
};

/// How a node is started.
#[derive(Clone, Debug)]
pub struct NodeOptions {
    /// Where its control plane serves gRPC.
    pub control_plane: SocketAddr,
    /// A key with the role node. Empty: the arguments say where it is.
    pub key: String,
    /// More command line arguments, put last.
    pub args: Vec<String>,
    /// More environment variables.
    pub env: Vec<(String, String)>,
    /// Whether the control plane serves TLS.
    pub tls: bool,
    /// The oldest and the newest version of the protocol that it speaks. None: those of this version.
    pub protocols: Option<(u32, u32)>,
}

impl NodeOptions {
    /// Nothing but what every node needs.
    pub fn new(control_plane: SocketAddr, key: &str) -> Self {
        Self {
            control_plane,
            key: key.to_owned(),
            args: Vec::new(),
            env: Vec::new(),
            tls: false,
            protocols: None,
        }
    }
}

/// A running `posthorn-data-plane`, killed when dropped. Delivers to 127.0.0.0/8 too.
#[derive(Debug)]
pub struct Node {
    /// Where it serves `/metrics` and `/readyz`.
    pub metrics: SocketAddr,
    /// Where it takes requests of providers.
    pub edge: SocketAddr,
    process: Process,
    options: NodeOptions,
}

impl Node {
    /// Starts one, and waits until it listens; see [`Self::ready`] for its session.
    pub async fn start(options: NodeOptions) -> Self {
        let process = spawn(&options);
        let facts = process.stdout_line("listening ").await;
        Self {
            metrics: address(&facts, "metrics"),
            edge: address(&facts, "edge"),
            process,
            options,
        }
    }

    /// Starts it again after [`Self::kill`] or [`Self::terminate`]. It is then a new node with the same key.
    pub async fn restart(&mut self) {
        self.process.kill();
        self.process = spawn(&self.options);
        let facts = self.process.stdout_line("listening ").await;
        self.metrics = address(&facts, "metrics");
        self.edge = address(&facts, "edge");
    }

    /// Waits until its session with the control plane stands.
    pub async fn ready(&self) {
        ready("the node", self.metrics).await;
    }

    /// Kills it at once (SIGKILL).
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Asks it to end (SIGTERM), and waits until it has.
    pub async fn terminate(&mut self) -> ExitStatus {
        self.process.terminate().await
    }

    /// Waits until it ends by itself.
    pub async fn exited(&mut self) -> ExitStatus {
        self.process.exited().await
    }

    /// Waits until it logs a line that contains `part`, since it was last started. False when it ended without one.
    pub async fn logged(&self, part: &str) -> bool {
        self.process.logged(part).await
    }

    /// What it logged since it was last started.
    pub fn logs(&self) -> String {
        self.process.logs()
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }
}

fn spawn(options: &NodeOptions) -> Process {
    let mut command = Command::new(match options.protocols {
        None => Binaries::data_plane(),
        Some(_) => Binaries::data_plane_variant(),
    });
    if let Some((oldest, newest)) = options.protocols {
        command.args(["--oldest-protocol", &oldest.to_string()]);
        command.args(["--protocol", &newest.to_string()]);
    }
    let scheme = if options.tls { "https" } else { "http" };
    command.args([
        "--control-plane",
        &format!("{scheme}://{}", options.control_plane),
    ]);
    command.args([
        "--metrics-listen",
        "127.0.0.1:0",
        "--edge-listen",
        "127.0.0.1:0",
        "--allow-target",
        "127.0.0.0/8",
    ]);
    if !options.key.is_empty() {
        command.env("POSTHORN_NODE_KEY", &options.key);
    }
    command
        .args(&options.args)
        .envs(options.env.iter().cloned());
    Process::spawn("the node", command)
}
