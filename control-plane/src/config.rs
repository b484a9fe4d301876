//! The control plane's settings. The comments are the texts of `--help`.
//!
//! Values that can be wrong by themselves are refused while they are read. Whether they fit together is said by
//! [`Config::transport`] and by the start itself.

mod forward;
mod limits;
mod tenant_limits;
mod value;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};
use posthorn_guard::AllowList;
use secrecy::SecretString;

use crate::retry::RetryPolicy;
pub use forward::ForwardConfig;
pub use limits::{Limits, LimitsError};
pub use tenant_limits::TenantLimits;
pub use value::{DatabaseUrl, PublicUrl, PublicUrlError};
use value::{parse_days, parse_payload_bytes, parse_seconds};

/// The variable that can hold the master keys.
pub const MASTER_KEY_VARIABLE: &str = "POSTHORN_MASTER_KEY";
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// How a control plane runs.
#[derive(Debug, Clone, Args)]
pub struct Config {
    /// The database: `sqlite:PATH` or `postgres://USER@HOST/NAME`; a file in the data directory if not given
    #[arg(long, value_name = "URL", hide_env_values = true)]
    pub database: Option<DatabaseUrl>,

    /// Where the embedded database and its master key are kept
    #[arg(long, value_name = "DIR", default_value = "./posthorn-data")]
    pub data_dir: PathBuf,

    /// Where gRPC is served
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:50051")]
    pub grpc_listen: SocketAddr,

    /// Where metrics and health are served
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9464")]
    pub metrics_listen: SocketAddr,

    /// The file with the keys that secrets are encrypted under: base64 of 32 bytes each, one a line, the current one
    /// first. It is read again every 30 s. Instead of it, the keys can be in the variable `POSTHORN_MASTER_KEY`
    #[arg(long, value_name = "FILE")]
    pub master_key_file: Option<PathBuf>,

    /// The master keys themselves. Go before the file. Never a flag: process lists show those.
    #[arg(skip)]
    pub master_key: Option<SecretString>,

    /// PEM file with the certificate that gRPC is served with, and those that it was signed with
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,

    /// PEM file with the certificate's private key
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,

    /// Serve gRPC without TLS on an address that is not loopback: only behind something that adds TLS
    #[arg(long)]
    pub insecure_plaintext: bool,

    /// Addresses and hosts that endpoints may have although they are private, or over plain http: `CIDR[:PORTS]` or
    /// `NAME[:PORTS]`, such as 10.1.0.0/16:443,8000-9000, `[::1]/128:80`, app:8080 or *.internal; can be given several
    /// times, or as a list with commas
    #[arg(long, value_name = "PLACE[:PORTS]")]
    pub allow_target: Vec<AllowList>,

    /// Where providers reach the edge, such as `https://in.example.com`: what the URLs of sources begin with, and what
    /// providers sign whose scheme covers the URL. Without it sources show the path alone
    #[arg(long, value_name = "URL")]
    pub public_url: Option<PublicUrl>,

    /// Start even though the database is set up to lose acknowledged events in a crash
    #[arg(long)]
    pub allow_unsafe_durability: bool,

    /// Start even though secrets are sealed under a master key that is missing: deliveries and requests that need them wait
    #[arg(long)]
    pub allow_missing_master_key: bool,

    /// When failed deliveries are tried again, unless the endpoint or its tenant says otherwise
    #[arg(long, value_name = "POLICY", value_enum, default_value_t)]
    pub retry_policy: RetryPreset,

    /// How long an event's payload may be, in bytes: at most 1048576
    #[arg(long, value_name = "BYTES", default_value = "262144", value_parser = parse_payload_bytes)]
    pub payload_bytes_max: usize,

    /// How much each tenant can have of what is kept in memory.
    #[command(flatten)]
    pub tenant_limits: TenantLimits,

    /// For how many days events and attempts are kept: 1 to 3650
    #[arg(long, value_name = "DAYS", default_value = "30", value_parser = parse_days)]
    pub event_retention_days: u16,

    /// For how many days dead letters wait for a retry: 1 to 3650
    #[arg(long, value_name = "DAYS", default_value = "7", value_parser = parse_days)]
    pub dead_letter_retention_days: u16,

