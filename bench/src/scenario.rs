//! What can be measured, one file each.

mod abuse;
mod backlog;
mod ceiling;
mod emit;
mod inbound;
mod isolation;
mod latency;
mod registry;
mod slow_clients;
mod throughput;

use crate::{
    report::Measure,
    settings::{Scenario, Settings},
};

/// Makes one run of the scenario that the settings name.
pub(crate) async fn run(settings: &Settings) -> Vec<Measure> {
    match settings.scenario {
        Scenario::Throughput => throughput::run(settings).await,
        Scenario::Emit => emit::run(settings).await,
        Scenario::Inbound => inbound::run(settings).await,
        Scenario::Latency => latency::run(settings).await,
        Scenario::Isolation => isolation::run(settings).await,
        Scenario::SlowClients => slow_clients::run(settings).await,
        Scenario::Backlog => backlog::run(settings).await,
        Scenario::Abuse => abuse::run(settings).await,
        Scenario::Registry => registry::run(settings).await,
        Scenario::Ceiling => ceiling::run(settings).await,
    }
}
