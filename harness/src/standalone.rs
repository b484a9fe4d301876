//! The standalone program, both planes in one process.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{Command, ExitStatus},
};

use tempfile::TempDir;

use crate::{
    Binaries, Client,
    operations::{address, ready},
    process::Process,
};

/// A running `posthorn` on `SQLite` in a temporary folder, killed when dropped.
#[derive(Debug)]
pub struct Standalone {
    /// Where it serves gRPC.
    pub grpc: SocketAddr,
    /// Where its control plane serves `/metrics` and `/readyz`.
    pub metrics: SocketAddr,
    /// Where its node serves `/metrics` and `/readyz`.
    pub node_metrics: SocketAddr,
    /// Where its node takes requests of providers.
    pub edge: SocketAddr,
    process: Process,
    folder: TempDir,
}

impl Standalone {
    /// Starts one, and waits until it listens.
    pub async fn start(args: &[&str]) -> Self {
        let folder =
            TempDir::with_prefix("posthorn-standalone-").expect("a temporary folder can be made");
        let mut command = Command::new(Binaries::standalone());
        command.arg("--data-dir").arg(folder.path());
        command
            .args([
                "--grpc-listen",
                "127.0.0.1:0",
                "--metrics-listen",
                "127.0.0.1:0",
                "--node-metrics-listen",
                "127.0.0.1:0",
                "--edge-listen",
                "127.0.0.1:0",
            ])
            .args(args);
        let process = Process::spawn("posthorn", command);
        let facts = process.stdout_line("listening ").await;
        Self {
            grpc: address(&facts, "grpc"),
            metrics: address(&facts, "metrics"),
            node_metrics: address(&facts, "node-metrics"),
            edge: address(&facts, "edge"),
            process,
            folder,
        }
    }

    /// Waits until its node's session stands.
    pub async fn ready(&self) {
        ready("the standalone node", self.node_metrics).await;
    }

    /// Connects with the key in `admin.key`.
    pub async fn admin(&self) -> Client {
        Client::connect(self.grpc, &self.key("admin.key")).await
    }

    /// Connects with the key in `default.key`, which is bound to the tenant `default`.
    pub async fn default_tenant(&self) -> Client {
        Client::connect(self.grpc, &self.key("default.key")).await
    }

    /// Asks it to end (SIGTERM), and waits until it has.
    pub async fn terminate(&mut self) -> ExitStatus {
        self.process.terminate().await
    }

    /// What it logged so far.
    pub fn logs(&self) -> String {
        self.process.logs()
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The data folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The key in a file of the data folder.
    pub fn key(&self, file: &str) -> String {
        let text =
            fs::read_to_string(self.folder.path().join(file)).expect("standalone wrote its keys");
        text.trim().to_owned()
    }
}
