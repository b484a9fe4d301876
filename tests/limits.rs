//! `docs/limits.md` says every limit as it is: the flags as the programs print them, the constants as the source has them.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use posthorn_harness::Binaries;

use super::support::{help, page, source};

const PROGRAMS: &[&str] = &[
    "control-plane/src",
    "data-plane/src",
    "guard/src",
    "outbound/src",
    "standalone/src",
    "locks/src",
    "telemetry/src",
];
/// What the name of a limit has in it.
const NAMES: [&str; 2] = ["_MAX", "_WITHIN"];
const CELLS: usize = 5;

/// Values by flag, or by `file::CONSTANT`.
type Limits = BTreeMap<String, String>;

#[test]
fn the_table_of_limits_is_as_the_programs_and_the_source_are() {
    let written = table();
    let mut real = Limits::new();
    for program in [
        Binaries::control_plane(),
        Binaries::data_plane(),
        Binaries::standalone(),
    ] {
        real.extend(flags(&program));
    }
    for folder in PROGRAMS {
        for file in files(&source().join(folder)) {
            real.extend(constants(&file));
        }
    }
    let missing = real.iter().filter(|(key, _)| !written.contains_key(*key));
    let missing =
        missing.map(|(key, value)| format!("missing: | ? | `{value}` | `{key}` | ? | ? |"));
    let left_over = written.keys().filter(|key| !real.contains_key(*key));
    let left_over = left_over.map(|key| format!("left over: `{key}`"));
    let wrong = real.iter().filter_map(|(key, value)| {
        let said = written.get(key).filter(|said| *said != value)?;
        Some(format!("`{key}` is `{value}`, and not `{said}`"))
    });
    let faults = missing.chain(left_over).chain(wrong).collect::<Vec<_>>();
    assert!(faults.is_empty(), "docs/limits.md:\n{}", faults.join("\n"));
}

/// The rows of the table. Each must be whole, and stand there once.
fn table() -> Limits {
    let mut rows = Limits::new();
    for cells in page::rows(&page::read("docs/limits.md")) {
        let line = cells.join(" | ");
        let cells = cells.iter().map(|cell| cell.trim_matches('`').to_owned());
        let cells = cells.collect::<Vec<_>>();
        assert_eq!(cells.len(), CELLS, "{line}");
        let [limit, value, key, counted, hears] = &cells[..] else {
            continue;
        };
        let is_said = |cell: &String| !cell.is_empty() && cell != "?";
        assert!(
            [limit, value, key, counted, hears].into_iter().all(is_said),
            "{line}"
        );
        let before = rows.insert(key.clone(), value.clone());
        assert!(before.is_none(), "two rows for `{key}`");
    }
    rows
}

/// The flags of a program whose default is a number.
fn flags(program: &Path) -> Limits {
    let flags = help::flags(&help::help(program)).into_iter();
    let numbers = flags.filter_map(|flag| {
        let default = flag.default?;
        default
            .parse::<f64>()
            .is_ok()
            .then_some((flag.name, default))
    });
    numbers.collect()
}

/// The constants of a file that are limits by their name.
fn constants(file: &Path) -> Limits {
    let text = fs::read_to_string(file).expect("source is readable UTF-8");
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    let path = file.strip_prefix(source()).expect("it was found in there");
    let mut constants = Limits::new();
    let mut lines = text.lines().map(str::trim);
    while let Some(line) = lines.next() {
        let Some((before, rest)) = line.split_once("const ") else {
            continue;
        };
        let is_item = before.is_empty() || before.starts_with("pub");
        let Some((name, rest)) = rest.split_once(": ").filter(|_| is_item) else {
            continue;
        };
        if !NAMES.iter().any(|part| name.contains(part)) {
            continue;
        }
        let mut rest = rest.to_owned();
        while !rest.ends_with(';') {
            let more = lines.next().expect("a constant ends");
            rest = format!("{rest} {more}");
        }
        let (_, value) = rest.split_once('=').expect("a constant has a value");
        let value = value.trim_end_matches(';').trim().to_owned();
        constants.insert(format!("{}::{name}", path.display()), value);
    }
    constants
}

/// All source files of a folder but those for tests.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder can be read");
    let paths = entries.map(|entry| entry.expect("a folder can be read").path());
    let files = paths.flat_map(|path| {
        let name = path.to_string_lossy().into_owned();
        let for_tests = ["tests.rs", "testing.rs", "fixture.rs"];
        match () {
            () if name.ends_with("/tests") => Vec::new(),
            () if path.is_dir() => files(&path),
            () if for_tests.iter().any(|end| name.ends_with(end)) => Vec::new(),
            () if path.extension().is_some_and(|end| end == "rs") => vec![path],
            () => Vec::new(),
        }
    });
    files.collect()
}
