//! The public benchmark: starts the real programs, puts them under load, and prints what it measured and on what.
//!
//! Everything runs on this one machine: load generator, receiver, database, control plane and node. The figures are
//! medians of several runs. Nothing is asserted about them; the columns `must` and `aim` are what Posthorn sets itself.

#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark reads the clock and opens connections to what it measures"
)]

mod build;
mod ceiling;
mod latency;
mod load;
mod machine;
mod payload;
mod report;
mod scenario;
mod settings;
mod sink;
mod stage;
mod usage;
mod wire;

use clap::Parser as _;

use crate::{machine::Machine, report::Report, settings::Settings};

fn main() {
    let settings = Settings::parse();
    build::programs();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    let report = runtime.block_on(measure(settings));
    print!("{}", report.table());
    println!("{}", report.json());
}

async fn measure(settings: Settings) -> Report {
    let machine = Machine::look(settings.store).await;
    println!("{machine}");
    let mut report = Report::new(machine, settings.clone());
    for run in 1..=settings.runs {
        eprintln!(
            "{} on {}: run {run} of {}",
            settings.scenario, settings.store, settings.runs
        );
        let measures = scenario::run(&settings).await;
        for measure in &measures {
            eprintln!("  {measure}");
        }
        report.add(measures);
    }
    report
}
