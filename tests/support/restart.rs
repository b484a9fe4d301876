//! Ending a control plane in good order, and starting it again.

use posthorn_harness::Deployment;

/// Ends the control plane. It must end well.
pub(crate) async fn stop(deployment: &mut Deployment) {
    let status = deployment.control.terminate().await;
    assert!(status.success(), "{}", deployment.control.logs());
}

/// Starts the control plane again; the deployment's client is one of the new one.
pub(crate) async fn start(deployment: &mut Deployment) {
    deployment.control.restart().await;
    let admin = deployment.control.admin().await;
    deployment.admin = admin.for_tenant(&deployment.tenant_id);
}

/// Both.
pub(crate) async fn restart(deployment: &mut Deployment) {
    stop(deployment).await;
    start(deployment).await;
}
