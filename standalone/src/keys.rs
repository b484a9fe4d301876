//! The files that the first keys are written to.

use std::{
    fs::{DirBuilder, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use posthorn_control_plane::bootstrap::FirstKeys;
use secrecy::{ExposeSecret as _, SecretString};

/// The file with the admin key of the installation.
pub(crate) fn admin_file(data_dir: &Path) -> PathBuf {
    data_dir.join("admin.key")
}

/// The file with the key of the tenant `default`.
pub(crate) fn default_file(data_dir: &Path) -> PathBuf {
    data_dir.join("default.key")
}

/// Writes the keys for their owner only, and shows the admin key once.
pub(crate) fn write(data_dir: &Path, keys: &FirstKeys) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data_dir)?;
    write_one(&admin_file(data_dir), &keys.admin)?;
    if let Some(key) = &keys.default_tenant {
        write_one(&default_file(data_dir), key)?;
    }
    println!("bootstrap-admin-key {}", keys.admin.expose_secret());
    Ok(())
}

/// Writes a new admin key in the place of the former one, and shows it once.
pub(crate) fn write_admin(data_dir: &Path, key: &SecretString) -> io::Result<()> {
    write_one(&admin_file(data_dir), key)?;
    println!("admin-key {}", key.expose_secret());
    Ok(())
}

fn write_one(path: &Path, key: &SecretString) -> io::Result<()> {
    // A file that is there is of a start that did not get to its end.
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    writeln!(file, "{}", key.expose_secret())?;
    file.sync_all()
}
