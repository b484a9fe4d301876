//! The node's settings. The comments are the texts of `--help`.

use std::{net::SocketAddr, num::ParseIntError, path::PathBuf, time::Duration};

use clap::Args;
use posthorn_guard::AllowList;
use secrecy::SecretString;

use crate::inbound::edge::EdgeConfig;

/// How many leases a node may hold at most.
const CAPACITY_MAX: i64 = 8_192;

/// How a node runs.
#[derive(Debug, Clone, Args)]
pub struct Config {
    /// The control plane's URL; https for TLS
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:50051")]
    pub control_plane: String,

    /// The file with the node's API key; instead of it, the key can be in the variable `POSTHORN_NODE_KEY`
    #[arg(long, value_name = "FILE")]
    pub node_key_file: Option<PathBuf>,

    /// The node's API key itself. Goes before the file. Never a flag: process lists show those.
    #[arg(skip)]
    pub node_key: Option<SecretString>,

    /// PEM file with the roots that the control plane's certificate is verified with, instead of the public ones
    #[arg(long, value_name = "FILE")]
    pub control_plane_ca: Option<PathBuf>,

    /// How many leases the node holds at one time: 1 to 8192
    #[arg(
        long,
        value_name = "N",
        default_value_t = 4096,
        value_parser = clap::value_parser!(u32).range(1..=CAPACITY_MAX)
    )]
    pub capacity: u32,

    /// Addresses and hosts that may be delivered to although they are private, or over plain http: `CIDR[:PORTS]` or
    /// `NAME[:PORTS]`, such as 10.1.0.0/16:443,8000-9000, `[::1]/128:80`, app:8080 or *.internal; can be given several
    /// times, or as a list with commas
    #[arg(long, value_name = "PLACE[:PORTS]")]
    pub allow_target: Vec<AllowList>,

    /// PEM file with roots that are trusted for endpoints besides the public ones
    #[arg(long, value_name = "FILE")]
    pub extra_ca: Option<PathBuf>,

    /// What people call this node: at most 100 printable characters; the host's name if not given
    #[arg(long, value_name = "NAME", env = "POSTHORN_NODE_NAME", value_parser = parse_name)]
    pub name: Option<String>,

    /// Where metrics and health are served
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9464")]
    pub metrics_listen: SocketAddr,

    /// How long a shutdown waits for attempts and for their outcomes to be committed, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = parse_seconds)]
    pub drain_timeout: Duration,

    /// How requests of providers are taken.
    #[command(flatten)]
    pub edge: EdgeConfig,
}

impl Default for Config {
    fn default() -> Self {
        posthorn_telemetry::defaults()
    }
}

fn parse_seconds(text: &str) -> Result<Duration, ParseIntError> {
    text.parse().map(Duration::from_secs)
}

fn parse_name(text: &str) -> Result<String, &'static str> {
    let printable = !text.chars().any(char::is_control);
    if printable && (1..=100).contains(&text.chars().count()) {
        Ok(text.to_owned())
    } else {
        Err("must be 1 to 100 printable characters")
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        config: Config,
    }

    fn parse(flags: &[&str]) -> Result<Config, clap::Error> {
        let program = ["node"].iter().chain(flags);
        Cli::try_parse_from(program).map(|cli| cli.config)
    }

    #[test]
    fn without_flags_the_settings_are_the_defaults() {
        let parsed = parse(&[]).expect("no flag is needed");
        assert_eq!(format!("{parsed:?}"), format!("{:?}", Config::default()));
    }

    #[test]
    fn allowed_targets_can_be_given_several_times_and_as_lists() {
        let flags = [
            "--allow-target",
            "127.0.0.0/8:80,90",
            "--allow-target",
            "::1,10.0.0.1",
        ];
        let allow: AllowList = parse(&flags)
            .expect("good flags")
            .allow_target
            .into_iter()
            .collect();
        for (address, covered) in [
            ("127.0.0.1:90", true),
            ("[::1]:5", true),
            ("10.0.0.1:443", true),
            ("127.0.0.1:91", false),
        ] {
            assert_eq!(
                allow.covers(address.parse().expect(address)),
                covered,
                "{address}"
            );
        }
    }

    #[test]
    fn bad_settings_are_refused() {
        for flags in [
            ["--capacity", "0"],
            ["--capacity", "8193"],
            ["--allow-target", "local host"],
            ["--name", ""],
            ["--drain-timeout", "soon"],
            ["--metrics-listen", "9464"],
        ] {
            assert!(parse(&flags).is_err(), "{flags:?}");
        }
    }
}