    /// For how many days the records of who did what are kept: 1 to 3650
    #[arg(long, value_name = "DAYS", default_value = "400", value_parser = parse_days)]
    pub audit_retention_days: u16,

    /// How long a shutdown waits for calls and for outcomes to be committed, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = parse_seconds)]
    pub drain_timeout: Duration,

    /// How much of what nodes forward is held.
    #[command(flatten)]
    pub forward: ForwardConfig,
    /// How much gRPC takes on.
    #[command(flatten)]
    pub limits: Limits,
}

/// The retry policies that a deployment can have as its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum RetryPreset {
    /// 5 attempts over 1 h 21 min
    #[default]
    Default,
    /// 10 attempts over 3 days
    Long,
}

/// How gRPC is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transport {
    /// Over TLS.
    Tls {
        /// The certificate chain, PEM.
        certificate: PathBuf,
        /// Its private key, PEM.
        key: PathBuf,
    },
    /// In plaintext on a loopback address.
    Loopback,
    /// In plaintext for everybody who can reach the address: worth a warning.
    Insecure,
}

/// Settings that do not fit together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Keys would travel in the clear.
    #[error(
        "gRPC on {0} needs --tls-cert and --tls-key, because API keys travel over it; \
         behind a proxy that adds TLS, give --insecure-plaintext"
    )]
    Plaintext(SocketAddr),
    /// Half of what TLS takes.
    #[error("--tls-cert and --tls-key must be given together")]
    HalfTls,
    /// Limits that leave nothing to callers.
    #[error(transparent)]
    Limits(#[from] LimitsError),
}

impl Default for Config {
    fn default() -> Self {
        posthorn_telemetry::defaults()
    }
}

impl Config {
    /// Takes the master keys from the environment, where they are not a flag's business.
    #[must_use]
    pub fn with_environment(mut self) -> Self {
        if self.master_key.is_none() {
            let text = std::env::var(MASTER_KEY_VARIABLE).ok();
            self.master_key = text.filter(|text| !text.is_empty()).map(SecretString::from);
        }
        self
    }

    /// The database to open: the one that was given, or a file in the data directory.
    pub fn database_url(&self) -> DatabaseUrl {
        self.database
            .clone()
            .unwrap_or_else(|| self.default_database())
    }

    /// The embedded database in the data directory.
    pub fn default_database(&self) -> DatabaseUrl {
        DatabaseUrl::sqlite(&self.data_dir.join("posthorn.db"))
    }

    /// How gRPC is to be served.
    pub fn transport(&self) -> Result<Transport, ConfigError> {
        match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => Ok(Transport::Tls {
                certificate: certificate.clone(),
                key: key.clone(),
            }),
            (None, None) if self.grpc_listen.ip().is_loopback() => Ok(Transport::Loopback),
            (None, None) if self.insecure_plaintext => Ok(Transport::Insecure),
            (None, None) => Err(ConfigError::Plaintext(self.grpc_listen)),
            _ => Err(ConfigError::HalfTls),
        }
    }

    /// Whether the limits of gRPC fit together.
    pub fn check_limits(&self) -> Result<(), ConfigError> {
        Ok(self.limits.check()?)
    }

    /// What endpoints may reach besides the public internet.
    pub fn allow_list(&self) -> AllowList {
        self.allow_target.iter().cloned().collect()
    }

    /// For how long events and attempts are kept, in milliseconds.
    pub fn event_retention_ms(&self) -> i64 {
        i64::from(self.event_retention_days) * DAY_MS
    }

    /// For how long dead letters are kept, in milliseconds.
    pub fn dead_letter_retention_ms(&self) -> i64 {
        i64::from(self.dead_letter_retention_days) * DAY_MS
    }

    /// For how long records of who did what are kept, in milliseconds.
    pub fn audit_retention_ms(&self) -> i64 {
        i64::from(self.audit_retention_days) * DAY_MS
    }

    /// The policy of endpoints that have none, of tenants that have none.
    pub(crate) fn default_policy(&self) -> RetryPolicy {
        match self.retry_policy {
            RetryPreset::Default => RetryPolicy::Default,
            RetryPreset::Long => RetryPolicy::Long,
        }
    }
}

#[cfg(test)]
mod tests;
