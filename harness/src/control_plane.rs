//! A control plane in a process of its own.

use std::{net::SocketAddr, process::Command, process::ExitStatus, sync::Arc};

use tempfile::TempDir;

use crate::{
    Binaries, Client,
    operations::{address, ready},
    process::Process,
};

/// A master key for databases that hold nothing worth a secret: base64 of 32 bytes.
const MASTER_KEY: &str = "cG9zdGhvcm4taGFybmVzcy10ZXN0LW1hc3Rlci1rZXk=";

/// How a control plane is started. The default is `SQLite` in a fresh folder.
#[derive(Clone, Debug, Default)]
pub struct ControlPlaneOptions {
    /// The database's URL. None: `SQLite` in the data folder.
    pub database: Option<String>,
    /// The data folder. None: a temporary one, which outlives restarts.
    pub folder: Option<Arc<TempDir>>,
    /// More command line arguments, put last.
    pub args: Vec<String>,
    /// More environment variables.
    pub env: Vec<(String, String)>,
    /// The key of a database that has one already and hence prints none.
    pub admin_key: Option<String>,
}

/// A running `posthorn-control-plane`, killed when dropped. Delivers to 127.0.0.0/8 too.
#[derive(Debug)]
pub struct ControlPlane {
    /// Where it serves gRPC. The same after a restart.
    pub grpc: SocketAddr,
    /// Where it serves `/metrics` and `/readyz`.
    pub metrics: SocketAddr,
    /// The key that its database was begun with: admin of the installation.
    pub admin_key: String,
    process: Process,
    options: ControlPlaneOptions,
    folder: Arc<TempDir>,
}

impl ControlPlane {
    /// Starts one, and waits until it listens.
    pub async fn start(options: ControlPlaneOptions) -> Self {
        let folder = options.folder.clone().unwrap_or_else(|| {
            Arc::new(
                TempDir::with_prefix("posthorn-control-").expect("a temporary folder can be made"),
            )
        });
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let process = spawn(&options, &folder, any_port);
        let facts = process.stdout_line("listening ").await;
        let admin_key = process
            .stdout_so_far("bootstrap-admin-key ")
            .or_else(|| options.admin_key.clone());
        Self {
            grpc: address(&facts, "grpc"),
            metrics: address(&facts, "metrics"),
            admin_key: admin_key.unwrap_or_default(),
            process,
            options,
            folder,
        }
    }

    /// Starts it again after [`Self::kill`] or [`Self::terminate`], with the same database and gRPC address.
    pub async fn restart(&mut self) {
        self.process.kill();
        self.process = spawn(&self.options, &self.folder, self.grpc);
        let facts = self.process.stdout_line("listening ").await;
        self.metrics = address(&facts, "metrics");
    }

    /// Waits until `/readyz` says that it is ready.
    pub async fn ready(&self) {
        ready("the control plane", self.metrics).await;
    }

    /// Connects with the bootstrap key.
    pub async fn admin(&self) -> Client {
        Client::connect(self.grpc, &self.admin_key).await
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

    /// What it logged since it was last started.
    pub fn logs(&self) -> String {
        self.process.logs()
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The data folder.
    pub fn folder(&self) -> &Arc<TempDir> {
        &self.folder
    }
}

fn spawn(options: &ControlPlaneOptions, folder: &TempDir, grpc: SocketAddr) -> Process {
    let mut command = Command::new(Binaries::control_plane());
    command.arg("--data-dir").arg(folder.path());
    command.args([
        "--grpc-listen",
        &grpc.to_string(),
        "--metrics-listen",
        "127.0.0.1:0",
    ]);
    command.args(["--allow-target", "127.0.0.0/8"]);
    if let Some(database) = &options.database {
        command
            .args(["--database", database])
            .env("POSTHORN_MASTER_KEY", MASTER_KEY);
    }
    command
        .args(&options.args)
        .envs(options.env.iter().cloned());
    Process::spawn("the control plane", command)
}
