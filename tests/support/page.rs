//! The tables of a page in Markdown.

use std::fs;

use super::source;

/// The text of a page, named from the top of the source tree.
pub(crate) fn read(path: &str) -> String {
    let text = fs::read_to_string(source().join(path));
    text.unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The cells of every row, without the heads of tables. A bar within a cell is written with a backslash.
pub(crate) fn rows(text: &str) -> Vec<Vec<String>> {
    let is_rule = |line: &str| line.starts_with("| ---");
    let following = text.lines().skip(1).chain([""]);
    let lines = text.lines().zip(following);
    let rows =
        lines.filter(|(line, next)| line.starts_with("| ") && !is_rule(line) && !is_rule(next));
    rows.map(|(line, _)| cells(line)).collect()
}

fn cells(line: &str) -> Vec<String> {
    let line = line.replace("\\|", "\u{0}");
    let cells = line.trim_matches('|').split('|');
    cells
        .map(|cell| cell.trim().replace('\u{0}', "|"))
        .collect()
}
