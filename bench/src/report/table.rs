//! Figures as text for people.

use super::Figure;

const HEAD: [&str; 8] = [
    "figure", "median", "lowest", "highest", "unit", "must", "aim", "reached",
];

/// The columns that hold words; the others hold numbers.
const WORDS: [usize; 3] = [0, 4, 7];

/// An aligned table, each line with its newline.
pub(super) fn table(figures: &[Figure]) -> String {
    let mut rows = vec![HEAD.map(str::to_owned)];
    rows.extend(figures.iter().map(row));
    let widths: Vec<usize> = (0..HEAD.len())
        .map(|column| {
            let lengths = rows.iter().map(|row| row[column].chars().count());
            lengths.max().unwrap_or_default()
        })
        .collect();
    rows.iter().map(|row| line(row, &widths)).collect()
}

/// Two decimals below ten, one below a thousand, whole numbers with separators above.
pub(super) fn number(value: f64) -> String {
    if value.abs() < 10.0 {
        return format!("{value:.2}");
    }
    if value.abs() < 1000.0 {
        return format!("{value:.1}");
    }
    let sign = if value < 0.0 { "-" } else { "" };
    let digits = format!("{:.0}", value.abs());
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{sign}{grouped}")
}

fn row(figure: &Figure) -> [String; 8] {
    let lowest = figure.runs.iter().copied().fold(f64::INFINITY, f64::min);
    let highest = figure
        .runs
        .iter()
        .copied()
        .fold(f64::NEG_INFINITY, f64::max);
    let [must, aim, verdict] = match figure.goal {
        Some(goal) => [
            number(goal.must),
            number(goal.aim),
            goal.verdict(figure.median).to_owned(),
        ],
        None => Default::default(),
    };
    [
        figure.name.clone(),
        number(figure.median),
        number(lowest),
        number(highest),
        figure.unit.to_owned(),
        must,
        aim,
        verdict,
    ]
}

fn line(row: &[String], widths: &[usize]) -> String {
    let mut line = String::new();
    for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
        let padded = if WORDS.contains(&column) {
            format!("{cell:<width$}  ")
        } else {
            format!("{cell:>width$}  ")
        };
        line.push_str(&padded);
    }
    format!("{}\n", line.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (value, expected) in [
            (0.345_6, "0.35"),
            (12.34, "12.3"),
            (999.94, "999.9"),
            (1000.0, "1,000"),
            (1_234_567.8, "1,234,568"),
            (-12_345.0, "-12,345"),
        ] {
            assert_eq!(number(value), expected);
        }
    }

    #[test]
    fn columns_are_aligned() {
        let figure = |name: &str, median: f64| Figure {
            name: name.to_owned(),
            unit: "/s",
            median,
            runs: vec![median],
            goal: None,
        };
        let text = table(&[figure("short", 7.0), figure("a longer name", 12_345.0)]);
        let ends: Vec<usize> = text
            .lines()
            .skip(1)
            .filter_map(|line| line.find("/s"))
            .collect();
        assert_eq!(ends.len(), 2);
        assert_eq!(ends[0], ends[1], "{text}");
    }
}
