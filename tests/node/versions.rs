//! Nodes and control planes of different versions of their protocol, side by side.

use posthorn::v1::DeliveryState;
use posthorn_harness::{ControlPlaneOptions, Deployment, Node, NodeOptions, StoreKind};

use crate::support::{DEADLINE, follow::await_state};

on_both! {
    a_node_of_the_next_version_works_for_this_control_plane,
    a_node_of_this_version_works_for_the_next_control_plane,
    a_node_that_shares_no_version_hears_which_ones_are_spoken,
}

/// An event is delivered.
async fn delivers(deployment: &Deployment) {
    let url = deployment.receiver.url("/");
    deployment.admin.create_endpoint(&url, &["*"]).await;
    let event = deployment.admin.emit("a.b", "{}").await.event_id;
    await_state(&deployment.admin, &event, DeliveryState::Delivered).await;
    let received = deployment.receiver.received("/");
    received.await_distinct(1, DEADLINE).await;
}

/// Another node instead of a deployment's own, which speaks these versions.
async fn speaking(deployment: &mut Deployment, protocols: (u32, u32)) -> Node {
    let status = deployment.node.terminate().await;
    assert!(status.success(), "{}", deployment.node.logs());
    let options = NodeOptions {
        protocols: Some(protocols),
        ..NodeOptions::new(deployment.control.grpc, &deployment.node_key)
    };
    Node::start(options).await
}

async fn a_node_of_the_next_version_works_for_this_control_plane(store: StoreKind) {
    let mut deployment = Deployment::start(store).await;
    let node = speaking(&mut deployment, (2, 3)).await;
    node.ready().await;
    delivers(&deployment).await;
}

async fn a_node_of_this_version_works_for_the_next_control_plane(store: StoreKind) {
    let options = ControlPlaneOptions {
        variant: true,
        args: ["--oldest-protocol", "2", "--protocol", "3"]
            .map(str::to_owned)
            .to_vec(),
        ..ControlPlaneOptions::default()
    };
    let deployment = Deployment::start_with(store, options, &[]).await;
    delivers(&deployment).await;
}

async fn a_node_that_shares_no_version_hears_which_ones_are_spoken(store: StoreKind) {
    let mut deployment = Deployment::start(store).await;
    let node = speaking(&mut deployment, (3, 3)).await;
    assert!(
        node.logged("this control plane 2 to 2").await,
        "{}",
        node.logs()
    );
}
