//! Figures: medians over the runs, as an aligned table and as JSON.

mod goal;
mod table;

use std::fmt;

use serde::Serialize;

use crate::{machine::Machine, settings::Settings};
use goal::{Better, Goal};

/// One measured value of one run.
#[derive(Clone, Debug)]
pub(crate) struct Measure {
    name: String,
    unit: &'static str,
    value: f64,
    goal: Option<Goal>,
}

impl Measure {
    pub(crate) fn new(name: impl Into<String>, unit: &'static str, value: f64) -> Self {
        Self {
            name: name.into(),
            unit,
            value,
            goal: None,
        }
    }

    /// Sets the goal: at least `must`, better `aim`.
    #[must_use]
    pub(crate) fn at_least(mut self, must: f64, aim: f64) -> Self {
        self.goal = Some(Goal {
            must,
            aim,
            better: Better::Higher,
        });
        self
    }

    /// Sets the goal: at most `must`, better `aim`.
    #[must_use]
    pub(crate) fn at_most(mut self, must: f64, aim: f64) -> Self {
        self.goal = Some(Goal {
            must,
            aim,
            better: Better::Lower,
        });
        self
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} {}",
            self.name,
            table::number(self.value),
            self.unit
        )
    }
}

/// What was measured, under which settings, on which machine.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    machine: Machine,
    settings: Settings,
    figures: Vec<Figure>,
}

#[derive(Debug, Serialize)]
struct Figure {
    name: String,
    unit: &'static str,
    median: f64,
    runs: Vec<f64>,
    #[serde(flatten)]
    goal: Option<Goal>,
}

impl Report {
    pub(crate) fn new(machine: Machine, settings: Settings) -> Self {
        Self {
            machine,
            settings,
            figures: Vec::new(),
        }
    }

    /// Adds what one run measured.
    pub(crate) fn add(&mut self, measures: Vec<Measure>) {
        for measure in measures {
            let known = self
                .figures
                .iter_mut()
                .find(|figure| figure.name == measure.name);
            if let Some(figure) = known {
                figure.runs.push(measure.value);
                figure.median = median(&figure.runs);
            } else {
                let Measure {
                    name,
                    unit,
                    value,
                    goal,
                } = measure;
                self.figures.push(Figure {
                    name,
                    unit,
                    median: value,
                    runs: vec![value],
                    goal,
                });
            }
        }
    }

    /// The report for people.
    pub(crate) fn table(&self) -> String {
        table::table(&self.figures)
    }

    /// The report for programs, on one line.
    pub(crate) fn json(&self) -> String {
        serde_json::to_string(self).expect("a report is plain data")
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted[middle]
    } else {
        f64::midpoint(sorted[middle - 1], sorted[middle])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_middle_or_between_the_two_in_the_middle() {
        for (values, expected) in [
            (&[4.0][..], 4.0),
            (&[9.0, 1.0, 5.0], 5.0),
            (&[1.0, 2.0, 4.0, 100.0], 3.0),
        ] {
            assert!(
                (median(values) - expected).abs() < f64::EPSILON,
                "{values:?}"
            );
        }
    }
}
