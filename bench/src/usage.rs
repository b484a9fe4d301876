//! What a load costs: CPU time of each process, and log written by the database.

use std::time::Duration;

use crate::report::Measure;

/// CPU time used so far by each process, and bytes written ahead.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    pub(crate) control: Duration,
    pub(crate) node: Duration,
    pub(crate) database: Duration,
    /// Load generator and receiver.
    pub(crate) bench: Duration,
    /// All processes of the machine, ours among them.
    pub(crate) machine: Duration,
    /// `PostgreSQL` only.
    pub(crate) wal_bytes: Option<u64>,
}

impl Usage {
    /// What was used since `earlier`, for each of `deliveries`.
    pub(crate) fn per_delivery(&self, earlier: &Self, deliveries: u64) -> Vec<Measure> {
        let mut measures = self.per("delivery", earlier, deliveries);
        if let Some(all) = measures.first_mut() {
            *all = all.clone().at_most(120.0, 70.0);
        }
        measures
    }

    /// What was used since `earlier`, for each of `requests`.
    pub(crate) fn per_request(&self, earlier: &Self, requests: u64) -> Vec<Measure> {
        self.per("request", earlier, requests)
    }

    /// The planes and the database together first, then each alone.
    fn per(&self, what: &str, earlier: &Self, count: u64) -> Vec<Measure> {
        let micros = |who: &str, now: Duration, then: Duration| {
            let micros = now.saturating_sub(then).as_secs_f64() * 1e6;
            Measure::new(
                format!("CPU per {what}, {who}"),
                "µs",
                micros / float(count),
            )
        };
        let mut measures = vec![
            micros(
                "both planes and database",
                self.posthorn(),
                earlier.posthorn(),
            ),
            micros("control plane", self.control, earlier.control),
            micros("node", self.node, earlier.node),
        ];
        if let (Some(now), Some(then)) = (self.wal_bytes, earlier.wal_bytes) {
            measures.push(micros("PostgreSQL", self.database, earlier.database));
            measures.push(Measure::new(
                format!("WAL per {what}"),
                "B",
                float(now.saturating_sub(then)) / float(count),
            ));
        }
        measures.push(micros("load and receiver", self.bench, earlier.bench));
        measures
    }

    /// How many cores all other processes of the machine kept busy since `earlier`. Figures of a run in which this is
    /// not near zero say little.
    pub(crate) fn others(&self, earlier: &Self, took: Duration) -> Measure {
        let machine = self.machine.saturating_sub(earlier.machine);
        let ours =
            (self.posthorn() + self.bench).saturating_sub(earlier.posthorn() + earlier.bench);
        let cores = machine.saturating_sub(ours).as_secs_f64() / took.as_secs_f64();
        Measure::new("cores that other processes kept busy", "", cores)
    }

    fn posthorn(&self) -> Duration {
        self.control + self.node + self.database
    }
}

/// A count as a measure's value. Counts here are far below 2^52.
#[expect(clippy::cast_precision_loss, reason = "counts here are far below 2^52")]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}

/// How many a second.
pub(crate) fn rate(count: u64, took: Duration) -> f64 {
    float(count) / took.as_secs_f64()
}

/// Bytes as MiB.
pub(crate) fn mebibytes(bytes: u64) -> f64 {
    float(bytes) / 1_048_576.0
}
