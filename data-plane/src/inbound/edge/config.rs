//! The edge's settings. The comments are the texts of `--help`.

use std::{net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

use clap::Args;

use super::{client_address::TrustedProxy, host::EdgeHost};

/// How a node's edge takes requests.
#[derive(Debug, Clone, Args)]
pub struct EdgeConfig {
    /// Where requests of providers are taken
    #[arg(
        long = "edge-listen",
        value_name = "ADDR",
        default_value = "127.0.0.1:8080"
    )]
    pub listen: SocketAddr,

    /// PEM file with the edge's certificate chain; read again when it changes
    #[arg(
        id = "edge-tls-cert",
        long = "edge-tls-cert",
        value_name = "FILE",
        requires = "edge-tls-key"
    )]
    pub tls_cert: Option<PathBuf>,

    /// PEM file with the private key of the edge's certificate; read again when it changes
    #[arg(
        id = "edge-tls-key",
        long = "edge-tls-key",
        value_name = "FILE",
        requires = "edge-tls-cert"
    )]
    pub tls_key: Option<PathBuf>,

    /// Take requests without TLS on an address that is not loopback: only behind a proxy that adds TLS
    #[arg(long = "edge-behind-tls-proxy")]
    pub behind_tls_proxy: bool,

    /// A host that is served, with or without a port; can be given several times, or as a list with commas; any host if
    /// none is given
    #[arg(long = "edge-host", value_name = "HOST", value_delimiter = ',')]
    pub hosts: Vec<EdgeHost>,

    /// Addresses of proxies that are believed about the client's address; can be given several times, or as a list with
    /// commas
    #[arg(
        long = "edge-trusted-proxy",
        value_name = "CIDR",
        value_delimiter = ','
    )]
    pub trusted_proxies: Vec<TrustedProxy>,

    /// How many requests may be in flight at one time; one source has at most a quarter of them
    #[arg(
        long = "edge-requests-in-flight",
        value_name = "N",
        default_value_t = 4096,
        value_parser = at_least_1::<usize>
    )]
    pub requests_in_flight: usize,

    /// How many bytes of bodies may be in memory at one time
    #[arg(
        id = "edge-bytes-in-flight",
        long = "edge-bytes-in-flight",
        value_name = "BYTES",
        default_value_t = 64 * 1024 * 1024
    )]
    pub bytes_in_flight: usize,

    /// How many connections there may be at one time; for one more the longest idle one is closed, or else it waits
    #[arg(
        id = "edge-connections",
        long = "edge-connections",
        value_name = "N",
        default_value_t = 1024,
        value_parser = at_least_1::<usize>
    )]
    pub connections: usize,

    /// How many connections one address may have at one time; more are closed
    #[arg(
        long = "edge-connections-per-address",
        value_name = "N",
        default_value_t = 64,
        value_parser = at_least_1::<usize>
    )]
    pub connections_per_address: usize,

    /// After how many requests a connection is closed
    #[arg(
        long = "edge-requests-per-connection",
        value_name = "N",
        default_value_t = 10_000,
        value_parser = at_least_1::<u32>
    )]
    pub requests_per_connection: u32,

    /// The longest head of a request, in bytes
    #[arg(
        long = "edge-head-bytes",
        value_name = "BYTES",
        default_value_t = 16 * 1024,
        hide_short_help = true,
        value_parser = at_most_16_kib
    )]
    pub head_bytes: usize,

    /// The most headers of a request: at most 64
    #[arg(
        long = "edge-headers",
        value_name = "N",
        default_value_t = 64,
        hide_short_help = true,
        value_parser = at_most_64
    )]
    pub headers: usize,

    /// The longest target of a request, in bytes
    #[arg(long = "edge-target-bytes", value_name = "BYTES", default_value_t = 4 * 1024, hide_short_help = true)]
    pub target_bytes: usize,

    /// How long a head may take from its first byte, and how long a new connection may say nothing, in seconds
    #[arg(
        long = "edge-head-timeout",
        value_name = "SECONDS",
        default_value = "5",
        hide_short_help = true,
        value_parser = seconds
    )]
    pub head_timeout: Duration,

    /// How long a body may take in all, in seconds
    #[arg(
        id = "edge-body-timeout",
        long = "edge-body-timeout",
        value_name = "SECONDS",
        default_value = "10",
        hide_short_help = true,
        value_parser = seconds
    )]
    pub body_timeout: Duration,

    /// How fast a body must come after its first 5 seconds, in bytes a second; 0 for as slowly as it likes
    #[arg(
        long = "edge-body-bytes-per-second",
        value_name = "BYTES",
        default_value_t = 1024,
        hide_short_help = true
    )]
    pub body_bytes_per_second: u64,

    /// How long a connection may be idle between requests, in seconds: longer than a proxy in front keeps it
    #[arg(
        id = "edge-idle-timeout",
        long = "edge-idle-timeout",
        value_name = "SECONDS",
        default_value = "75",
        hide_short_help = true,
        value_parser = seconds
    )]
    pub idle_timeout: Duration,

    /// How old a connection gets before it takes no more requests, in seconds
    #[arg(
        id = "edge-connection-age",
        long = "edge-connection-age",
        value_name = "SECONDS",
        default_value = "3600",
        hide_short_help = true,
        value_parser = seconds
    )]
    pub connection_age: Duration,

    /// How long TLS may take to begin, in seconds
    #[arg(
        long = "edge-tls-timeout",
        value_name = "SECONDS",
        default_value = "5",
        hide_short_help = true,
        value_parser = seconds
    )]
    pub tls_timeout: Duration,

    /// How often to look whether the certificate's files changed, in seconds
    #[arg(
        long = "edge-tls-reload",
        value_name = "SECONDS",
        default_value = "5",
        hide_short_help = true,
        value_parser = seconds
    )]
    pub tls_reload: Duration,
}

