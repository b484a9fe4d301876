//! Where `PostgreSQL`'s own programs are.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The folder with `initdb` and `postgres`.
#[derive(Clone, Debug)]
pub(super) struct Programs {
    folder: PathBuf,
}

impl Programs {
    /// Those of `POSTHORN_TEST_POSTGRES` when it is set. Else looks where `pg_config` says, then under `/usr/lib/postgresql`, newest first, then along `PATH`.
    pub(super) fn find() -> Self {
        let folder = named()
            .into_iter()
            .chain(configured())
            .chain(packaged())
            .chain(on_path())
            .find(|folder| has_both(folder))
            .expect("PostgreSQL's `initdb` and `postgres` are installed");
        Self { folder }
    }

    pub(super) fn initdb(&self) -> Command {
        Command::new(self.folder.join("initdb"))
    }

    pub(super) fn postgres(&self) -> Command {
        Command::new(self.folder.join("postgres"))
    }
}

fn named() -> Option<PathBuf> {
    let folder = PathBuf::from(env::var_os("POSTHORN_TEST_POSTGRES")?);
    assert!(
        has_both(&folder),
        "no `initdb` and `postgres` in {}",
        folder.display()
    );
    Some(folder)
}

fn configured() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim()))
}

fn packaged() -> Vec<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let mut numbered: Vec<(u32, PathBuf)> = versions
        .filter_map(|version| {
            let number = version.file_name().to_str()?.parse().ok()?;
            Some((number, version.path().join("bin")))
        })
        .collect();
    numbered.sort();
    numbered
        .into_iter()
        .rev()
        .map(|(_, folder)| folder)
        .collect()
}

fn on_path() -> Vec<PathBuf> {
    env::var_os("PATH")
        .map(|path| env::split_paths(&path).collect())
        .unwrap_or_default()
}

fn has_both(folder: &Path) -> bool {
    folder.join("initdb").is_file() && folder.join("postgres").is_file()
}
