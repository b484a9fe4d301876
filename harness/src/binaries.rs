//! Where the programs under test are.

use std::{env, path::PathBuf};

/// Finds the workspace's programs beside the one that runs: in `target/<profile>`.
#[derive(Clone, Copy, Debug)]
pub struct Binaries;

impl Binaries {
    /// The path of `posthorn-control-plane`.
    pub fn control_plane() -> PathBuf {
        find("posthorn-control-plane")
    }

    /// The path of `posthorn-control-plane-variant`: a control plane whose clock its input moves, and that speaks what it is
    /// told to.
    pub fn control_plane_variant() -> PathBuf {
        find("posthorn-control-plane-variant")
    }

    /// The path of `posthorn-data-plane-variant`: a node that speaks what it is told to.
    pub fn data_plane_variant() -> PathBuf {
        find("posthorn-data-plane-variant")
    }

    /// The path of `posthorn-data-plane`.
    pub fn data_plane() -> PathBuf {
        find("posthorn-data-plane")
    }

    /// The path of `posthorn`, the standalone program.
    pub fn standalone() -> PathBuf {
        find("posthorn")
    }
}

fn find(name: &str) -> PathBuf {
    let this = env::current_exe().expect("the running program has a path");
    let mut folder = this.parent().expect("a program is in a folder");
    if folder.ends_with("deps") {
        folder = folder
            .parent()
            .expect("`deps` is inside the profile's folder");
    }
    let path = folder.join(name);
    assert!(
        path.is_file(),
        "{} is missing: run `cargo build --workspace --bins` first",
        path.display()
    );
    path
}
