//! A `PostgreSQL` cluster of one's own, with the durable settings that it comes with.

mod account;
mod programs;

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    os::unix::process::CommandExt as _,
    path::Path,
    process::Command,
    sync::{Arc, Weak},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tempfile::TempDir;
use tokio::sync::Mutex;

use crate::{Network, process::Process, procfs, wait::eventually};
use account::Account;
use programs::Programs;

/// How often another port is tried when the one picked was taken meanwhile.
const PORT_ATTEMPTS: u32 = 5;

/// Where people expect it.
const USUAL_PORT: u16 = 5_432;

const CRASH_DEADLINE: Duration = Duration::from_secs(30);

/// Where a cluster is. The default is a temporary folder, and 127.0.0.1.
#[derive(Clone, Debug, Default)]
pub struct PostgresOptions {
    /// The folder that holds everything, such as a small disk.
    pub folder: Option<Arc<TempDir>>,
    /// A network to run inside of.
    pub network: Option<Arc<Network>>,
    /// Where people expect it: inside its network at 127.0.0.1:5432, administered by `postgres`.
    pub is_usual: bool,
}

/// A `PostgreSQL` server on 127.0.0.1 with a fresh cluster in a temporary folder. Ends when dropped.
#[derive(Debug)]
pub struct Postgres {
    process: Process,
    /// Processes of a server that was killed and may not be gone yet.
    remains: Vec<u32>,
    port: u16,
    programs: Programs,
    account: Option<Account>,
    network: Option<Arc<Network>>,
    folder: Arc<TempDir>,
}

impl Postgres {
    /// Makes a cluster and starts its server.
    ///
    /// Panics when `PostgreSQL` is not installed. The server never runs as root: then it gets the account `postgres`,
    /// or else `nobody`.
    pub async fn start() -> Self {
        Self::start_with(PostgresOptions::default()).await
    }

    /// The same somewhere else.
    pub async fn start_with(options: PostgresOptions) -> Self {
        let programs = Programs::find();
        let account = Account::needed();
        let folder = options.folder.unwrap_or_else(|| {
            let folder = TempDir::with_prefix("posthorn-postgres-");
            Arc::new(folder.expect("a temporary folder can be made"))
        });
        if let Some(account) = &account {
            account.give(folder.path());
        }
        let administrator = if options.is_usual {
            "postgres"
        } else {
            "posthorn"
        };
        initialize(&programs, account.as_ref(), folder.path(), administrator);
        let network = options.network;
        for _ in 0..PORT_ATTEMPTS {
            let port = if options.is_usual {
                USUAL_PORT
            } else {
                free_port()
            };
            let process = spawn(
                &programs,
                account.as_ref(),
                network.as_deref(),
                folder.path(),
                port,
            );
            if process.logged(READY).await {
                let remains = Vec::new();
                return Self {
                    process,
                    remains,
                    port,
                    programs,
                    account,
                    network,
                    folder,
                };
            }
            let log = process.logs();
            assert!(
                log.contains("could not bind"),
                "PostgreSQL does not start:\n{log}"
            );
        }
        panic!("no free port for PostgreSQL in {PORT_ATTEMPTS} tries");
    }

