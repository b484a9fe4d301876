//! A control plane in a process of its own.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process::{Command, ExitStatus},
    sync::Arc,
    time::Duration,
};

use tempfile::TempDir;

use crate::{
    Binaries, Client, Network,
    operations::{address, ready},
    process::Process,
};

/// A master key for databases that hold nothing worth a secret: base64 of 32 bytes.
const MASTER_KEY: &str = "cG9zdGhvcm4taGFybmVzcy10ZXN0LW1hc3Rlci1rZXk=";

/// No line of a log is like this.
const NEVER_LOGGED: &str = "\0";

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
    /// Where it serves gRPC. None: 127.0.0.1.
    pub listen: Option<IpAddr>,
    /// A network to run inside of, where it serves in plaintext.
    pub network: Option<Arc<Network>>,
    /// It is [`Binaries::control_plane_variant`]: [`ControlPlane::advance`] moves its clock.
    pub variant: bool,
}

/// A `posthorn-control-plane` that was started and may not be listening yet, killed when dropped.
#[derive(Debug)]
pub struct Starting {
    process: Process,
    options: ControlPlaneOptions,
    folder: Arc<TempDir>,
}

impl Starting {
    /// Starts one and waits for nothing.
    pub fn spawn(options: ControlPlaneOptions) -> Self {
        let folder = options.folder.clone().unwrap_or_else(|| {
            Arc::new(
                TempDir::with_prefix("posthorn-control-").expect("a temporary folder can be made"),
            )
        });
        let listen = options.listen.unwrap_or(host(&options).into());
        let grpc = SocketAddr::new(listen, 0);
        let process = spawn(&options, &folder, (grpc, Duration::ZERO));
        Self {
            process,
            options,
            folder,
        }
    }

    /// Waits until it logs a line that contains `part`. False when it ended without one.
    pub async fn logged(&self, part: &str) -> bool {
        self.process.logged(part).await
    }

    /// Waits until it listens.
    pub async fn listening(self) -> ControlPlane {
        let facts = self.process.stdout_line("listening ").await;
        let admin_key = self
            .process
            .stdout_so_far("bootstrap-admin-key ")
            .or_else(|| self.options.admin_key.clone());
        ControlPlane {
            grpc: address(&facts, "grpc"),
            metrics: address(&facts, "metrics"),
            admin_key: admin_key.unwrap_or_default(),
            process: self.process,
            options: self.options,
            folder: self.folder,
            moves: 0,
            ahead: Duration::ZERO,
        }
    }

    /// Waits until it ends without ever having listened, and returns what it logged.
    ///
    /// Panics when it ends as if all were well.
    pub async fn refused(mut self) -> String {
        let status = self.process.exited().await;
        let listened = self.process.stdout_so_far("listening ").is_some();
        // The end of the process closes its pipes; what was in them comes before that.
        let ended = !self.process.logged(NEVER_LOGGED).await;
        let logs = self.process.logs();
        assert!(ended && !status.success() && !listened, "{status}: {logs}");
        logs
    }
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
    /// How often its clock was moved since it was last started.
    moves: usize,
    /// How far its clock is ahead.
    ahead: Duration,
}

impl ControlPlane {
    /// Starts one, and waits until it listens.
    pub async fn start(options: ControlPlaneOptions) -> Self {
        Starting::spawn(options).listening().await
    }

    /// Starts it again after [`Self::kill`] or [`Self::terminate`], with the same database and gRPC address.
    pub async fn restart(&mut self) {
        self.process.kill();
        self.process = spawn(&self.options, &self.folder, (self.grpc, self.ahead));
        self.moves = 0;
        let facts = self.process.stdout_line("listening ").await;
        self.metrics = address(&facts, "metrics");
    }

    /// Moves its clock ahead, also for when it is started again. It must have been started with one that can be moved.
    pub async fn advance(&mut self, by: Duration) {
        assert!(self.options.variant, "its clock cannot be moved");
        self.ahead += by;
        self.moves += 1;
        let line = by.as_secs().to_string();
        self.process.ask(&line, "moved", self.moves).await;
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

    /// Waits until it logs a line that contains `part`, since it was last started. False when it ended without one.
    pub async fn logged(&self, part: &str) -> bool {
        self.process.logged(part).await
    }

    /// The URL of its database.
    pub fn database(&self) -> String {
        self.options.database.clone().unwrap_or_else(|| {
            let file = self.folder.path().join("posthorn.db");
            format!("sqlite:{}", file.display())
        })
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

/// Where it listens if nothing else is said.
fn host(options: &ControlPlaneOptions) -> Ipv4Addr {
    let network = options.network.as_deref();
    network.map_or(Ipv4Addr::LOCALHOST, Network::inside)
}

fn spawn(
    options: &ControlPlaneOptions,
    folder: &TempDir,
    (grpc, ahead): (SocketAddr, Duration),
) -> Process {
    let program = if options.variant {
        Binaries::control_plane_variant()
    } else {
        Binaries::control_plane()
    };
    let mut command = Command::new(program);
    if let Some(network) = &options.network {
        command = network.run_inside(&command, None);
        command.arg("--insecure-plaintext");
    }
    command.arg("--data-dir").arg(folder.path());
    let metrics = format!("{}:0", host(options));
    command.args(["--grpc-listen", &grpc.to_string()]);
    command.args(["--metrics-listen", &metrics]);
    command.args(["--allow-target", "127.0.0.0/8"]);
    if options.variant {
        command.args(["--ahead", &ahead.as_secs().to_string()]);
    }
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
