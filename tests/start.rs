//! Programs that cannot start say why, whatever is logged.

use std::{net::TcpListener, path::Path, process::Command, sync::Arc};

use posthorn_harness::{Binaries, ControlPlane, ControlPlaneOptions};
use tempfile::TempDir;

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

#[tokio::test]
async fn b2_a_first_start_that_cannot_listen_leaves_the_admin_key_to_the_next() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let addr = taken.local_addr().expect("a listener has an address");
    let folder = Arc::new(TempDir::new().expect("a folder can be made"));
    let mut command = Command::new(Binaries::control_plane());
    command.arg("--data-dir").arg(folder.path());
    command.args([
        "--metrics-listen",
        "127.0.0.1:0",
        "--grpc-listen",
        &addr.to_string(),
    ]);
    let ended = command.output().expect("the program can be started");
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(ended.stdout.is_empty(), "no key is shown: {ended:?}");

    let next = ControlPlane::start(ControlPlaneOptions {
        folder: Some(folder),
        ..ControlPlaneOptions::default()
    });
    let next = next.await;
    next.admin().await.create_tenant("made under its key").await;
}
