//! Databases that would lose what they acknowledged, and those that somebody else uses.

use posthorn::v1::{DeliveryState, Role};
use posthorn_harness::{
    ControlPlaneOptions, Deployment, Node, NodeOptions, Postgres, Receiver, Sql, Starting,
    StoreKind, eventually,
};

use super::support::{DEADLINE, follow::await_state, restart::stop};

on_both! {
    a_second_control_plane_waits_and_takes_over,
    a_second_control_plane_takes_over_from_one_that_ends_in_good_order,
}

/// Changes a setting of the whole server, and waits until it is in force.
async fn set(postgres: &Postgres, setting: &str, value: &str) {
    let mut sql = Sql::open(&postgres.url()).await;
    sql.run(&format!("alter system set {setting} = {value}"))
        .await;
    sql.run("select pg_reload_conf()").await;
    let what = format!("{setting} is {value}");
    eventually(&what, DEADLINE, async || {
        sql.texts(&format!("show {setting}")).await == [value]
    })
    .await;
}

fn options(database: &str) -> ControlPlaneOptions {
    ControlPlaneOptions {
        database: Some(database.to_owned()),
        ..ControlPlaneOptions::default()
    }
}

#[tokio::test]
async fn a_server_that_does_not_flush_is_refused_unless_allowed() {
    let postgres = Postgres::start().await;
    for setting in ["fsync", "full_page_writes"] {
        let database = postgres.database("unsafe").await;
        set(&postgres, setting, "off").await;
        let log = Starting::spawn(options(&database)).refused().await;
        let value = format!("{setting}=off");
        for hint in [value.as_str(), "--allow-unsafe-durability"] {
            assert!(log.contains(hint), "{log}");
        }

        let mut allowed = options(&database);
        allowed.args = vec!["--allow-unsafe-durability".to_owned()];
        let control = Starting::spawn(allowed).listening().await;
        let warning = control.logged("can lose what it has committed").await;
        assert!(warning, "{}", control.logs());
        assert!(control.logs().contains(&value), "{}", control.logs());
        set(&postgres, setting, "on").await;
    }
}

#[tokio::test]
async fn a_default_of_not_waiting_for_the_flush_does_not_reach_our_connections() {
    let postgres = Postgres::start().await;
    let database = postgres.database("lazy").await;
    set(&postgres, "synchronous_commit", "off").await;
    let mut sql = Sql::open(&database).await;
    for scope in ["role posthorn", "database lazy"] {
        sql.run(&format!("alter {scope} set synchronous_commit = off"))
            .await;
    }
    let mut fresh = Sql::open(&database).await;
    assert_eq!(fresh.texts("show synchronous_commit").await, ["off"]);
    // The start itself asks what holds on a connection of its pool.
    let control = Starting::spawn(options(&database)).listening().await;
    assert!(!control.logs().contains("can lose"), "{}", control.logs());
}

#[tokio::test]
async fn a_shared_database_without_a_master_key_is_refused() {
    let postgres = Postgres::shared().await;
    let database = postgres.database("keyless").await;
    let mut keyless = options(&database);
    keyless.env = vec![("POSTHORN_MASTER_KEY".to_owned(), String::new())];
    let log = Starting::spawn(keyless).refused().await;
    assert!(log.contains("--master-key-file"), "{log}");
}

/// A control plane on the deployment's database, which waits for the deployment's own.
async fn standby(deployment: &Deployment) -> Starting {
    let starting = Starting::spawn(ControlPlaneOptions {
        database: deployment
            .postgres
            .is_some()
            .then(|| deployment.control.database()),
        folder: Some(deployment.control.folder().clone()),
        admin_key: Some(deployment.control.admin_key.clone()),
        ..ControlPlaneOptions::default()
    });
    assert!(starting.logged("another control plane owns").await);
    starting
}

/// The second control plane delivers what the first one accepted and could not deliver.
async fn assert_takes_over(deployment: &Deployment, event_id: &str, second: Starting) {
    let second = second.listening().await;
    let admin = second.admin().await;
    let node_key = admin.create_key(&[Role::Node]).await;
    let _node = Node::start(NodeOptions::new(second.grpc, &node_key)).await;
    let admin = admin.for_tenant(&deployment.tenant_id);
    await_state(&admin, event_id, DeliveryState::Delivered).await;
    assert_eq!(deployment.receiver.received("/").count(), 1);
}

/// An event that nobody delivers yet: there is no node any more.
async fn waiting_event(deployment: &mut Deployment) -> String {
    let url = deployment.receiver.url("/");
    deployment.admin.create_endpoint(&url, &["*"]).await;
    deployment.node.kill();
    deployment.admin.emit("a.b", "{}").await.event_id
}

async fn a_second_control_plane_waits_and_takes_over(store: StoreKind) {
    let mut deployment = Deployment::start(store).await;
    let event_id = waiting_event(&mut deployment).await;
    let second = standby(&deployment).await;
    // The first goes on as if nothing were.
    let receiver = Receiver::start().await;
    let still = receiver.url("/still");
    deployment.admin.create_endpoint(&still, &["c.d"]).await;
    deployment.control.kill();
    assert_takes_over(&deployment, &event_id, second).await;
}

async fn a_second_control_plane_takes_over_from_one_that_ends_in_good_order(store: StoreKind) {
    let mut deployment = Deployment::start(store).await;
    let event_id = waiting_event(&mut deployment).await;
    let second = standby(&deployment).await;
    stop(&mut deployment).await;
    assert_takes_over(&deployment, &event_id, second).await;
}
