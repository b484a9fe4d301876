//! What the figures were measured on.

use std::{fmt, fs, process::Command, thread};

use posthorn_harness::Postgres;
use serde::Serialize;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, sqlite::SqliteConnectOptions};

use crate::settings::Store;

/// The machine and the versions of what the figures depend on.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    cores: usize,
    cpu: String,
    memory_gib: u64,
    kernel: String,
    rustc: String,
    store: String,
}

impl Machine {
    /// Asks the system, the compiler and the database.
    pub(crate) async fn look(store: Store) -> Self {
        let kibibytes: u64 = proc_value("/proc/meminfo", "MemTotal")
            .and_then(|text| text.trim_end_matches(" kB").parse().ok())
            .unwrap_or_default();
        Self {
            cores: thread::available_parallelism().map_or(1, usize::from),
            cpu: proc_value("/proc/cpuinfo", "model name").unwrap_or_else(unknown),
            memory_gib: kibibytes.div_ceil(1024 * 1024),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")
                .map_or_else(|_| unknown(), trimmed),
            rustc: rustc(),
            store: match store {
                Store::Sqlite => sqlite().await,
                Store::Postgres => postgres().await,
            },
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            cores,
            cpu,
            memory_gib,
            kernel,
            rustc,
            store,
        } = self;
        writeln!(
            f,
            "machine   {cores} cores of {cpu}, {memory_gib} GiB, Linux {kernel}"
        )?;
        writeln!(f, "compiler  {rustc}")?;
        writeln!(f, "store     {store}")
    }
}

fn proc_value(file: &str, label: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let (_, value) = text
        .lines()
        .find(|line| line.starts_with(label))?
        .split_once(':')?;
    Some(value.trim().to_owned())
}

fn rustc() -> String {
    let output = Command::new("rustc").arg("--version").output().ok();
    output
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .map_or_else(unknown, trimmed)
}

/// The version of the library that is built into this program and into the control plane alike.
async fn sqlite() -> String {
    let mut connection = SqliteConnectOptions::new()
        .in_memory(true)
        .connect()
        .await
        .expect("memory can be opened");
    let version: String = sqlx::query_scalar("select sqlite_version()")
        .fetch_one(&mut connection)
        .await
        .expect("SQLite has a version");
    format!("SQLite {version}, WAL, synchronous=FULL")
}

async fn postgres() -> String {
    let postgres = Postgres::start().await;
    let mut connection = PgConnection::connect(&postgres.url())
        .await
        .expect("PostgreSQL accepts connections");
    let version: String = sqlx::query_scalar("show server_version")
        .fetch_one(&mut connection)
        .await
        .expect("PostgreSQL has a version");
    format!(
        "PostgreSQL {version}, fsync=on, synchronous_commit=on, full_page_writes=on, shared_buffers=256MB"
    )
}

fn trimmed(text: impl AsRef<str>) -> String {
    text.as_ref().trim().to_owned()
}

fn unknown() -> String {
    "unknown".to_owned()
}
