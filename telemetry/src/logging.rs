//! Logs: one line per event on stderr, for people or for machines.
//!
//! Nothing is buffered and nothing is rotated: that is for whoever runs the process. What may be logged is decided where
//! it is logged; this module redacts nothing.

use std::io::{self, IsTerminal as _};

use clap::{Args, ValueEnum};
use tracing_subscriber::{
    EnvFilter, filter::ParseError, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _,
    util::TryInitError,
};

const DEFAULT_FILTER: &str = "info";

/// The settings of the log, as every binary takes them.
#[derive(Args, Clone, Debug)]
pub struct LogArgs {
    /// What to log: a level, or levels per module such as `info,posthorn_control_plane=debug`
    #[arg(long = "log", value_name = "FILTER", default_value = DEFAULT_FILTER)]
    pub filter: String,
    /// How to write it
    #[arg(
        long = "log-format",
        value_name = "FORMAT",
        value_enum,
        default_value_t
    )]
    pub format: LogFormat,
}

impl Default for LogArgs {
    fn default() -> Self {
        Self {
            filter: DEFAULT_FILTER.to_owned(),
            format: LogFormat::default(),
        }
    }
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum LogFormat {
    /// For people; in colour when stderr is a terminal.
    #[default]
    Human,
    /// One JSON object per line, its fields at the top level.
    Json,
}

/// Why logging could not begin.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is not one.
    #[error("the log filter cannot be understood")]
    Filter(#[from] ParseError),
    /// Logging was begun before in this process.
    #[error("logging was begun before")]
    AlreadyBegun(#[from] TryInitError),
}

/// Begins to log to stderr. Works once per process.
///
/// # Errors
///
/// [`LogError::Filter`] for a filter that cannot be parsed, [`LogError::AlreadyBegun`] for a second call.
pub fn init_logging(args: &LogArgs) -> Result<(), LogError> {
    let registry =
        tracing_subscriber::registry().with(EnvFilter::builder().parse(args.filter.as_str())?);
    let lines = fmt::layer().with_writer(io::stderr);
    match args.format {
        LogFormat::Human => registry
            .with(lines.with_ansi(io::stderr().is_terminal()))
            .try_init()?,
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).try_init()?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        log: LogArgs,
    }

    #[test]
    fn flags_are_read() {
        let cli = Cli::parse_from(["x", "--log", "debug,h2=warn", "--log-format", "json"]);
        assert_eq!(cli.log.filter, "debug,h2=warn");
        assert_eq!(cli.log.format, LogFormat::Json);
    }

    #[test]
    fn a_filter_that_cannot_be_parsed_is_refused() {
        let args = LogArgs {
            filter: "posthorn=chatty".to_owned(),
            ..LogArgs::default()
        };
        assert!(matches!(init_logging(&args), Err(LogError::Filter(_))));
    }

    #[test]
    fn logging_begins_once() {
        init_logging(&LogArgs::default()).expect("the first call begins it");
        let second = init_logging(&LogArgs::default());
        assert!(matches!(second, Err(LogError::AlreadyBegun(_))));
    }
}
