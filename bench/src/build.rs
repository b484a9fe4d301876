//! Makes sure that the programs under measure are those of this source tree.

use std::{
    env,
    process::{Command, Stdio},
};

/// Builds every program of the workspace in the profile that this one was built in, when cargo started us.
///
/// Started in another way, the programs beside this one are taken as they are.
pub(crate) fn programs() {
    let Some(cargo) = env::var_os("CARGO") else {
        return;
    };
    let mut command = Command::new(cargo);
    command
        .args(["build", "--workspace", "--bins"])
        .stdout(Stdio::null());
    if cfg!(debug_assertions) {
        eprintln!("a debug build: the figures mean nothing, use --release");
    } else {
        command.arg("--release");
    }
    let status = command.status().expect("cargo can be run");
    assert!(status.success(), "the workspace does not build");
}
