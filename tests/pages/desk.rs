//! Where a reader sits: a copy of the source tree, a terminal, and another one for what goes on.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::PathBuf,
    process::Command,
    sync::Arc,
};

use posthorn_harness::{Binaries, Network, Shell, Terminal, eventually};
use tempfile::TempDir;
use tokio::time::timeout;

use super::block::{Block, In, lasting};
use crate::support::{DEADLINE, source};

/// What a shell says of what it cannot read or find.
const FAULTS: [&str; 5] = [
    "command not found",
    "parse error",
    "syntax error",
    "no matches found",
    "event not found",
];

pub(super) struct Desk {
    terminal: Terminal,
    /// The terminals of what goes on.
    others: Vec<Terminal>,
    at_last: Vec<Block>,
    shell: Shell,
    network: Arc<Network>,
    folder: TempDir,
}

impl Desk {
    /// Makes one. None, and a loud word about it, where it cannot be made.
    pub(super) fn find(shell: Shell) -> Option<Self> {
        if !shell.is_there() {
            eprintln!("SKIPPED: there is no {shell:?} to paste into");
            return None;
        }
        let network = Network::make().map(Arc::new)?;
        let folder = tree();
        Some(Self {
            terminal: open(shell, &network, &folder),
            others: Vec::new(),
            at_last: Vec::new(),
            shell,
            network,
            folder,
        })
    }

    pub(super) fn network(&self) -> Arc<Network> {
        Arc::clone(&self.network)
    }

    /// Does what a reader does with a block, and looks for what the page shows.
    pub(super) async fn take(&mut self, block: &Block) {
        match block.terminal {
            In::Terminal => self.paste(block).await,
            In::TerminalAtLast => self.at_last.push(block.clone()),
            In::TerminalOfItsOwn => {
                let mut other = open(self.shell, &self.network, &self.folder);
                other.type_in(&block.commands);
                eventually("it says where it listens", DEADLINE, async || {
                    other
                        .lines()
                        .iter()
                        .any(|line| line.starts_with("listening"))
                })
                .await;
                self.others.push(other);
            }
        }
    }

    /// What the pages leave for the end.
    pub(super) async fn leave(mut self) {
        for block in std::mem::take(&mut self.at_last) {
            self.paste(&block).await;
        }
    }

    async fn paste(&mut self, block: &Block) {
        let place = &block.place;
        let (status, begin) = self.terminal.paste(&block.commands).await;
        let printed = || self.terminal.lines()[begin..].join("\n");
        assert_eq!(status, "status 0", "{place}:\n{}", printed());
        for fault in FAULTS {
            assert!(!printed().contains(fault), "{place}:\n{}", printed());
        }
        let missing = || missing(&block.shown, &self.terminal.lines()[begin..]);
        // What runs in the background may print a moment later.
        let shown = eventually("the rest is printed", DEADLINE, async || {
            missing().is_none()
        });
        let in_time = timeout(DEADLINE / 2, shown).await.is_ok();
        assert!(
            in_time,
            "{place}: no line {:?} in:\n{}",
            missing(),
            printed()
        );
    }
}

/// The first line that a page shows and that was not printed after those before it. What a receiver prints comes whenever it
/// comes.
fn missing<'a>(shown: &'a [String], printed: &[String]) -> Option<&'a str> {
    let printed = printed.iter().map(|line| lasting(line)).collect::<Vec<_>>();
    let mut rest = printed.iter();
    shown.iter().map(String::as_str).find(|line| {
        let is_there = |one: &String| one.contains(line);
        let found = if line.starts_with("received") {
            printed.iter().any(is_there)
        } else {
            rest.any(is_there)
        };
        !found
    })
}

/// What the commands see of a fresh clone: the tools, and a `cargo` whose builds were made.
fn tree() -> TempDir {
    let folder = TempDir::with_prefix_in("pages-", source().join("target"));
    let folder = folder.expect("a folder can be made");
    let root = folder.path();
    symlink(source().join("scripts"), root.join("scripts")).expect("it can be linked");
    fs::create_dir_all(root.join("target")).expect("it can be made");
    let copied = Command::new("cp")
        .arg("-al")
        .arg(fs::canonicalize(source().join("target/tools")).expect("the tools are there"))
        .arg(root.join("target/tools"))
        .status();
    assert!(
        copied.is_ok_and(|status| status.success()),
        "tools are copied"
    );
    fs::create_dir(root.join("bin")).expect("it can be made");
    let cargo = root.join("bin/cargo");
    fs::write(&cargo, cargo_script()).expect("it can be written");
    fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).expect("it can be run");
    folder
}

/// A `cargo` for the two commands that the pages have.
fn cargo_script() -> String {
    let programs = binaries().join("posthorn");
    let programs = programs.display();
    format!(
        r#"#!/bin/sh
case "$*" in
"run --release") exec {programs} ;;
"build --release --workspace") mkdir -p target/release && ln -sf {programs} {programs}-*-plane target/release ;;
*) echo "no page asks for: cargo $*" >&2; exit 1 ;;
esac
"#
    )
}

fn binaries() -> PathBuf {
    let standalone = Binaries::standalone();
    let folder = standalone.parent().expect("a program is in a folder");
    folder.to_owned()
}

fn open(shell: Shell, network: &Network, folder: &TempDir) -> Terminal {
    let root = folder.path().display();
    let path = std::env::var("PATH").unwrap_or_default();
    let variables = [
        ("PATH", format!("{root}/bin:{path}")),
        ("HOME", root.to_string()),
        ("PGHOST", "127.0.0.1".to_owned()),
        ("PGUSER", "postgres".to_owned()),
    ];
    Terminal::open(shell, network, folder.path(), &variables)
}
