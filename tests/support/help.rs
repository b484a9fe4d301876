//! What a program says of its flags with `--help`.

use std::{path::Path, process::Command};

/// Where the text of a flag begins; what begins further left and with a dash is a flag.
const TEXT_COLUMN: usize = 10;

/// A flag as printed.
#[derive(Debug)]
pub(crate) struct Flag {
    /// Its name, with the dashes.
    pub name: String,
    /// What stands for its value; empty for a switch.
    pub value: String,
    /// The variable that says the same; empty where there is none.
    pub variable: String,
    /// What it is when it is not given, where that is printed.
    pub default: Option<String>,
}

/// All that a program prints with `--help`.
pub(crate) fn help(program: &Path) -> String {
    let help = Command::new(program).arg("--help").output();
    let help = help.expect("the program can be started").stdout;
    String::from_utf8(help).expect("help is text")
}

/// The flags in there, but those that every program has: `--help` and `--version`.
pub(crate) fn flags(help: &str) -> Vec<Flag> {
    let mut flags: Vec<Flag> = Vec::new();
    for line in help.lines() {
        let text = line.trim();
        if line.len() - line.trim_start().len() < TEXT_COLUMN && text.starts_with('-') {
            flags.extend(flag(text));
        } else if let Some(flag) = flags.last_mut() {
            let inside = |begin| text.strip_prefix(begin)?.strip_suffix(']');
            if let Some(variable) = inside("[env: ") {
                let (name, _) = variable.split_once('=').unwrap_or((variable, ""));
                name.clone_into(&mut flag.variable);
            }
            if let Some(default) = inside("[default: ") {
                flag.default = Some(default.to_owned());
            }
        }
    }
    flags.retain(|flag| !["--help", "--version"].contains(&flag.name.as_str()));
    flags
}

fn flag(line: &str) -> Option<Flag> {
    let name = line
        .split_whitespace()
        .find(|word| word.starts_with("--"))?;
    let value = line.split_once(" <").map(|(_, value)| value);
    Some(Flag {
        name: name.to_owned(),
        value: value.unwrap_or_default().trim_end_matches('>').to_owned(),
        variable: String::new(),
        default: None,
    })
}
