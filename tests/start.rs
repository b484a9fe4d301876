//! Programs that cannot start say why, whatever is logged.

use std::{path::Path, process::Command};

use posthorn_harness::Binaries;

/// Starts a program that cannot run and logs nothing, and returns what it says.
fn complaint(program: &Path, args: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(args).args(["--log", "off"]);
    let ended = command.output().expect("the program can be started");
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    String::from_utf8(ended.stderr).expect("it is text")
}

#[test]
fn a_program_that_cannot_start_says_its_name_and_the_cause_on_stderr() {
    // Nobody can make a folder or a file there.
    let nowhere = "/proc/posthorn";
    for (program, path, flag) in [
        (
            "posthorn-data-plane",
            Binaries::data_plane(),
            "--node-key-file",
        ),
        (
            "posthorn-control-plane",
            Binaries::control_plane(),
            "--data-dir",
        ),
        ("posthorn", Binaries::standalone(), "--data-dir"),
    ] {
        let said = complaint(&path, &[flag, nowhere]);
        let said = said.trim_end();
        assert!(said.starts_with(&format!("{program}: ")), "{said}");
        assert!(said.matches(": ").count() > 1, "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}