    /// The server that the tests of one program share, as long as one of them holds it. For what does not kill it.
    pub async fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Postgres>> = Mutex::const_new(Weak::new());
        let mut shared = SHARED.lock().await;
        if let Some(running) = shared.upgrade() {
            return running;
        }
        let started = Arc::new(Self::start().await);
        *shared = Arc::downgrade(&started);
        started
    }

    /// The URL of the database `postgres`, which every cluster has.
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// Makes an empty database, replacing one of the same name, and returns its URL.
    pub async fn database(&self, name: &str) -> String {
        let mut connection = PgConnection::connect(&self.url())
            .await
            .expect("PostgreSQL accepts connections");
        for statement in [
            format!(r#"drop database if exists "{name}" with (force)"#),
            format!(r#"create database "{name}""#),
        ] {
            connection
                .execute(AssertSqlSafe(statement))
                .await
                .expect("a database can be made");
        }
        connection.close().await.expect("the connection closes");
        self.url_of(name)
    }

    /// Kills the server and every process of it at once, as a crash of the machine's database would.
    pub fn kill(&mut self) {
        // Stopped, the server can fork nothing between our look at its children and their end.
        self.process.signal(Signal::STOP);
        self.remains = procfs::children(self.pid());
        for child in self
            .remains
            .iter()
            .filter_map(|pid| Pid::from_raw(i32::try_from(*pid).ok()?))
        {
            // One that ended by itself meanwhile is what we want.
            let _ = kill_process(child, Signal::KILL);
        }
        self.process.kill();
    }

    /// Starts a killed server again, on the same port and data, and waits until it accepts connections.
    pub async fn restart(&mut self) {
        self.process.kill();
        let remains = &self.remains;
        eventually("the killed server is gone", CRASH_DEADLINE, async || {
            !remains.iter().any(|pid| procfs::is_running(*pid))
        })
        .await;
        self.process = spawn(
            &self.programs,
            self.account.as_ref(),
            self.network.as_deref(),
            self.folder.path(),
            self.port,
        );
        let ready = self.process.logged(READY).await;
        assert!(
            ready,
            "PostgreSQL does not start again:
{}",
            self.logs()
        );
    }

    /// The process id of the server's first process, the parent of all others.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The CPU time that all of the server's processes have used since it was started.
    pub fn cpu_time(&self) -> Duration {
        procfs::tree_cpu_time(self.pid())
    }

    /// What the server wrote to its log since it was last started.
    pub fn logs(&self) -> String {
        self.process.logs()
    }

    /// The folder with everything that the server keeps.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Whether the server runs. One that could not write its log ends by itself.
    pub fn is_running(&self) -> bool {
        procfs::is_running(self.pid())
    }

    fn url_of(&self, database: &str) -> String {
        let host = host(self.network.as_deref());
        format!("postgres://posthorn@{host}:{}/{database}", self.port)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Ends the server and its children without a last checkpoint, and takes milliseconds.
        self.process.signal(Signal::QUIT);
        self.process.wait();
    }
}

const READY: &str = "database system is ready to accept connections";

fn initialize(programs: &Programs, account: Option<&Account>, folder: &Path, administrator: &str) {
    let mut command = as_account(programs.initdb(), account);
    command.arg(format!("--username={administrator}")).args([
        "--auth=trust",
        "--encoding=UTF8",
        "--locale=C",
    ]);
    command
        .args(["--no-sync", "--no-instructions", "--pgdata"])
        .arg(folder.join("data"));
    command.current_dir(folder);
    let output = command.output().expect("initdb can be run");
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "initdb failed:\n{log}");
    let rules = folder.join("data/pg_hba.conf");
    let written = fs::write(rules, "local all all trust\nhost all all all trust\n");
    written.expect("the rules can be written");
}

fn spawn(
    programs: &Programs,
    account: Option<&Account>,
    network: Option<&Network>,
    folder: &Path,
    port: u16,
) -> Process {
    let mut command = match network {
        Some(network) => {
            let account = account.map(|account| (account.user, account.group));
            network.run_inside(&programs.postgres(), account)
        }
        None => as_account(programs.postgres(), account),
    };
    command.arg("-D").arg(folder.join("data"));
    for setting in [
        format!("listen_addresses={},{}", Ipv4Addr::LOCALHOST, host(network)),
        format!("port={port}"),
        format!("unix_socket_directories={}", folder.display()),
        "shared_buffers=256MB".to_owned(),
        // In the data folder, so that a killed server leaves nothing behind.
        "dynamic_shared_memory_type=mmap".to_owned(),
        "timezone=UTC".to_owned(),
        "log_timezone=UTC".to_owned(),
    ] {
        command.arg("-c").arg(setting);
    }
    command.current_dir(folder);
    Process::spawn("PostgreSQL", command)
}

/// Where a server listens.
fn host(network: Option<&Network>) -> Ipv4Addr {
    network.map_or(Ipv4Addr::LOCALHOST, Network::inside)
}

fn as_account(mut command: Command, account: Option<&Account>) -> Command {
    if let Some(account) = account {
        command.uid(account.user).gid(account.group);
    }
    command
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
    listener
        .local_addr()
        .expect("a listener has an address")
        .port()
}
