//! What Posthorn sets itself for a figure.

use serde::Serialize;

/// Two bounds, and which side of them is good.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Goal {
    pub(super) must: f64,
    pub(super) aim: f64,
    pub(super) better: Better,
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Better {
    Higher,
    Lower,
}

impl Goal {
    /// The better of the two bounds that a value reaches.
    pub(super) fn verdict(self, value: f64) -> &'static str {
        let reaches = |bound: f64| match self.better {
            Better::Higher => value >= bound,
            Better::Lower => value <= bound,
        };
        match (reaches(self.aim), reaches(self.must)) {
            (true, _) => "aim",
            (false, true) => "must",
            (false, false) => "missed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_follows_the_better_direction() {
        let high = Goal {
            must: 10.0,
            aim: 20.0,
            better: Better::Higher,
        };
        let low = Goal {
            must: 20.0,
            aim: 10.0,
            better: Better::Lower,
        };
        for (value, of_high, of_low) in [
            (5.0, "missed", "aim"),
            (15.0, "must", "must"),
            (25.0, "aim", "missed"),
        ] {
            assert_eq!(high.verdict(value), of_high, "{value}");
            assert_eq!(low.verdict(value), of_low, "{value}");
        }
    }
}
