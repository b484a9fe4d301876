//! `docs/settings.md` says every setting as it is: its flag, its variable and its default as the programs print them.

use std::{collections::BTreeMap, path::PathBuf};

use posthorn_harness::Binaries;

use super::support::{
    help::{self, Flag},
    page,
};

const PAGE: &str = "docs/settings.md";

/// A row of the page. What is a variable alone has no flag.
struct Row {
    flag: String,
    variable: String,
    default: String,
}

/// Rows by flag, or by variable where there is no flag.
type Rows = BTreeMap<String, Row>;

#[test]
fn the_tables_of_settings_are_as_the_programs_say() {
    let text = page::read(PAGE);
    let (head, tables) = tables(&text);
    let mut unread = tables.keys().copied().collect::<Vec<_>>();
    let mut faults = Vec::new();
    for cells in page::rows(head) {
        let [program, titles] = &cells[..] else {
            panic!("{PAGE}: not a program with its tables: {cells:?}");
        };
        let titles = titles.split(", ").collect::<Vec<_>>();
        let program = program.trim_matches('`');
        let rows = rows(&titles, &tables);
        let found = compare(&help::help(&path(program)), &rows);
        faults.extend(found.iter().map(|fault| format!("{program}: {fault}")));
        unread.retain(|title| !titles.contains(title));
    }
    faults.extend(
        unread
            .iter()
            .map(|title| format!("no program takes `{title}`")),
    );
    assert!(faults.is_empty(), "{PAGE}:\n{}", faults.join("\n"));
}

fn path(program: &str) -> PathBuf {
    match program {
        "posthorn-control-plane" => Binaries::control_plane(),
        "posthorn-data-plane" => Binaries::data_plane(),
        "posthorn" => Binaries::standalone(),
        _ => panic!("{PAGE}: there is no program {program}"),
    }
}

/// What stands before the first heading, and what stands under each.
fn tables(text: &str) -> (&str, BTreeMap<&str, &str>) {
    let mut sections = text.split("\n## ");
    let head = sections.next().unwrap_or_default();
    let tables = sections.filter_map(|section| section.split_once('\n'));
    (head, tables.collect())
}

/// The rows of the tables with these titles. Each setting stands there once.
fn rows(titles: &[&str], tables: &BTreeMap<&str, &str>) -> Rows {
    let mut rows = Rows::new();
    for title in titles {
        let table = tables.get(title);
        let table = table.unwrap_or_else(|| panic!("{PAGE}: there is no table `{title}`"));
        for cells in page::rows(table) {
            let [flag, variable, default, meaning] = &cells[..] else {
                panic!("{PAGE}: not a whole row: {cells:?}");
            };
            let is_said = ![variable, default, meaning]
                .into_iter()
                .any(String::is_empty);
            assert!(is_said, "{PAGE}: {cells:?}");
            let code = |cell: &String| cell.trim_matches('`').to_owned();
            let row = Row {
                flag: code(flag),
                variable: code(variable),
                default: default.clone(),
            };
            let key = if flag.is_empty() {
                &row.variable
            } else {
                &row.flag
            };
            let before = rows.insert(key.clone(), row);
            assert!(before.is_none(), "{PAGE}: two rows for {cells:?}");
        }
    }
    rows
}

/// What differs between what a program prints and its rows.
fn compare(help: &str, rows: &Rows) -> Vec<String> {
    let flags = help::flags(help);
    let mut faults = Vec::new();
    for flag in &flags {
        let name = named(flag);
        match rows.get(&name) {
            None => faults.push(format!(
                "missing: | `{name}` | `{}` | ? | ? |",
                flag.variable
            )),
            Some(row) => faults.extend(differs(flag, row)),
        }
    }
    let mut left = rows.values().collect::<Vec<_>>();
    left.retain(|row| !flags.iter().any(|flag| named(flag) == row.flag));
    // The text of a flag names the variables that are no flags.
    for variable in variables(help) {
        let stands = rows.values().any(|row| row.variable == variable);
        if !stands {
            faults.push(format!("missing: the variable `{variable}`"));
        }
        left.retain(|row| !row.flag.is_empty() || row.variable != variable);
    }
    let left = left.into_iter();
    faults.extend(left.map(|row| format!("left over: `{}` `{}`", row.flag, row.variable)));
    faults
}

/// The flag with what stands for its value.
fn named(flag: &Flag) -> String {
    format!("{} {}", flag.name, flag.value)
        .trim_end()
        .to_owned()
}

/// A default that is printed is code; one that is none is in words.
fn differs(flag: &Flag, row: &Row) -> Option<String> {
    let default = match &flag.default {
        Some(default) => row.default == format!("`{default}`"),
        None => !row.default.starts_with('`'),
    };
    let is_same = default && row.variable == flag.variable;
    (!is_same).then(|| format!("{flag:?} is not `{}`, {}", row.variable, row.default))
}

fn variables(help: &str) -> impl Iterator<Item = &str> {
    let is_part = |letter: char| letter.is_ascii_uppercase() || letter == '_';
    let words = help.split(move |letter: char| !is_part(letter));
    words.filter(|word| word.starts_with("POSTHORN_"))
}
