//! A small file system of one's own, which can be full.

use std::{
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Write as _},
    path::PathBuf,
    process::Command,
    sync::Arc,
};

use tempfile::TempDir;

/// How much is written at one time, the smaller the closer to the brim.
const CHUNKS: [usize; 3] = [1_048_576, 65_536, 4_096];

/// A `tmpfs` on a temporary folder, unmounted when dropped.
#[derive(Debug)]
pub struct SmallDisk {
    folder: Arc<TempDir>,
}

impl SmallDisk {
    /// Mounts one of so many MiB. None, and a loud word about it, where we may not: it takes root.
    pub fn mount(mib: u32) -> Option<Self> {
        let folder = TempDir::with_prefix("posthorn-disk-");
        let folder = Arc::new(folder.expect("a temporary folder can be made"));
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs"]);
        let mounted = mount.arg(folder.path()).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self { folder }),
            refused => {
                eprintln!(
                    "SKIPPED: a small file system cannot be mounted here, which takes root: {refused:?}"
                );
                None
            }
        }
    }

    /// The folder that it is mounted on.
    pub fn folder(&self) -> &Arc<TempDir> {
        &self.folder
    }

    /// Takes all room that is left.
    pub fn fill(&self) {
        let mut ballast = self.open_ballast();
        for bytes in CHUNKS {
            let chunk = vec![0; bytes];
            let full = loop {
                if let Err(error) = ballast.write_all(&chunk) {
                    break error;
                }
            };
            assert_eq!(full.kind(), ErrorKind::StorageFull, "{full}");
        }
    }

    /// Gives it back.
    pub fn clear(&self) {
        fs::remove_file(self.ballast()).expect("the ballast is there");
    }

    fn ballast(&self) -> PathBuf {
        self.folder.path().join("ballast")
    }

    fn open_ballast(&self) -> File {
        let mut options = OpenOptions::new();
        let opened = options.create(true).append(true).open(self.ballast());
        opened.expect("a file can be made as long as there are inodes")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: what still runs on it ends with the test.
        let _ = Command::new("umount")
            .arg("-l")
            .arg(self.folder.path())
            .status();
    }
}
