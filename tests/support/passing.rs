//! Letting time pass on a control plane whose clock can be moved.

use std::time::Duration;

use posthorn_harness::{Deployment, eventually};

use super::DEADLINE;

/// How many rounds of retention there were since the start.
fn rounds(deployment: &Deployment) -> usize {
    let logs = deployment.control.logs();
    logs.matches("a round of retention").count()
}

/// Lets time pass, and waits for the round of retention that follows.
pub(crate) async fn pass(deployment: &mut Deployment, time: Duration) {
    eventually("the first round of retention", DEADLINE, async || {
        rounds(deployment) > 0
    })
    .await;
    let before = rounds(deployment);
    deployment.control.advance(time).await;
    eventually("another round of retention", DEADLINE, async || {
        rounds(deployment) > before
    })
    .await;
}
