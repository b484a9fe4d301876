//! The command line.

use std::fmt;

use clap::{Parser, ValueEnum};
use serde::Serialize;

/// Measures Posthorn on this machine. The last line of the output is the report as JSON.
#[derive(Clone, Debug, Parser, Serialize)]
#[command(version)]
pub(crate) struct Settings {
    /// What to measure.
    pub(crate) scenario: Scenario,
    /// The database. `PostgreSQL` is started for the benchmark, with its default durable settings, and has written half a
    /// GiB of log before anything is measured, as one has that ran for a while.
    #[arg(long, default_value = "sqlite")]
    pub(crate) store: Store,
    /// How many events a run emits [throughput, emit and abuse: 200,000; backlog: 1,000,000].
    #[arg(long)]
    pub(crate) events: Option<u64>,
    /// How many endpoints there are [16; latency: 10; isolation: 100].
    #[arg(long)]
    pub(crate) endpoints: Option<u32>,
    /// To how many endpoints each event goes (throughput).
    #[arg(long, default_value_t = 1)]
    pub(crate) fan_out: u32,
    /// The size of an event's payload in bytes [512; inbound and slow-clients: 1,024].
    #[arg(long, value_parser = clap::value_parser!(u32).range(64..=262_144))]
    payload: Option<u32>,
    /// How often everything is measured; the figures are medians.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) runs: u32,
    /// How many events each request of the emit stream carries.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) batch: u32,
    /// How many deliveries may be emitted and not yet arrived [throughput: 4,000], or events not yet acknowledged
    /// [emit and backlog: 10,000].
    #[arg(long)]
    pub(crate) window: Option<u32>,
    /// How many unary calls are under way at one time [emit: 256; throughput: none, the events go over one stream].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) calls: Option<u32>,
    /// How long each open-loop load and the drain of a backlog take, in seconds.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) seconds: u32,
    /// Events per second of the open loop (isolation).
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rate: u32,
}

impl Settings {
    /// The size of a payload in bytes.
    pub(crate) fn payload(&self) -> u32 {
        self.payload.unwrap_or(match self.scenario {
            Scenario::Inbound | Scenario::SlowClients => 1_024,
            _ => 512,
        })
    }
}

/// What to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Scenario {
    /// Deliveries per second from the emit to the durable outcome, and what each costs.
    Throughput,
    /// Acknowledged durable emits per second, one by one and as a stream.
    Emit,
    /// The time from the emit to the arrival at moderate rates.
    Latency,
    /// What one dead and one slow endpoint do to the others.
    Isolation,
    /// Inbound requests per second and the time of their answers, beside a bare server under the same load.
    Inbound,
    /// What 2,000 connections that dribble do to honest providers.
    SlowClients,
    /// Memory with many open deliveries, the rate of draining them, and memory of an idle standalone process.
    Backlog,
    /// What attackers with no key, a tenant's key and a node's key can take, and what honest callers notice.
    Abuse,
    /// What a change costs in a registry with many event types or endpoints.
    Registry,
    /// What this machine does without Posthorn: the bare POST loop and bare commits.
    Ceiling,
}

/// The database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Store {
    /// Embedded in the control plane.
    Sqlite,
    /// A server of its own.
    Postgres,
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        value_name(self, f)
    }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        value_name(self, f)
    }
}

fn value_name(value: &impl ValueEnum, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let name = value.to_possible_value().expect("no value is hidden");
    f.write_str(name.get_name())
}
