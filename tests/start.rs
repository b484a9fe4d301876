//! Programs that cannot start say why, whatever is logged.

use std::{net::TcpListener, path::Path, process::Command, sync::Arc};

use posthorn::v1::ListAuditRequest;
use posthorn_harness::{
    Binaries, Client, ControlPlane, ControlPlaneOptions, Deployment, StoreKind,
};
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

#[test]
fn b4_a_database_that_is_not_there_is_named_with_the_reason_and_without_its_password() {
    let closed = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let addr = closed.local_addr().expect("a listener has an address");
    drop(closed);
    let folder = TempDir::new().expect("a folder can be made");
    let database = format!("postgres://user:a-password@{addr}/posthorn");
    let said = complaint(
        &Binaries::control_plane(),
        &[
            "--data-dir",
            &folder.path().display().to_string(),
            "--database",
            &database,
        ],
    );
    let place = format!("no connection to PostgreSQL at {addr}: ");
    assert!(said.contains(&place), "{said}");
    assert!(said.contains("refused"), "{said}");
    assert!(!said.contains("a-password"), "{said}");
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

on_both! {
    b2_a_new_admin_key_is_made_on_the_machine_of_a_control_plane_that_does_not_run,
}

async fn b2_a_new_admin_key_is_made_on_the_machine_of_a_control_plane_that_does_not_run(
    store: StoreKind,
) {
    let mut deployment = Deployment::start(store).await;
    let control = &mut deployment.control;
    let ask = |control: &ControlPlane| {
        let mut command = Command::new(Binaries::control_plane());
        command.arg("--data-dir").arg(control.folder().path());
        command.args(["--database", &control.database(), "admin-key"]);
        command.output().expect("the program can be started")
    };
    let refused = ask(control);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("owns this database"), "{said}");
    control.terminate().await;
    let made = ask(control);
    let said = String::from_utf8_lossy(&made.stdout).into_owned();
    let key = said.trim_end().strip_prefix("admin-key ");
    let key = key.unwrap_or_else(|| panic!("no key: {made:?}")).to_owned();
    control.restart().await;

    let admin = Client::connect(control.grpc, &key).await;
    let request = ListAuditRequest {
        page_size: 1,
        ..ListAuditRequest::default()
    };
    let listed = admin.audit().list_audit(request).await;
    let listed = listed.expect("it is an admin's key").into_inner().records;
    assert_eq!(listed[0].method, "MakeAdminKey");
}