/// Settings that do not fit together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EdgeConfigError {
    /// Providers would post in the clear.
    #[error(
        "the edge on {0} needs --edge-tls-cert and --edge-tls-key, because what providers post would travel in the clear; \
         behind a proxy that adds TLS, give --edge-behind-tls-proxy"
    )]
    Plaintext(SocketAddr),
    /// Half of what TLS takes.
    #[error("--edge-tls-cert and --edge-tls-key must be given together")]
    HalfTls,
}

impl EdgeConfig {
    /// The files of certificate and key, or none where requests may be taken without TLS.
    pub(super) fn tls_files(&self) -> Result<Option<(PathBuf, PathBuf)>, EdgeConfigError> {
        match (&self.tls_cert, &self.tls_key) {
            (Some(cert), Some(key)) => Ok(Some((cert.clone(), key.clone()))),
            (None, None) if self.behind_tls_proxy || self.listen.ip().is_loopback() => Ok(None),
            (None, None) => Err(EdgeConfigError::Plaintext(self.listen)),
            _ => Err(EdgeConfigError::HalfTls),
        }
    }
}

impl Default for EdgeConfig {
    fn default() -> Self {
        posthorn_telemetry::defaults()
    }
}

/// Whole seconds or parts of them, more than none.
fn seconds(text: &str) -> Result<Duration, &'static str> {
    let seconds = text.parse().map_err(|_| "must be a number")?;
    let duration = Duration::try_from_secs_f64(seconds).map_err(|_| "must be a time")?;
    if duration.is_zero() {
        return Err("must be more than 0");
    }
    Ok(duration)
}

fn at_least_1<T: FromStr + From<u8> + PartialOrd>(text: &str) -> Result<T, &'static str> {
    let number = text.parse().ok().filter(|number| *number >= T::from(1));
    number.ok_or("must be at least 1")
}

/// What the control plane takes as a head.
fn at_most_16_kib(text: &str) -> Result<usize, &'static str> {
    let bytes = text
        .parse()
        .ok()
        .filter(|bytes| (256..=16 * 1024).contains(bytes));
    bytes.ok_or("must be 256 to 16384")
}

/// What the control plane takes as headers.
fn at_most_64(text: &str) -> Result<usize, &'static str> {
    let count = text.parse().ok().filter(|count| (1..=64).contains(count));
    count.ok_or("must be 1 to 64")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_tls_only_loopback_is_served_unless_a_proxy_adds_it() {
        let file = || Some(PathBuf::from("file"));
        for (listen, cert, key, behind, expected) in [
            ("127.0.0.1:80", None, None, false, Ok(false)),
            ("[::1]:80", None, None, false, Ok(false)),
            ("192.0.2.1:80", None, None, true, Ok(false)),
            ("192.0.2.1:80", file(), file(), false, Ok(true)),
            (
                "127.0.0.1:80",
                file(),
                None,
                false,
                Err(EdgeConfigError::HalfTls),
            ),
        ] {
            let config = EdgeConfig {
                listen: listen.parse().expect(listen),
                tls_cert: cert,
                tls_key: key,
                behind_tls_proxy: behind,
                ..EdgeConfig::default()
            };
            let tls = config.tls_files().map(|files| files.is_some());
            assert_eq!(tls, expected, "{listen}");
        }
        let config = EdgeConfig {
            listen: SocketAddr::from(([0, 0, 0, 0], 80)),
            ..EdgeConfig::default()
        };
        let error = config.tls_files().expect_err("plaintext for everybody");
        assert!(
            error.to_string().contains("--edge-behind-tls-proxy"),
            "{error}"
        );
    }

    #[test]
    fn times_are_seconds_or_parts_of_them() {
        assert_eq!(seconds("5"), Ok(Duration::from_secs(5)));
        assert_eq!(seconds("0.25"), Ok(Duration::from_millis(250)));
        for bad in ["0", "-1", "soon", "nan", "1e30", ""] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn limits_that_take_nothing_or_more_than_the_control_plane_does_are_refused() {
        assert_eq!(at_least_1::<usize>("1"), Ok(1));
        assert!(at_least_1::<u32>("0").is_err() && at_least_1::<u32>("4294967296").is_err());
        assert_eq!(at_most_64("64"), Ok(64));
        assert!(at_most_64("65").is_err() && at_most_64("0").is_err());
        assert_eq!(at_most_16_kib("16384"), Ok(16_384));
        assert!(at_most_16_kib("16385").is_err());
    }
}
